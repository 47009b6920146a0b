"""A real Airflow whose tasks and triggers reach the flow through proxies, some of which do not let them through."""

from __future__ import annotations

import json
import ssl
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_okta_workflows.emulator import LocalOrg, LocalProxy
from tests.e2e.airflow_standalone import Airflow

pytestmark = pytest.mark.timeout(600)

ORG, FLOWS = "org.example", "flows.example"
PROXIES: dict[str, dict[str, Any]] = {
    "passing": {},
    "refusing": {"behavior": "refuse", "status": 403},
    "failing": {"behavior": "refuse", "status": 502},
    "hanging": {"behavior": "hang"},
    "cutting": {"behavior": "cut"},
    "intercepting": {"behavior": "intercept"},
    "intercepting_by_a_known_ca": {"behavior": "intercept"},
}
SAID = {
    "refusing": "returned 403 Forbidden to CONNECT",
    "failing": "returned 502 Bad Gateway to CONNECT",
    "hanging": "no connection: it took too long",
    "cutting": "no connection: the connection was reset",
    "intercepting": "the host's certificate is not trusted",
}


def server_settings(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(ORG, FLOWS).configure_cert(context)
    return context


def test_what_a_proxy_does_is_told_and_no_flow_runs_but_through_one_that_helps(tmp_path: Path) -> None:
    """The proxies pass requests to the org and misbehave only for the flows, so there is a token in each case."""
    authority, company = trustme.CA(), trustme.CA()
    home, bundle, both = tmp_path / "airflow", tmp_path / "ca.pem", tmp_path / "both.pem"
    authority.cert_pem.write_to_path(str(bundle))
    for one in (authority, company):
        one.cert_pem.write_to_path(str(both), append=True)
    runs: Counter[tuple[str, bool]] = Counter()
    with ExitStack() as stack:
        org = LocalOrg(rate_limit=None, public_host=ORG, ssl_context=server_settings(authority))
        stack.enter_context(org)

        @org.flow("quick")
        def quick(request: Any) -> Any:
            runs[request.body["proxy"], request.body["deferred"]] += 1
            return request.body

        place = ("127.0.0.1", org.port)
        environment = {"E2E_PROXIES": " ".join(PROXIES)}
        for name, options in PROXIES.items():
            proxy = LocalProxy(
                {ORG: place, FLOWS: place}, hosts=[FLOWS], certificate=server_settings(company), **options
            )
            stack.enter_context(proxy)
            connection = org.connection(
                flows={"quick": f"https://{FLOWS}:{org.port}/api/flo/{org.flows['quick'].alias}/invoke"},
                http_proxy=proxy.url,
                verify=str(both if name.endswith("known_ca") else bundle),
                connect_timeout=1,
            )
            environment[f"AIRFLOW_CONN_OKTA_{name.upper()}"] = json.dumps(connection)
        home.mkdir()
        airflow = stack.enter_context(Airflow(home, Path(__file__).parent / "proxy_dags", environment))
        run_id = airflow.trigger("proxies")
        airflow.finished("proxies", run_id, within=240)
        tasks = {task["task_id"]: task for task in airflow.tasks("proxies", run_id)}
        logs = {
            path.parent.name: path.parent.joinpath("attempt=2.log").read_text()
            for path in (home / "logs").rglob("attempt=1.log")
            if path.parent.joinpath("attempt=2.log").exists()
        }

    helpful = {name for name in PROXIES if name not in SAID}
    assert runs == {(name, deferred): 1 for name in helpful for deferred in (False, True)}
    for name in PROXIES:
        for task_id in (name, f"{name}_deferred"):
            assert tasks[task_id]["state"] == ("success" if name in helpful else "failed"), task_id
            # Airflow retries, because the invocation was not sent.
            assert tasks[task_id]["try_number"] == (1 if name in helpful else 2), task_id
            if name in SAID:
                assert SAID[name] in logs[f"task_id={task_id}"]
                assert "OktaFlowNotSentError" in logs[f"task_id={task_id}"]
