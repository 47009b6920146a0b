"""The names that docs/stability.md calls public exist, and the typing tests use them."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import airflow_okta_workflows
from tests.airflow_features import RETRY_POLICY, needs
from tests.pages import ROOT

PAGE = (ROOT / "docs" / "stability.md").read_text("utf-8")
USES = "".join((ROOT / "tests" / "typing" / name).read_text("utf-8") for name in ("right_uses.py", "wrong_uses.py"))
MODULES = re.findall(r"`((?:\w+\.okta_workflows)|exceptions|types|retry_policy|emulator)`", PAGE)


def public_names(module: str) -> list[str]:
    imported = import_module(f"airflow_okta_workflows.{module}")
    if names := getattr(imported, "__all__", None):
        return list(names)
    own = [
        name
        for name, value in vars(imported).items()
        if inspect.isclass(value) and value.__module__ == imported.__name__
    ]
    return [name for name in own if not name.startswith("_")]


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(name, marks=needs(RETRY_POLICY)) if name == "retry_policy" else name
        for name in dict.fromkeys(MODULES)
    ],
)
def test_each_public_module_has_names_that_mypy_sees_used(module: str) -> None:
    names = public_names(module)

    assert names
    assert re.search(rf"airflow_okta_workflows(\.| import ){module}", USES)
    # Of the exceptions and the local org a few stand for all.
    if module not in ("exceptions", "emulator"):
        assert [name for name in names if not re.search(rf"\b{name}\b", USES)] == []


def test_the_page_names_each_public_module() -> None:
    # Where it is installed: in the matrix it is the wheel's.
    package = Path(airflow_okta_workflows.__file__).parent
    found = {f"{path.parent.name}.okta_workflows" for path in package.glob("*/okta_workflows.py")}

    assert found - {"decorators.okta_workflows"} == {name for name in MODULES if "." in name}


def test_the_package_tells_type_checkers_that_it_has_types() -> None:
    assert Path(airflow_okta_workflows.__file__).with_name("py.typed").exists()
