"""A key is read where it stops nobody: an event loop reads it in a thread."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from airflow_okta_workflows.core.keys import signing
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.hooks import flow_hook
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_okta_workflows.emulator import LocalOrg

Connect = Callable[..., None]


def watched(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[bool]:
    """Note of each call of a function whether it is made in a thread that runs an event loop."""
    on_a_loop: list[bool] = []
    function = getattr(module, name)

    def watch(*args: Any, **options: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            on_a_loop.append(False)
        else:
            on_a_loop.append(True)
        return function(*args, **options)

    monkeypatch.setattr(module, name, watch)
    return on_a_loop


async def test_a_loop_reads_connection_and_key_in_a_thread(
    org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", "off")
    loaded, read = (
        watched(monkeypatch, signing, "load_signing_key"),
        watched(monkeypatch, flow_hook, "parse_connection"),
    )
    connect(org)

    await OktaWorkflowsHook().ainvoke("echo")

    assert (loaded, read) == ([False], [False])
    assert len(org.token_requests) == 1


def test_a_task_reads_them_where_it_is(org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", "off")
    threads: list[str] = []
    load = signing.load_signing_key

    def watch(*args: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return load(*args, **options)

    monkeypatch.setattr(signing, "load_signing_key", watch)
    connect(org)
    OktaWorkflowsHook().invoke("echo")

    assert threads == [threading.current_thread().name]


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_key_that_turns_out_damaged_says_so(
    org: LocalOrg, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    damaged = {**org.private_jwk, "d": org.private_jwk["x"]}
    connection = {**org.connection(), "password": json.dumps(damaged)}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
    hook = OktaWorkflowsHook()

    with pytest.raises(OktaConfigurationError, match=r"The private key .* damaged"):
        asyncio.run(hook.ainvoke("echo")) if asynchronous else hook.invoke("echo")
    assert org.token_requests == []


async def test_a_key_file_that_is_not_there_says_so_on_a_loop(
    org: LocalOrg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connection = {**org.connection(key_file=str(tmp_path / "key")), "password": None}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))

    with pytest.raises(OktaConfigurationError, match="cannot be read: No such file"):
        await OktaWorkflowsHook().ainvoke("echo")
