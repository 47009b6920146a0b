"""One run: all probes, in the order in which they depend on one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_okta_workflows.conformance.flow_probes import probe_flows, skip_flows
from airflow_okta_workflows.conformance.rate_probes import probe_rate, skip_rate
from airflow_okta_workflows.conformance.token_probes import probe_metadata, probe_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_okta_workflows.conformance.session import Session
    from airflow_okta_workflows.core.addresses import FlowAddress


def run_probes(session: Session, flows: Mapping[str, FlowAddress], *, rate: bool) -> None:
    """Try all rules that the flows and the options allow.

    :param session: the run; its findings hold what was seen
    :param flows: the flows by name
    :param rate: whether to try the rate limit
    :raises CoreError: if the key cannot be read
    """
    for flow in flows.values():
        session.normalizer.learn(flow.alias, "<alias>")
    probe_metadata(session)
    probe_tokens(session)
    if session.token is None:
        skip_flows(session, "there is no token", failed=True)
        skip_rate(session, "there is no token", failed=True)
        return
    probe_flows(session, flows)
    if not rate:
        skip_rate(session, "it is tried only with --rate", failed=False)
    elif "echo" not in flows:
        skip_rate(session, "it needs the flow echo", failed=False)
    else:
        probe_rate(session, flows["echo"])
