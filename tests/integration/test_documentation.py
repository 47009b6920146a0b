"""The Python in the README and the docs runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_okta_workflows.connection import FORM

if TYPE_CHECKING:
    from airflow_okta_workflows.emulator import LocalOrg

ROOT = Path(__file__).parents[2]


def blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", ["README.md", "docs/local-org.md", "docs/reliability.md"])
def test_each_block_runs(name: str, okta_local_org: LocalOrg) -> None:
    assert blocks(name)
    for block in blocks(name):
        names: dict[str, Any] = {}
        exec(compile(block, name, "exec"), names)
        for test in [value for key, value in names.items() if key.startswith("test_")]:
            test(okta_local_org)


def test_the_docs_name_each_field_of_the_connection() -> None:
    text = (ROOT / "docs/connection.md").read_text()

    for field in [*FORM["conn-fields"], "private_key"]:
        assert f"`{field}`" in text
