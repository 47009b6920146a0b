"""The comparison of the row ``batch`` over 20 flows at once, each invoked from its own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

# Unused here, but loaded in the parent of the forks.
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook  # noqa: F401
from benchmarks.airflow_environment import connect, log_as_in_a_task
from benchmarks.batches import FLOW_SECONDS, OURS, POOL, RATE, by_our_operator, by_thread_pool, figures, run_batch
from benchmarks.measuring import become_warm_parent
from benchmarks.org_process import CONN_ID, FlowPlan, OrgProcess
from benchmarks.peers import hand_script

if TYPE_CHECKING:
    from benchmarks.figures import Figure


def measure(*, quick: bool) -> list[Figure]:
    """Compare ways to invoke many flows many times.

    :param quick: whether to run in quick mode
    """
    names = [f"limited-{number}" for number in range(3 if quick else 20)]
    count = 15 if quick else 600
    log_as_in_a_task()
    with OrgProcess([FlowPlan(name, FLOW_SECONDS) for name in names], rate_limit=RATE) as org:
        token = hand_script.ask_for_token(org.token_url, org.client_id, org.private_key_pem, org.key_id)
        connect(CONN_ID, org.connection)
        become_warm_parent()
        found = {
            OURS: run_batch(org, names, count, by_our_operator),
            POOL: run_batch(org, names, count, by_thread_pool(org, token)),
        }
    return figures(found, f"{len(names)} flows held to 10/s each")
