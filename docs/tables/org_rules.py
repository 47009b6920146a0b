"""The table of the local org's numbered rules in docs/local-org.md.

``python -m docs.tables.org_rules docs/local-org.md`` writes it into the page.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from airflow_okta_workflows.emulator.rules import RULES, Rule
from docs.tables.troubleshooting import markdown_table, written_into

HEAD = ("rule", "what the local org claims", "observation", "source", "tried")
_GROUPS = {
    "M": "Metadata",
    "T": "Token endpoint",
    "F": "Requests to a flow",
    "R": "Cards",
    "E": "Execution id",
    "L": "Limits",
    "C": "Connections",
}


def tables() -> dict[str, str]:
    """Return the table in Markdown, by its name."""
    rows: list[tuple[str, ...]] = []
    for letter, group in _GROUPS.items():
        rows.append(("", f"**{group}**", "", "", ""))
        rows += [_row(rule) for rule in RULES.values() if rule.id.startswith(letter)]
    return {"rules": markdown_table(HEAD, rows)}


def _row(rule: Rule) -> tuple[str, ...]:
    source = "inferred" if rule.inferred else "Okta"
    return rule.id, rule.claim, _seen(rule), source, f"no: {rule.unprobed}" if rule.unprobed else "yes"


def _seen(rule: Rule) -> str:
    seen = rule.expected
    body = seen.get("body")
    if isinstance(body, dict) and "error" in body:
        return f"{seen['status']} `{body['error']}`: {body['error_description']}"
    if isinstance(body, dict) and set(body) == {"message"}:
        return f"{seen['status']}: `{body['message']}`"
    if body is not None:
        return f"{seen['status']} `{json.dumps(body)}`"
    return ", ".join(f"{name}: {_fact(value)}" for name, value in seen.items())


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(f"`{one}`" for one in value) or "none"
    return f"`{value}`" if isinstance(value, str) else str(value)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written_into(path.read_text(), tables))
