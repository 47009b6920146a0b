"""The local org's console: the page at ``/app``, where the extra link of a task instance leads.

It is one page of plain HTML, without scripts, that loads nothing. It shows what callers sent and what they got, except
secrets: the records have no Authorization header and no assertion, and what looks like a token is removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.addresses import CONSOLE_PATH, execution_fragment
from airflow_okta_workflows.emulator.console_parts import (
    body_cell,
    cell,
    duration_text,
    link,
    number_of,
    state_cell,
    table_head,
    text,
    time_cell,
)
from airflow_okta_workflows.emulator.console_style import STYLE
from airflow_okta_workflows.emulator.responses import RawResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_okta_workflows.emulator.records import SeenRequest, SeenTokenRequest
    from airflow_okta_workflows.emulator.state import OrgState

_LATEST = 200
"""Maximum number of invocations shown, and of token requests."""
_REFUSALS = frozenset({401, 403, 404, 405, 429})
"""The statuses with which an org refuses an invocation; others come from what is in front of it."""
_REFUSED = ("refused", "warn")

_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    # So that markup in a payload could not do anything even if it were not escaped.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Filter:
    """Which invocations to show.

    :param flow: the name of their flow; empty for all
    :param run: what their execution id or their idempotency key begins with; empty for all
    """

    flow: str = ""
    run: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Filter:
        """Return the filter in the query of the page's URL.

        :param query: the query parameters
        """
        return cls(query.get("flow", ""), query.get("run", "").strip())

    def takes(self, request: SeenRequest) -> bool:
        """Return whether to show an invocation.

        :param request: the invocation
        """
        if self.flow not in ("", request.flow):
            return False
        ids = (request.execution_id, request.idempotency_key)
        return not self.run or any(one is not None and one.startswith(self.run) for one in ids)


def console_page(org: OrgState, shown: Filter) -> RawResponse:
    """Return the page as a response; the browser highlights the execution that the URL's fragment names.

    :param org: the org
    :param shown: which invocations to show
    """
    page = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<title>Local org: execution history</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{STYLE}</style>\n{_head(org)}\n<main>\n{''.join(_content(org, shown))}</main>\n</html>\n"
    )
    # JSON can contain a lone surrogate, which UTF-8 cannot.
    return RawResponse(200, page.encode("utf-8", "replace"), _HEADERS)


def _head(org: OrgState) -> str:
    ran = sum(request.ran for request in org.log)
    refused = sum(_state(request) == _REFUSED for request in org.log)
    refused_tokens = sum(_token_state(request) == _REFUSED for request in org.token_requests)
    counts = (
        ("Token requests", len(org.token_requests), f"{org.tokens_granted} granted"),
        ("Invocations", len(org.log), f"{ran} ran"),
        (
            "Refused",
            refused + refused_tokens,
            f"{number_of(refused, 'invocation')}, {number_of(refused_tokens, 'token request')}",
        ),
    )
    tiles = "".join(
        f'<div><dt>{name}</dt><dd>{count}</dd><dd class="muted">{more}</dd></div>' for name, count, more in counts
    )
    return (
        "<header>\n<h1>Execution history</h1>\n"
        f'<p class="muted">A local org for tests and demos at {text(org.url)}. Times are UTC.</p>\n'
        f"<dl>{tiles}</dl>\n</header>"
    )


def _content(org: OrgState, shown: Filter) -> Iterator[str]:
    if not org.flows:
        yield (
            '<div class="empty"><h2>There are no flows.</h2><p>Add one to this org:</p><pre>@org.flow("hello")\n'
            'def hello(request):\n    return {"greeting": "Hello"}</pre></div>\n'
        )
    elif not org.log:
        name = next(iter(org.flows))
        yield (
            '<div class="empty"><h2>Nothing was invoked yet.</h2><p>In a shell that has the connection to this org'
            " (<code>okta-workflows emulator</code> prints it as a line to paste), run:</p>"
            f"<pre>okta-workflows invoke {text(name)} --payload '{{}}'</pre>"
            "<p>or a DAG whose task invokes one of its flows:"
            f" {', '.join(f'<code>{text(flow)}</code>' for flow in org.flows)}.</p></div>\n"
        )
    else:
        yield from _invocations(org, shown)
    if org.token_requests and shown == Filter():
        yield _token_requests(org)


def _invocations(org: OrgState, shown: Filter) -> Iterator[str]:
    yield _form(org, shown)
    matching = [request for request in reversed(org.log) if shown.takes(request)]
    if not matching:
        yield (
            '<div class="empty"><h2>No invocation matches.</h2><p>A run is found by the beginning of its execution id'
            f" or its idempotency key. {link('Show all invocations')}</p></div>\n"
        )
        return
    if len(matching) > _LATEST:
        more = "Filter by a run to find an older one."
        yield f'<p class="muted">The latest {_LATEST} of {len(matching)} invocations. {more}</p>\n'
    yield (
        '<p class="muted">Airflow sends no DAG run to Okta. The column shows the idempotency key instead, which is also'
        " in the log of the task; all tries for one wanted run share it.</p>\n"
    )
    yield table_head("Invocations", ("Time", "Flow", "Status", "Duration", "Payload", "Response", "DAG run"))
    yield from (_row(request) for request in islice(matching, _LATEST))
    yield "</tbody></table>\n"


def _form(org: OrgState, shown: Filter) -> str:
    options = "".join(
        f'<option value="{text(name)}"{" selected" if name == shown.flow else ""}>{text(name)}</option>'
        for name in org.flows
    )
    reset = "" if shown == Filter() else link("Show all")
    return (
        f'<form action="{CONSOLE_PATH}"><label>Flow<select name="flow"><option value="">All flows</option>{options}'
        f'</select></label><label>Execution id or idempotency key<input name="run" value="{text(shown.run)}"'
        f' autocomplete="off" spellcheck="false"></label><button>Filter</button>{reset}</form>\n'
    )


def _row(request: SeenRequest) -> str:
    execution = ""
    if request.execution_id is not None:
        fragment = text(execution_fragment(request.execution_id))
        execution = f'<small><code id="{fragment}">{text(request.execution_id)}</code></small>'
    payload = "&".join(f"{name}={value}" for name, value in request.query.items()) + request.text
    return (
        '<tr role="row">'
        + time_cell(request.received_at)
        + cell("Flow", f"{link(request.flow, flow=request.flow)}{execution}")
        + state_cell(request.status, *_state(request))
        + cell("Duration", duration_text(request.duration))
        + body_cell("Payload", payload)
        + body_cell("Response", None if request.status is None else request.response)
        + cell("DAG run", _run(request))
        + "</tr>\n"
    )


def _run(request: SeenRequest) -> str:
    key = request.idempotency_key
    # The second of the four parts is the id of the trace (W3C Trace Context).
    trace = request.headers.get("traceparent", "").split("-")[1:2]
    shown = '<span class="none">no key</span>' if key is None else f"<code>{link(key, run=key)}</code>"
    return shown + "".join(f"<small>trace {text(one)}</small>" for one in trace)


def _state(request: SeenRequest) -> tuple[str, str]:
    """Return what became of an invocation, and its class in the style sheet."""
    if request.duration is None:
        return "in progress", "open"
    if request.ran:
        if request.status is None:
            return "ran, no response", "bad"
        return ("succeeded", "ok") if request.status < 400 else ("failed", "bad")
    if request.status is None:
        return "cut off", "bad"
    return _REFUSED if request.status in _REFUSALS else ("did not run", "warn")


def _token_state(request: SeenTokenRequest) -> tuple[str, str]:
    """Return what became of a token request, and its class in the style sheet."""
    if request.status is None:
        return "no response", "bad"
    return ("granted", "ok") if request.status < 400 else _REFUSED


def _token_requests(org: OrgState) -> str:
    rows = "".join(_token_row(request) for request in islice(reversed(org.token_requests), _LATEST))
    return (
        f"<h2>Token requests</h2>\n{table_head('Token requests', ('Time', 'Status', 'Error'))}{rows}</tbody></table>\n"
    )


def _token_row(request: SeenTokenRequest) -> str:
    error = f"<code>{text(request.error)}</code>" if request.error else '<span class="none">none</span>'
    return (
        '<tr role="row">'
        + time_cell(request.received_at)
        + state_cell(request.status, *_token_state(request))
        + cell("Error", error)
        + "</tr>\n"
    )
