from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_okta_workflows.emulator.flow_file import flows_in


@pytest.fixture(autouse=True)
def _leave_the_interpreter_as_it_was() -> Iterator[None]:
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("okta_flow_file", None)


def write(folder: Path, text: str) -> Path:
    path = folder / "my_flows.py"
    path.write_text(text)
    return path


def test_without_marks_each_public_function_of_the_file_is_a_flow(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "from json import dumps\n"
        "def hello(request): return {'size': _size(request)}\n"
        "async def later(request): return {}\n"
        "def _size(request): return 1\n"
        "class Thing: pass\n",
    )

    assert [(flow.name, flow.alias, flow.security) for flow in flows_in(path)] == [
        ("hello", None, "oauth"),
        ("later", None, "oauth"),
    ]
    assert flows_in(path)[0].function(None) == {"size": 1}  # type: ignore[arg-type]


def test_with_marks_only_what_is_marked_is_a_flow(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "from airflow_okta_workflows.emulator import flow\n"
        "@flow('onboard', alias='a' * 32)\n"
        "def create(request): return {}\n"
        "@flow(security='client_token')\n"
        "def closed(request): return {}\n"
        "def helper(request): return {}\n",
    )

    assert [(flow.name, flow.alias, flow.security) for flow in flows_in(path)] == [
        ("onboard", "a" * 32, "oauth"),
        ("closed", None, "client_token"),
    ]


def test_it_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "okta_tables_of_mine.py").write_text("rows = [1, 2]\n")
    path = write(
        tmp_path, "import okta_tables_of_mine\ndef count(request): return {'n': len(okta_tables_of_mine.rows)}\n"
    )

    assert flows_in(path)[0].function(None) == {"n": 2}  # type: ignore[arg-type]


def test_any_name_of_the_file_will_do(tmp_path: Path) -> None:
    path = tmp_path / "flows.txt"
    path.write_text("def hello(request): return {}\n")

    assert [flow.name for flow in flows_in(path)] == ["hello"]


def test_a_file_without_functions_has_no_flows(tmp_path: Path) -> None:
    assert flows_in(write(tmp_path, "x = 1\n")) == []
