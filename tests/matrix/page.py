"""The table of docs/compatibility.md, written between two marks."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_okta_workflows.connection import FORM
from tests.matrix.environments import ROOT, Environment
from tests.matrix.running import Result

PAGE = ROOT / "docs/compatibility.md"
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"

_HEAD = (
    "environment",
    "Airflow",
    "Python",
    "tests passed",
    "not applicable",
    "connection form",
    "`okta-workflows`",
    "`airflow okta-workflows`",
    "crash-safe invocation",
    "retry policy",
    "extra link",
)


def table(results: Mapping[Environment, Result]) -> str:
    """Return the table, with a row for each environment, in Markdown.

    :param results: what each environment came to
    """
    lines = [_row(_HEAD), _row(["---"] * len(_HEAD))]
    for environment, result in results.items():
        probe = result.probe
        cells = [
            environment.name,
            probe["airflow"],
            probe["python"],
            str(result.passed),
            str(result.not_applicable),
            _form(probe["form"]),
            *(
                _yes(probe[name])
                for name in (
                    "okta_workflows",
                    "airflow_okta_workflows",
                    "crash_safe_invocation",
                    "retry_policy",
                    "extra_link",
                )
            ),
        ]
        lines.append(_row(cells))
    reasons = sorted({reason for result in results.values() for reason in result.reasons})
    if reasons:
        lines += ["", "Tests that are not applicable:", "", *(f"- {reason}" for reason in reasons)]
    return "\n".join(lines)


def written_into(page: str, text: str) -> str:
    """Return the page with the table in its place.

    :param page: the page
    :param text: the table
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


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _yes(value: object) -> str:
    return "yes" if value else "no"
