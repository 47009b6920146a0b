"""Cost of a token in a new process: in a task forked from a warm worker, and in a new interpreter."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Unused here, but loaded in the parent of the forks, as in a worker.
from airflow.sdk import BaseHook, dag, task  # noqa: F401

from benchmarks.airflow_environment import connect, log_as_in_a_task
from benchmarks.figures import Figure, alone, at_most, compare
from benchmarks.measuring import (
    Cost,
    alternate,
    become_warm_parent,
    cost_of,
    cost_of_process,
    in_fork,
)
from benchmarks.org_process import CONN_ID, FlowPlan, OrgProcess
from benchmarks.peers import hand_script, okta_sdk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

CACHED, COLD, BY_HAND, OKTA_SDK = "ours, cached", "ours, cold", "by hand", "okta SDK"
PEERS = Path(okta_sdk.__file__).parent


@dataclass(frozen=True)
class TokenCost:
    """Cost of a token in one process.

    :param lookup: Airflow's first look-up of a connection in the process
    :param token: the first token, including the creation of the hook
    :param again: a second token, with another hook
    :param lookup_again: a second look-up of the connection
    """

    lookup: Cost
    token: Cost
    again: Cost
    lookup_again: Cost


def measure(*, quick: bool) -> list[Figure]:
    """Compare the cost of a token in a new process.

    :param quick: whether to run in quick mode
    """
    log_as_in_a_task()
    figures = []
    # Each kind of key is measured in its own fork, in which no more is imported than in a worker.
    with OrgProcess([FlowPlan("any")], key_type="rsa2048") as org:
        pem = {"password": org.private_key_pem, "extra": {**org.connection["extra"], "key_id": org.key_id}}
        rsa = Key(org, "RSA-2048 PEM", org.connection | pem, with_interpreters=True)
        figures += in_fork(lambda: rsa.figures(quick=quick))
    with OrgProcess([FlowPlan("any")], key_type="p256") as org:
        # No new interpreters: the SDK cannot read an EC key, and imports dominate their time, whatever the key.
        p256 = Key(org, "P-256 JWK", org.connection, with_interpreters=False)
        figures += in_fork(lambda: p256.figures(quick=quick))
    return figures


@dataclass(frozen=True)
class Key:
    """Measurements with one kind of key.

    :param org: the org
    :param title: the kind of key
    :param connection: the Airflow connection that has the key
    :param with_interpreters: whether to measure new interpreters too
    """

    org: OrgProcess
    title: str
    connection: dict[str, Any]
    with_interpreters: bool

    def figures(self, *, quick: bool) -> list[Figure]:
        """Measure, and return the lines of the table.

        :param quick: whether to run in quick mode
        """
        connect(CONN_ID, self.connection)
        figures = self._in_task_processes(2 if quick else 21)
        if self.with_interpreters:
            with tempfile.TemporaryDirectory() as folder:
                commands = self._commands(Path(folder))
                if not quick:
                    for command in commands.values():
                        command()  # writes all byte code
                figures += self._in_new_interpreters(1 if quick else 3, commands)
        return figures

    def _in_task_processes(self, forks: int) -> list[Figure]:
        in_fork(self._ours)  # so that a token is cached
        unwarmed = [in_fork(self._import_and_ours) for _ in range(forks)]
        _hook_class()
        _import_client()
        become_warm_parent()
        found = alternate(
            forks,
            {
                CACHED: lambda: in_fork(self._ours),
                BY_HAND: lambda: in_fork(self._by_hand),
                COLD: lambda: in_fork(self._ours_cold),
            },
        )
        token = {name: [1000 * cost.token.cpu for cost in costs] for name, costs in found.items()}
        cached = found[CACHED]
        if in_fork(lambda: self._keys_parsed(cold=True)) != 1:
            raise RuntimeError("a cold process parses one key, and that was not counted")
        parsed = in_fork(lambda: self._keys_parsed(cold=False))
        how = f"CPU; median of {forks} forks in turns; parent has Airflow's supervisor and the client; connection known"
        name = f"token in a task process, {self.title}"
        return [
            compare(f"{name}, cached", "ms", token[CACHED], BY_HAND, token[BY_HAND], how=how, target=at_most(3, "ms")),
            alone(f"{name}, cached: keys parsed", "", [parsed], how="calls counted", target=at_most(0)),
            alone(
                f"{name}, cached, once more",
                "ms",
                [1000 * cost.again.cpu for cost in cached],
                how="in that process, with another hook: the pages that it touches are its own by now",
            ),
            alone(
                f"{name}, cached: Airflow's look-up in it",
                "ms",
                [1000 * cost.lookup_again.cpu for cost in cached],
                how="get_connection, once more in that process",
            ),
            alone(
                f"{name}, cached, with the first look-up",
                "ms",
                [1000 * (cost.token.cpu + cost.lookup.cpu) for cost in cached],
                how="with the process's first get_connection",
            ),
            alone(
                f"{name}, cached, with the import",
                "ms",
                [1000 * cost.token.cpu for cost in unwarmed],
                how="the parent has imported Airflow's supervisor alone",
            ),
            compare(f"{name}, cold", "ms", token[COLD], BY_HAND, token[BY_HAND], how="signs, asks and keeps the token"),
        ]

    def _in_new_interpreters(self, starts: int, commands: Mapping[str, Callable[[], Cost]]) -> list[Figure]:
        found = alternate(starts, commands)
        wall = {name: [cost.wall for cost in costs] for name, costs in found.items()}
        how = f"wall time of the whole process, imports and all; median of {starts} in turns"
        name = f"token in a new interpreter, {self.title}"
        return [
            compare(f"{name}, cached", "s", wall[CACHED], BY_HAND, wall[BY_HAND], how=how),
            compare(f"{name}, cold", "s", wall[COLD], BY_HAND, wall[BY_HAND], how="as above"),
            compare(f"{name}, cold", "s", wall[COLD], OKTA_SDK, wall[OKTA_SDK], how=f"okta {okta_sdk.sdk_version()}"),
        ]

    def _commands(self, folder: Path) -> dict[str, Callable[[], Cost]]:
        org = self.org
        private_key = self.connection["password"]
        app = {"client_id": org.client_id, "private_key": private_key, "kid": org.key_id}
        for_hand, for_sdk = folder / "hand.json", folder / "sdk.json"
        for_hand.write_text(json.dumps({"token_url": org.token_url, **app}))
        for_sdk.write_text(json.dumps({"org_url": org.url, **app}))
        ours = [sys.executable, str(PEERS / "new_process.py")]
        okta_sdk_python = str(okta_sdk.sdk_python())

        def cold() -> Cost:
            self._forget_token()
            return cost_of_process(ours)

        def cached() -> Cost:
            in_fork(self._ours)
            return cost_of_process(ours)

        return {
            CACHED: cached,
            COLD: cold,
            BY_HAND: lambda: cost_of_process([sys.executable, str(PEERS / "hand_script.py")], stdin=for_hand),
            OKTA_SDK: lambda: cost_of_process([okta_sdk_python, str(okta_sdk.SCRIPT)], stdin=for_sdk),
        }

    def _ours(self) -> TokenCost:
        return _token_cost(lambda: _hook_class()().get_access_token())

    def _ours_cold(self) -> TokenCost:
        self._forget_token()
        return self._ours()

    def _import_and_ours(self) -> TokenCost:
        if "airflow_okta_workflows.hooks.okta_workflows" in sys.modules:
            raise RuntimeError("the parent has imported the hook")
        return self._ours()

    def _by_hand(self) -> TokenCost:
        org, key = self.org, self.connection["password"]
        return _token_cost(lambda: hand_script.ask_for_token(org.token_url, org.client_id, key, org.key_id))

    def _keys_parsed(self, *, cold: bool) -> int:
        from airflow_okta_workflows.core.keys import signing

        parsed = 0
        load = signing.load_signing_key

        def count(*args: Any, **options: Any) -> signing.SigningKey:
            nonlocal parsed
            parsed += 1
            return load(*args, **options)

        signing.load_signing_key = count
        if cold:
            self._forget_token()
        _hook_class()().get_access_token()
        return parsed

    def _forget_token(self) -> None:
        from airflow.configuration import conf

        shutil.rmtree(conf.get("okta_workflows", "token_cache_dir"), ignore_errors=True)


def _token_cost(get_token: Callable[[], object]) -> TokenCost:
    return TokenCost(cost_of(_look_up), cost_of(get_token), cost_of(get_token), cost_of(_look_up))


def _look_up() -> None:
    BaseHook.get_connection(CONN_ID)


def _hook_class() -> type[OktaWorkflowsHook]:
    from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

    return OktaWorkflowsHook


def _import_client() -> None:
    """Import what the hook imports when it is first used."""
    importlib.import_module("airflow_okta_workflows.client.sync_client")
    importlib.import_module("airflow_okta_workflows.transport.h11_transport")
