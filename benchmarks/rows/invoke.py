"""One warm invocation: by our hook, a bare session, the http provider's hook, and a script that repeats every step."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import requests
from airflow.providers.http.hooks.http import HttpHook

from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from benchmarks.airflow_environment import HTTP_CONN_ID, connect, connect_http, log_as_in_a_task
from benchmarks.figures import Figure, at_most_times, compare
from benchmarks.measuring import alternate, cost_of
from benchmarks.org_process import CONN_ID, FlowPlan, OrgProcess
from benchmarks.peers import hand_script

if TYPE_CHECKING:
    from collections.abc import Callable

FLOW = "onboard"
PAYLOAD = {"email": "ada@example.com", "groups": ["everyone", "engineering"]}
OURS, SESSION, HTTP_HOOK, BY_HAND = "ours", "requests.Session.post", "HttpHook.run", "a script by hand"


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
        # The script parses a key and requests a token each time, so a tenth of the calls is enough.
        counts = {name: max(2, times // 10) if name == BY_HAND else times for name in ways}
        costs = alternate(rounds, {name: partial(cost_of, ways[name], counts[name]) for name in ways})
    wall = {name: [1000 * cost.wall for cost in found] for name, found in costs.items()}
    cpu = {name: [1000 * cost.cpu for cost in found] for name, found in costs.items()}
    how = f"median of {rounds} rounds of {times} calls in turns, RSA-2048 key, kept connection, log lines as in a task"
    return [
        compare("one warm invocation", "ms", wall[OURS], SESSION, wall[SESSION], how=how, target=at_most_times(1.15)),
        compare("the same, CPU of the caller", "ms", cpu[OURS], SESSION, cpu[SESSION], how="CPU of the caller alone"),
        compare("one warm invocation", "ms", wall[OURS], HTTP_HOOK, wall[HTTP_HOOK], how="a new session each time"),
        compare(
            "one warm invocation", "ms", wall[OURS], BY_HAND, wall[BY_HAND], how="loads the key, signs, asks, invokes"
        ),
        compare("the same, CPU of the caller", "ms", cpu[OURS], BY_HAND, cpu[BY_HAND], how="CPU of the caller alone"),
    ]


def _ways(org: OrgProcess) -> dict[str, Callable[[], object]]:
    connect(CONN_ID, org.connection)
    hook = OktaWorkflowsHook()
    token = hook.get_access_token().value
    connect_http(org.url, token)
    http_hook = HttpHook("POST", http_conn_id=HTTP_CONN_ID)
    url, endpoint = org.url + org.endpoint(FLOW), org.endpoint(FLOW)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"

    def by_session() -> None:
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
        SESSION: by_session,
        HTTP_HOOK: by_http_hook,
        BY_HAND: by_hand,
    }
