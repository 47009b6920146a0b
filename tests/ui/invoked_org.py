"""A local org at which each kind of thing has happened, for tests of its console."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests

from airflow_okta_workflows.emulator import HtmlError, LocalOrg, Reset, ReturnError, TooManyRequests
from airflow_okta_workflows.emulator.sample_flows import sample_flows
from airflow_okta_workflows.exceptions import OktaWorkflowsError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

SCRIPT = "<script>document.title = 'ran'</script><img src=x onerror=\"document.title = 'ran'\">"
KEY = "5f0c6c1e-8d5b-5a34-9b63-1f2f0a4f7c11"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_LONG = 600
"""Seconds for which the invocation in progress may go on: longer than any test."""


@contextmanager
def invoked_org(monkeypatch: Any) -> Iterator[LocalOrg]:
    """Yield the org, with one invocation in progress."""
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", "off")
    going_on, end = threading.Event(), threading.Event()

    def wait(request: Any) -> Any:
        going_on.set()
        end.wait(_LONG)
        return {"reviewed": True}

    with LocalOrg(rate_limit=None, time_limit=_LONG) as org:
        org.add_flows(sample_flows(provisioning_seconds=0))
        org.flow("offboard")(lambda request: ReturnError(500, "The mailbox of this person is on legal hold"))
        org.flow("review")(wait)
        for name, value in org.environment(read_timeout=_LONG).items():
            monkeypatch.setenv(name, value)
        _invoke_all(org)
        waiting = threading.Thread(target=lambda: OktaWorkflowsHook().invoke("review", {"group": "Engineering"}))
        waiting.start()
        going_on.wait(60)
        try:
            yield org
        finally:
            end.set()
            waiting.join()


def _invoke_all(org: LocalOrg) -> None:
    requests.post(f"{org.url}/oauth2/v1/token", data={"grant_type": "client_credentials"}, timeout=5)
    hook = OktaWorkflowsHook()
    hook.invoke("hello", {"name": SCRIPT})
    requests.post(org.invoke_url("hello"), json={"name": "Mallory"}, timeout=5)
    hook.invoke("create_account", {"email": "ada@example.com", "name": {"given": "Ada", "family": "Lovelace"}, "groups": ["Everyone", "Engineering", "Analytical Engines"]}, idempotency_key=KEY)  # fmt: skip
    account = hook.invoke("create_account", {"email": "grace@example.com"}).body["account"]["id"]
    hook.invoke(
        "add_to_group",
        {"account_id": account, "group": "Engineering"},
        headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
    )
    org.inject(HtmlError(503), flow="provision")
    org.inject(Reset(after_run=True), flow="provision")
    # One word, to be broken.
    leaver = "margarethamiltonoftheapolloguidance@example.com"
    for flow, payload in (("provision", {"account_id": account}), ("provision", {"account_id": account}), ("offboard", {"email": leaver})):  # fmt: skip
        with suppress(OktaWorkflowsError):
            hook.invoke(flow, payload)
    for _ in range(2):
        org.inject(TooManyRequests(), flow="send_welcome")
        requests.post(org.invoke_url("send_welcome"), json={"account_id": account}, timeout=5)
    hook.invoke("send_welcome", {"account_id": account, "groups": ["Everyone", "Engineering"]})
