"""The names of metrics: in the code, in the documentation and in the dashboard."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import airflow_okta_workflows
from airflow_okta_workflows.core.errors import ErrorKind

PACKAGE = Path(airflow_okta_workflows.__file__).parent
ROOT = Path(__file__).parents[2]
KINDS = {"count": "counter", "timing": "timer", "gauge": "gauge"}
ROW = re.compile(r"^\| `okta_workflows\.([a-z_.]+)` \| (\w+) \| ([^|]*)\|", re.MULTILINE)


def in_the_code() -> dict[str, tuple[str, frozenset[str]]]:
    """Return the kind and the tags of each metric that the package sends."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(ast.Name("metrics"), method),
                    args=[ast.Constant(str(name)), *_],
                    keywords=keywords,
                ):
                    found[name] = (KINDS[method], frozenset(keyword.arg or "" for keyword in keywords))
    return found


def test_the_page_lists_each_metric_with_its_kind_and_tags() -> None:
    page = (ROOT / "docs/observability.md").read_text()
    listed = {name: (kind, frozenset(re.findall(r"`(\w+)`", tags))) for name, kind, tags in ROW.findall(page)}

    assert listed == in_the_code()


def test_the_page_lists_each_outcome() -> None:
    page = (ROOT / "docs/observability.md").read_text()

    assert [kind.value for kind in ErrorKind if f"`{kind.value}`" not in page] == []


def test_the_dashboard_shows_each_metric_and_no_other() -> None:
    dashboard = json.loads((ROOT / "docs/grafana/okta-workflows.json").read_text())
    expressions = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    shown = {re.sub(r"_(sum|count)$", "", name) for name in re.findall(r"airflow_okta_workflows_(\w+)", expressions)}

    assert shown == {name.replace(".", "_") for name in in_the_code()}
