"""The local org's execution history: the page that the extra link of a task instance opens."""

from __future__ import annotations

from html import escape
from itertools import islice
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.addresses import execution_fragment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_okta_workflows.emulator.records import Flow

_LATEST = 100
"""Maximum number of executions shown per flow."""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Local org: execution history</title>
<style>body {{ font: 16px sans-serif; margin: 2em }} code:target {{ background: gold }}</style>
<h1>Execution history</h1>
{flows}
"""


def history_page(flows: Iterable[Flow]) -> str:
    """Return the page as HTML; the browser highlights the execution that the URL's fragment names.

    :param flows: the flows, with their runs
    """
    return _PAGE.format(flows="\n".join(_section(flow) for flow in flows) or "<p>There are no flows.</p>")


def _section(flow: Flow) -> str:
    latest = islice(reversed(list(flow.runs)), _LATEST)
    items = "".join(_item(run.execution_id) for run in latest)
    return f"<h2>{escape(flow.name)}</h2>\n<p>{len(flow.runs)} executions, the latest first</p>\n<ol>{items}</ol>"


def _item(execution_id: str) -> str:
    return f'<li><code id="{execution_fragment(execution_id)}">{escape(execution_id)}</code>'
