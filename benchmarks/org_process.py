"""The local org in a separate process, so that its CPU time does not count as ours.

``python -m benchmarks.org_process`` reads commands as JSON lines from stdin, and writes one JSON line to stdout for
each. It ends when stdin is closed.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_okta_workflows.emulator import FlowRequest

CONN_ID = "okta_workflows_default"


@dataclass(frozen=True)
class FlowPlan:
    """Description of a flow of the org.

    :param name: its name
    :param seconds: how long it runs, in seconds
    :param status: the HTTP status that it returns
    :param response: the JSON object that it returns, as a string
    """

    name: str
    seconds: float = 0.0
    status: int = 200
    response: str = '{"status": "RUNNING"}'


@dataclass(frozen=True)
class OrgCounts:
    """Counters of the org.

    :param requests: requests to flows, including refused ones
    :param refused: requests to flows that got 429
    :param runs: runs of flows
    :param doubled: runs of a flow with a body that it had already run with
    :param running: seconds from the first to the last run of each flow, all flows added up
    :param token_requests: token requests
    :param connections: TCP connections that were opened
    """

    requests: int
    refused: int
    runs: int
    doubled: int
    running: float
    token_requests: int
    connections: int


class OrgProcess:
    """Local org in a separate process that runs while the block lasts.

    A forked child may use it too, but only one process at a time.

    :param flows: its flows
    :param key_type: the type of the app's key
    :param rate_limit: invocations per second that one flow accepts; None for no limit
    """

    def __init__(
        self,
        flows: Sequence[FlowPlan],
        *,
        key_type: Literal["p256", "rsa2048"] = "rsa2048",
        rate_limit: int | None = None,
    ) -> None:
        self._plan = {"flows": [asdict(flow) for flow in flows], "key_type": key_type, "rate_limit": rate_limit}
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.connection: dict[str, Any] = {}
        """Airflow connection to the org, with the private key as a JWK."""
        self.private_key_pem = ""
        self.key_id = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.org_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        vars(self).update(self._ask(self._plan))
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process is not None:
            assert self._process.stdin is not None  # both are pipes
            assert self._process.stdout is not None
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()

    @property
    def token_url(self) -> str:
        """URL of the token endpoint."""
        return f"{self.url}/oauth2/v1/token"

    @property
    def client_id(self) -> str:
        """Client id of the app."""
        return str(self.connection["login"])

    def endpoint(self, name: str) -> str:
        """Return the path at which a flow is invoked.

        :param name: the flow's name
        """
        return f"/api/flo/{self.connection['extra']['flows'][name]}/invoke"

    def counts(self) -> OrgCounts:
        """Return the counters since the last :meth:`forget`."""
        return OrgCounts(**self._ask("counts"))

    def forget(self) -> None:
        """Reset all counters to zero."""
        self._ask("forget")

    def _ask(self, question: Any) -> Any:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the org is not running")
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        response = self._process.stdout.readline()
        if not response:
            raise RuntimeError("the org's process has ended")
        return json.loads(response)


def main() -> None:
    """Run the org's process."""
    from aiohttp import web

    from airflow_okta_workflows.core.keys.generation import pem_of
    from airflow_okta_workflows.emulator import LocalOrg, ReturnRaw

    opened = 0
    connection_made = web.Server.connection_made

    def count_connection(self: web.Server, *args: Any, **options: Any) -> None:
        nonlocal opened
        opened += 1
        connection_made(self, *args, **options)

    # aiohttp has no signal for a new connection, and the org counts only requests.
    web.Server.connection_made = count_connection  # type: ignore[method-assign]

    def add(org: LocalOrg, plan: FlowPlan) -> None:
        response = json.loads(plan.response)

        # A coroutine runs on the org's event loop, so thousands of runs can wait at once.
        @org.flow(plan.name)
        async def flow(_request: FlowRequest) -> ReturnRaw:
            await asyncio.sleep(plan.seconds)
            return ReturnRaw(plan.status, response)

    def counts(org: LocalOrg) -> OrgCounts:
        runs = Counter((flow.name, run.text) for flow in org.flows.values() for run in flow.runs)
        ran_at: dict[str, list[float]] = defaultdict(list)
        for request in org.log:
            if request.ran:
                ran_at[request.flow].append(request.received_at)
        return OrgCounts(
            requests=len(org.log),
            refused=sum(request.status == 429 for request in org.log),
            runs=runs.total(),
            doubled=runs.total() - len(runs),
            running=sum(max(times) - min(times) for times in ran_at.values()),
            token_requests=len(org.token_requests),
            connections=opened,
        )

    def forget(org: LocalOrg) -> None:
        nonlocal opened
        opened = 0
        org.log.clear()
        org.token_requests.clear()
        for flow in org.flows.values():
            flow.runs.clear()

    options = json.loads(sys.stdin.readline())
    plans = [FlowPlan(**plan) for plan in options.pop("flows")]
    with LocalOrg(**options) as org:
        for plan in plans:
            add(org, plan)
        place = {
            "url": org.url,
            "connection": org.connection(),
            "private_key_pem": pem_of(org.private_jwk),
            "key_id": org.private_jwk["kid"],
        }
        print(json.dumps(place), flush=True)
        for line in sys.stdin:
            if json.loads(line) == "counts":
                print(json.dumps(asdict(counts(org))), flush=True)
            else:
                forget(org)
                print("null", flush=True)


if __name__ == "__main__":
    main()
