from __future__ import annotations

import ast
from pathlib import Path

import airflow_okta_workflows

PACKAGE = Path(airflow_okta_workflows.__file__).parent
REAL = {"time", "random", "uuid.uuid4"}


def imported(source: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names.add(f"{node.value.id}.{node.attr}")
    return names


def test_time_randomness_and_ids_come_from_one_module() -> None:
    users = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if imported(path) & REAL}

    assert users == {"core/runtime.py"}
