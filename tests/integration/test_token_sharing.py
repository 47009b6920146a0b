"""One token per host: real processes, a real file, the local org."""

from __future__ import annotations

import asyncio
import json
import logging
import pwd
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from airflow_okta_workflows.core.keys import signing
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator import Latency, LocalOrg
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.tokens import file_cache as token_cache
from airflow_okta_workflows.tokens.file_cache import try_lock
from airflow_okta_workflows.tokens.source import token_source_for
from tests.forked import ended, start

if TYPE_CHECKING:
    from pathlib import Path

Connect = Callable[..., None]


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR", str(tmp_path / "tokens"))
    return tmp_path / "tokens"


def in_processes(count: int, work: Callable[[int], None]) -> list[int]:
    """Run something in so many forked processes at once, and return their exit codes; each is given its number."""
    return ended(start(*(partial(work, number) for number in range(count))), within=60)


def invoke_echo(_number: int = 0) -> None:  # pragma: no cover  # in another process
    hook = OktaWorkflowsHook()
    hook.invoke("echo")
    hook.close()


@pytest.fixture
def org() -> Iterator[LocalOrg]:
    with LocalOrg(rate_limit=None) as org:
        org.flow("echo")(lambda request: {})
        yield org


def test_many_cold_processes_ask_once(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    assert in_processes(30, invoke_echo) == [0] * 30
    assert len(org.token_requests) == 1
    assert len(org.flows["echo"].runs) == 30


def test_a_revoked_token_is_renewed_once_for_all(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    assert in_processes(1, invoke_echo) == [0]
    org.revoke_tokens()

    assert in_processes(30, invoke_echo) == [0] * 30
    assert len(org.token_requests) == 2
    assert len(org.flows["echo"].runs) == 31


def test_a_rotated_key_asks_once_more(org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(org)
    assert in_processes(5, invoke_echo) == [0] * 5
    connection = {**org.connection(), "password": json.dumps(org.add_key())}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))

    assert in_processes(5, invoke_echo) == [0] * 5
    assert len(org.token_requests) == 2


def test_a_refusal_is_asked_for_once(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    org.app.granted_scopes.clear()

    assert in_processes(20, invoke_echo) == [1] * 20
    assert len(org.token_requests) == 1


def test_a_warm_process_parses_no_key(org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(org)
    assert in_processes(1, invoke_echo) == [0]

    def parse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the key was parsed")

    monkeypatch.setattr(signing, "load_signing_key", parse)
    assert in_processes(1, invoke_echo) == [0]
    assert len(org.token_requests) == 1


def test_a_token_that_an_event_loop_asked_for_is_found_by_processes(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    asyncio.run(OktaWorkflowsHook().ainvoke("echo"))

    assert in_processes(5, invoke_echo) == [0] * 5
    assert len(org.token_requests) == 1


def test_a_token_that_a_process_asked_for_is_found_by_an_event_loop(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    assert in_processes(1, invoke_echo) == [0]

    asyncio.run(OktaWorkflowsHook().ainvoke("echo"))
    assert len(org.token_requests) == 1


@pytest.mark.parametrize(("mode", "requests"), [("memory", 4), ("off", 4)])
def test_what_is_not_shared_is_asked_for_by_each(
    org: LocalOrg, connect: Connect, directory: Path, monkeypatch: pytest.MonkeyPatch, mode: str, requests: int
) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", mode)
    connect(org)

    assert in_processes(4, invoke_echo) == [0] * 4
    assert len(org.token_requests) == requests
    assert not directory.exists()


def test_nothing_on_disk_tells_a_secret(org: LocalOrg, connect: Connect, directory: Path) -> None:
    connect(org)
    assert in_processes(1, invoke_echo) == [0]

    names = sorted(path.name for path in directory.iterdir())
    # Some versions of filelock take the file of the lock away when it is let go.
    assert [name.partition(".")[2] for name in names] in (["lock", "token"], ["token"])
    kept = b"".join(path.read_bytes() for path in directory.iterdir()) + " ".join(names).encode()
    for secret in (*org.tokens, org.private_jwk["d"], org.app.client_id, org.private_jwk["kid"]):
        assert secret.encode() not in kept
    assert directory.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("lifetime", [0, -3600, 1, 30])
@pytest.mark.parametrize("mode", ["disk", "memory"])
def test_a_token_whose_lifetime_is_none_is_not_asked_for_with_each_invocation(
    org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch, lifetime: int, mode: str
) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", mode)
    monkeypatch.setattr(org, "token_lifetime", lifetime)
    monkeypatch.setattr(org, "accepts_token", lambda token: True)
    connect(org)
    hook = OktaWorkflowsHook()
    for _ in range(5):
        hook.invoke("echo")
        asyncio.run(OktaWorkflowsHook().ainvoke("echo"))
    hook.close()

    assert len(org.flows["echo"].runs) == 10
    assert len(org.token_requests) == 1


def test_a_token_that_really_ends_so_soon_is_renewed_when_its_host_says_so(
    org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(org)
    hook = OktaWorkflowsHook()
    monkeypatch.setattr(org, "token_lifetime", 1)
    for _ in range(3):
        hook.invoke("echo")
        org.expire_tokens()
    hook.close()

    assert len(org.flows["echo"].runs) == 3
    assert len(org.token_requests) == 3


@pytest.mark.parametrize("configured", [None, "~/tokens", "~no-such-user/tokens"])
def test_without_a_home_directory_a_task_runs_and_one_warning_says_what_to_set(
    org: LocalOrg,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    configured: str | None,
) -> None:
    def nobody(uid: int) -> Any:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    if configured is None:
        monkeypatch.delenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR")
    else:
        monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR", configured)
    connect(org)
    token_cache._warned.clear()
    with caplog.at_level(logging.WARNING, "airflow_okta_workflows.tokens"):
        for _ in range(2):
            OktaWorkflowsHook().invoke("echo")
            asyncio.run(OktaWorkflowsHook().ainvoke("echo"))

    assert len(org.token_requests) == 1, "it is shared within the process"
    (message,) = [record.getMessage() for record in caplog.records if "tokens" in record.name]
    assert "token_cache_dir" in message


@pytest.mark.parametrize("mode", ["disk", "memory"])
@pytest.mark.parametrize("what", ["get_access_token", "invoke", "get_conn"])
def test_a_synchronous_call_on_a_loop_that_asks_does_not_wait_for_it(
    org: LocalOrg, connect: Connect, monkeypatch: pytest.MonkeyPatch, mode: str, what: str
) -> None:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", mode)
    connect(org)
    slept: list[float] = []
    hook = OktaWorkflowsHook(runtime=Runtime(sleep=slept.append))

    async def main() -> None:
        loop, asking = asyncio.get_running_loop(), asyncio.Event()
        monkeypatch.setattr(org, "on_assertion", lambda _: loop.call_soon_threadsafe(asking.set))
        org.inject(Latency(0.3))
        renewal = asyncio.create_task(hook.aget_access_token())
        await asking.wait()
        if what == "get_access_token":
            hook.get_access_token()
        elif what == "invoke":
            hook.invoke("echo")
        else:
            assert hook.get_conn().post(org.invoke_url("echo"), json={}).status_code == 200
        assert not renewal.done(), "the loop has not gone on meanwhile"
        await renewal

    asyncio.run(main())
    hook.close()
    assert slept == []
    assert len(org.token_requests) == 2


def test_a_synchronous_call_on_a_loop_does_not_wait_for_another_process_either(
    org: LocalOrg, connect: Connect, directory: Path
) -> None:
    connect(org)
    slept: list[float] = []
    hook = OktaWorkflowsHook(runtime=Runtime(sleep=slept.append))
    cache = token_source_for(hook.settings).cache
    assert cache
    lock = cache.lock()
    assert try_lock(lock)

    async def main() -> None:
        hook.get_access_token()

    asyncio.run(main())
    lock.release()
    assert slept == []
