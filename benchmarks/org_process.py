"""The local org in a process of its own, so that its CPU is not ours; it answers questions over a pipe.

``python -m benchmarks.org_process`` reads JSON lines from stdin and answers each with one on stdout; it ends with its
stdin.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_okta_workflows.emulator import FlowRequest

CONN_ID = "okta_workflows_default"


@dataclass(frozen=True)
class FlowPlan:
    """Hold a flow that the org is to have.

    :param name: its name
    :param seconds: how long it takes
    :param status: what it answers
    :param answer: the JSON object that it answers
    """

    name: str
    seconds: float = 0.0
    status: int = 200
    answer: str = '{"status": "RUNNING"}'


@dataclass(frozen=True)
class OrgCounts:
    """Hold what the org has seen.

    :param requests: requests to flows, refused ones included
    :param refused: those of them that were answered 429
    :param runs: how often flows ran
    :param doubled: runs of a flow with a body that it had already run with
    :param token_requests: requests for a token
    :param connections: TCP connections that were opened
    """

    requests: int
    refused: int
    runs: int
    doubled: int
    token_requests: int
    connections: int


class OrgProcess:
    """Run the local org for as long as the block lasts.

    A forked child may ask as well, as long as nobody else does at the same time.

    :param flows: its flows
    :param key_type: the type of the app's key
    :param rate_limit: invocations per second that one flow takes; None for no limit
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
        """The Airflow connection to it, with the private key as JWK."""
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
        """Return the token endpoint."""
        return f"{self.url}/oauth2/v1/token"

    @property
    def client_id(self) -> str:
        """Return the app's client id."""
        return str(self.connection["login"])

    def endpoint(self, name: str) -> str:
        """Return the path at which a flow is invoked.

        :param name: the flow's name
        """
        return f"/api/flo/{self.connection['extra']['flows'][name]}/invoke"

    def counts(self) -> OrgCounts:
        """Return what it has seen since the last :meth:`forget`."""
        return OrgCounts(**self._ask("counts"))

    def forget(self) -> None:
        """Set all counts to nought."""
        self._ask("forget")

    def _ask(self, question: Any) -> Any:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the org is not running")
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the org's process has ended")
        return json.loads(answer)


def main() -> None:
    """Be the org's process."""
    from aiohttp import web

    from airflow_okta_workflows.core.keys.generation import pem_of
    from airflow_okta_workflows.emulator import LocalOrg, ReturnRaw

    opened = 0
    connection_made = web.Server.connection_made

    def count_connection(self: web.Server, *args: Any, **options: Any) -> None:
        nonlocal opened
        opened += 1
        connection_made(self, *args, **options)

    # aiohttp has no signal for it, and the org counts requests only.
    web.Server.connection_made = count_connection  # type: ignore[method-assign]

    def add(org: LocalOrg, plan: FlowPlan) -> None:
        answer = json.loads(plan.answer)

        # On the org's loop, so that thousands may wait in it at once.
        @org.flow(plan.name)
        async def flow(_request: FlowRequest) -> ReturnRaw:
            await asyncio.sleep(plan.seconds)
            return ReturnRaw(plan.status, answer)

    def counts(org: LocalOrg) -> OrgCounts:
        runs = Counter((flow.name, run.text) for flow in org.flows.values() for run in flow.runs)
        return OrgCounts(
            requests=len(org.log),
            refused=sum(request.status == 429 for request in org.log),
            runs=runs.total(),
            doubled=runs.total() - len(runs),
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
