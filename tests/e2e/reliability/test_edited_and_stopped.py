"""What people do to tasks in an ordinary week, all at the same time: no flow runs twice unless somebody wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.e2e.reliability import edited_dags, stopped_tasks
from tests.e2e.reliability.stage import Stage

pytestmark = pytest.mark.timeout(600)

Say = Callable[[str], None]
Story = Callable[[Stage], str]
STORIES: tuple[Story, ...] = (*edited_dags.STORIES, *stopped_tasks.STORIES)


@pytest.fixture(scope="module")
def under_way(stage: Stage) -> Iterator[dict[Story, Future[str]]]:
    """All stories, which have begun together."""
    with ThreadPoolExecutor(len(STORIES)) as pool:
        yield {story: pool.submit(story, stage) for story in STORIES}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_what_comes_of(under_way: dict[Story, Future[str]], story: Story, say: Say) -> None:
    say(under_way[story].result())
