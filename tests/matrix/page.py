"""The tables of docs/compatibility.md, written between two marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_okta_workflows.connection.fields import FORM
from tests.matrix.environments import ROOT, Environment
from tests.matrix.running import Result

PAGE = ROOT / "docs/compatibility.md"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"
TESTS_BEGIN = "The suite, against the wheel:"
"""Line between the two tables."""

_SHOWN_BY_TESTS = {
    "example DAGs, provider info": ("tests.integration.test_dags", "tests.unit.test_get_provider_info"),
    "sensor, deferred too": ("tests.integration.test_sensors",),
    "deferred invocation": ("tests.integration.test_deferred_invocation", "tests.integration.test_shared_flow"),
}
"""Subjects that the probe does not cover, with the modules of the suite that test them."""

_HAD_BY_AIRFLOW = {
    "`okta-workflows`": "okta_workflows",
    "`airflow okta-workflows`": "airflow_okta_workflows",
    "crash-safe invocation": "crash_safe_invocation",
    "retry policy": "retry_policy",
    "extra link": "extra_link",
}
"""Columns with yes or no, and the probe's finding for each."""


def tables(results: Mapping[Environment, Result]) -> str:
    """Return what works and which tests ran, as two Markdown tables with a row for each environment.

    :param results: the result of each environment
    """
    works = [["environment", "Airflow", "Python", "connection form", *_HAD_BY_AIRFLOW]]
    ran = [["environment", "passed", "not applicable", *(f"passed of: {subject}" for subject in _SHOWN_BY_TESTS)]]
    for environment, result in results.items():
        probe = result.probe
        had = [_yes(probe[name]) for name in _HAD_BY_AIRFLOW.values()]
        passed = [str(sum(result.passed_in[module] for module in modules)) for modules in _SHOWN_BY_TESTS.values()]
        works.append([environment.name, probe["airflow"], probe["python"], _form(probe["form"]), *had])
        ran.append([environment.name, str(result.passed), str(result.not_applicable), *passed])
    reasons = sorted({reason for result in results.values() for reason in result.reasons})
    parts = [_in_markdown(works), f"{TESTS_BEGIN}\n\n{_in_markdown(ran)}"]
    if reasons:
        parts.append("\n".join(["A test is not applicable that", "", *(f"- {reason}" for reason in reasons)]))
    return "\n\n".join(parts)


def written_into(page: str, text: str) -> str:
    """Return the page with its tables replaced.

    :param page: the page
    :param text: the new tables
    """
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"


def _form(form: Mapping[str, object]) -> str:
    fields, relabeled = form["fields"], form["relabeled"]
    assert isinstance(fields, list)
    assert isinstance(relabeled, dict)
    known = FORM["conn-fields"]
    shown = f"{len(set(fields) & set(known))} of {len(known)} fields"
    names = [relabeled.get(name) for name in ("host", "login", "password")]
    return shown if names == ["Okta domain", "Client ID", "Private key"] else f"{shown}, Airflow's own names"


def _in_markdown(table: Sequence[Sequence[str]]) -> str:
    head, *rows = [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join([head, f"|{'---|' * len(table[0])}", *rows])


def _yes(value: object) -> str:
    return "yes" if value else "no"
