"""The local org's counts as JSON, for tests that reach it only over the network."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_okta_workflows.emulator.state import OrgState

COUNTS_PATH = "/counts"
"""The path at which the local org serves its counts; Okta has no such endpoint."""


def counts(org: OrgState) -> dict[str, Any]:
    """Return the numbers of requests, granted tokens and runs, as a JSON value.

    ``most_runs_of_a_key`` is the highest number of runs under one idempotency key: 1 if no invocation ran twice, 0 if
    none had a key.

    :param org: the org
    """
    return {
        "token_requests": len(org.token_requests),
        "tokens_granted": org.tokens_granted,
        "flows": {
            name: {
                "requests": len(org.requests(name)),
                "runs": len(flow.runs),
                "most_runs_of_a_key": _most([run.idempotency_key for run in flow.runs]),
            }
            for name, flow in org.flows.items()
        },
    }


def _most(keys: list[str | None]) -> int:
    return max((number for key, number in Counter(keys).items() if key is not None), default=0)
