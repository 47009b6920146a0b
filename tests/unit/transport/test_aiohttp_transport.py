from __future__ import annotations

import resource

import pytest

from airflow_okta_workflows.transport.aiohttp_transport import connection_limit


@pytest.mark.parametrize(
    ("files", "connections"),
    [(256, 100), (300, 100), (1024, 824), (2200, 2000), (20_000, 2000), (2**63 - 1, 2000)],
)
def test_connections_leave_files_for_others_and_have_an_end(
    monkeypatch: pytest.MonkeyPatch, files: int, connections: int
) -> None:
    asked: list[int] = []

    def getrlimit(what: int) -> tuple[int, int]:
        asked.append(what)
        return files, 2**63 - 1

    monkeypatch.setattr(resource, "getrlimit", getrlimit)

    assert connection_limit() == connections
    assert asked == [resource.RLIMIT_NOFILE]


def test_this_process_may_open_as_many() -> None:
    assert 100 <= connection_limit() <= 2000
