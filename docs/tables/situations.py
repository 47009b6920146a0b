"""The tables of situations in docs/troubleshooting.md: what people have, what happens, and what to change.

``python -m docs.tables.situations docs/troubleshooting.md`` plays all situations of the tests and writes the tables into
the page.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import tests.conftest  # noqa: F401  # before Airflow, which reads its configuration when it is imported
from airflow_okta_workflows.exceptions import OktaConfigurationError
from docs.tables.troubleshooting import markdown_table, written_into
from tests.integration.situations.catalogue import SITUATIONS
from tests.integration.situations.stage import Seen, Situation, play

HEAD = ("what you have", "what happens", "what to change")
_NOTHING, _OWN = "Nothing.", "See what the flow says, in the error's further lines."


def tables(play: Callable[[Situation], Seen] = play) -> dict[str, str]:
    """Return the tables in Markdown, by name.

    :param play: returns what came of a situation
    """
    return {
        f"situations with {kind}": markdown_table(HEAD, [_row(one, play(one)) for one in situations])
        for kind, situations in SITUATIONS.items()
    }


def _row(situation: Situation, seen: Seen) -> tuple[str, str, str]:
    warnings = [f"The log says: {_code(text)}" for text in seen.warnings if situation.warned]
    if seen.error is None:
        return situation.name, f"{seen.taken}.", "\n".join(warnings) or seen.hint or _NOTHING
    said = "\n".join(_code(line) for line in seen.lines)
    what = "Refused" if seen.error is OktaConfigurationError else f"`{seen.error.__name__}`"
    change = f"{seen.code}: {seen.hint}" if seen.code else seen.hint or _OWN
    return situation.name, f"{what}: {said}", "\n".join([change, *warnings])


def _code(text: str) -> str:
    mark = "``" if "`" in text else "`"
    return f"{mark}{text}{mark}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written_into(path.read_text(), tables))
