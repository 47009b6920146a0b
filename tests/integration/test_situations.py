"""What people have comes to the right end, in each form of it; and docs/troubleshooting.md says what is said."""

from __future__ import annotations

from functools import cache

import pytest

from docs.tables.situations import tables
from docs.tables.troubleshooting import written_into
from tests.airflow_features import TASK_STATE_STORE, needs
from tests.integration.situations.catalogue import SITUATIONS
from tests.integration.situations.keys import ENCODED, WITHIN
from tests.integration.situations.stage import Situation, play
from tests.pages import ROOT
from tests.unit.core.keys.key_forms import AROUND, ENCODINGS, FOR_PEM

# Of Airflow 2.11, for an extra that is no JSON object.
pytestmark = pytest.mark.filterwarnings("ignore:Encountered (non-JSON|JSON value) in `extra`")

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
played = cache(play)
ALL = [
    pytest.param(one, id=f"{kind}: {one.name}", marks=[needs(one.feature)] if one.feature else [])
    for kind, situations in SITUATIONS.items()
    for one in situations
]


@pytest.mark.parametrize("situation", ALL)
def test_a_situation_comes_to_its_end_in_each_form(situation: Situation) -> None:
    seen = played(situation)

    assert all(len(line) <= 200 for line in seen.lines)
    assert seen.hint or seen.error is None or not seen.code


@needs(TASK_STATE_STORE)  # earlier Airflows have other words for some situations
def test_the_page_says_what_is_said() -> None:
    command = "python -m docs.tables.situations docs/troubleshooting.md"

    assert written_into(PAGE, lambda: tables(played)) == PAGE, f"run: {command}"


def test_each_form_of_a_key_is_in_a_situation() -> None:
    assert {form for forms in ENCODED.values() for form in forms} == {*ENCODINGS, *FOR_PEM}
    assert {form for forms in WITHIN.values() for form in forms} == {*AROUND}
