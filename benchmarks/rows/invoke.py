"""One warm invocation: by our hook, a bare session, the http provider's hook, and a script that repeats every step."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Literal
from unittest.mock import patch

import requests
from airflow.providers.http.hooks.http import HttpHook

from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from benchmarks.airflow_environment import HTTP_CONN_ID, connect, connect_http, log_as_in_a_task
from benchmarks.figures import Figure, alone, at_most, at_most_times, compare
from benchmarks.measuring import alternate, call_by_call, cost_of
from benchmarks.org_process import CONN_ID, FlowPlan, OrgProcess
from benchmarks.peers import hand_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.figures import Target
    from benchmarks.measuring import Cost

FLOW = "onboard"
PAYLOAD = {"email": "ada@example.com", "groups": ["everyone", "engineering"]}
OURS, SESSION, HTTP_HOOK, BY_HAND = "ours", "requests.Session.post", "HttpHook.run", "a script by hand"
NULL, PACED = "another requests.Session.post", "ours, with the host's pace"


def measure(*, quick: bool) -> list[Figure]:
    """Compare the time of one invocation.

    :param quick: whether to run in quick mode
    """
    rounds, times = (2, 20) if quick else (15, 100)
    log_as_in_a_task()
    with OrgProcess([FlowPlan(FLOW)]) as org:
        ways = _ways(org)
        for invoke in ways.values():
            cost_of(invoke, 5)  # opens connections, imports modules, gets the token
        mixed = call_by_call(rounds, times, {name: ways[name] for name in (OURS, SESSION, NULL, PACED)})
        # These two are slow, and far from the others.
        blocks = {OURS: times // 5, HTTP_HOOK: times // 5, BY_HAND: max(2, times // 50)}
        slow = alternate(rounds, {name: partial(cost_of, ways[name], count) for name, count in blocks.items()})
    how = f"median of {rounds} rounds; a round is the median of {times} calls of each, call by call in random order"
    warm, cpu, beside = "one warm invocation", "the same, CPU of the caller", "in turns with blocks of calls"
    return [
        _beside(warm, mixed, OURS, SESSION, how=how, target=at_most_times(1.0)),
        _beside(f"null: {SESSION}", mixed, NULL, SESSION, how="two equal sessions in the same rounds"),
        _beside(cpu, mixed, OURS, SESSION, of="cpu", how="RSA-2048 key, kept connection, log lines as in a task"),
        _pace(mixed, "cpu", "CPU; pace=host beside pace=off in the same rounds, each turn free", at_most(0.1, "ms")),
        _pace(mixed, "wall", "the same, wall time"),
        _beside(warm, slow, OURS, HTTP_HOOK, how=f"{beside}; a new session each time"),
        _beside(warm, slow, OURS, BY_HAND, how=f"{beside}; loads the key, signs, asks, invokes"),
        _beside(cpu, slow, OURS, BY_HAND, of="cpu", how=beside),
    ]


def _beside(
    what: str,
    costs: dict[str, list[Cost]],
    ours: str,
    peer: str,
    *,
    how: str,
    of: Literal["wall", "cpu"] = "wall",
    target: Target | None = None,
) -> Figure:
    return compare(what, "ms", _of(costs, ours, of), peer, _of(costs, peer, of), how=how, target=target)


def _pace(costs: dict[str, list[Cost]], of: Literal["wall", "cpu"], how: str, target: Target | None = None) -> Figure:
    both = zip(_of(costs, PACED, of), _of(costs, OURS, of), strict=True)
    return alone(
        "a turn of the host, per invocation", "ms", [paced - own for paced, own in both], how=how, target=target
    )


def _of(costs: dict[str, list[Cost]], name: str, of: Literal["wall", "cpu"]) -> list[float]:
    return [1000 * getattr(cost, of) for cost in costs[name]]


def _ways(org: OrgProcess) -> dict[str, Callable[[], object]]:
    connect(CONN_ID, org.connection)
    hook = OktaWorkflowsHook()
    token = hook.get_access_token().value
    connect_http(org.url, token)
    http_hook = HttpHook("POST", http_conn_id=HTTP_CONN_ID)
    url, endpoint = org.url + org.endpoint(FLOW), org.endpoint(FLOW)
    sessions = [requests.Session(), requests.Session()]
    for session in sessions:
        session.headers["Authorization"] = f"Bearer {token}"
    paced = _paced_hook()

    def by_session(session: requests.Session) -> None:
        response = session.post(url, json=PAYLOAD, timeout=65)
        response.raise_for_status()
        response.json()

    def by_http_hook() -> None:
        http_hook.run(endpoint, json=PAYLOAD).json()

    def by_hand() -> None:
        fresh = hand_script.ask_for_token(org.token_url, org.client_id, org.private_key_pem, org.key_id)
        hand_script.invoke_flow(url, fresh, PAYLOAD)

    return {
        OURS: lambda: hook.invoke(FLOW, PAYLOAD),
        PACED: lambda: paced.invoke(FLOW, PAYLOAD),
        SESSION: partial(by_session, sessions[0]),
        NULL: partial(by_session, sessions[1]),
        HTTP_HOOK: by_http_hook,
        BY_HAND: by_hand,
    }


def _paced_hook() -> OktaWorkflowsHook:
    """Return a hook that has read another configuration of the pace, so fast that it never waits for a turn."""
    hook = OktaWorkflowsHook()
    fast = {"AIRFLOW__OKTA_WORKFLOWS__PACE": "host", "AIRFLOW__OKTA_WORKFLOWS__FLOW_RATE": "100000"}
    with patch.dict(os.environ, fast):
        hook.invoke(FLOW, PAYLOAD)
    return hook
