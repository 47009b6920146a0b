"""What this version of the provider stores, made by its own code with fixed times and ids."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_okta_workflows.checkpoints import wanted_run
from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore
from airflow_okta_workflows.checkpoints.failed_polls import SensorMemory
from airflow_okta_workflows.checkpoints.invocation import InvocationCheckpointStore
from airflow_okta_workflows.core.batch.items import BatchItem
from airflow_okta_workflows.core.batch.records import BatchRecord
from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.flows.checkpoint import LARGEST_BODY
from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.core.http.types import Headers
from airflow_okta_workflows.core.oauth.access_token import AccessToken
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.exceptions import OktaFlowFailedError, OktaFlowNoResponseError
from airflow_okta_workflows.operators.batch_records import BatchRecords
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator, StatusFlow
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from airflow_okta_workflows.tokens.file_cache import open_token_cache
from airflow_okta_workflows.triggers.encrypted_result import encrypt_result
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger, OktaFlowStatusTrigger
from tests.integration.task_context import Store, with_store
from tests.stored_formats.throwaway_key import settings

NOW = 1_700_000_000.0
IDENTITY = "0c8f4b0e-3f0a-4a57-9c1e-2f6d1b7a9e10"
RUN = WantedRun(IDENTITY, 3)
ITEM_KEYS = tuple(f"{number}{IDENTITY[1:]}" for number in range(1, 8))
RESPONSE = FlowResponse(200, Headers(), {"account": "ada@example.com"}, "e-4711", 1.5)
FAILED = OktaFlowFailedError(
    "Flow 'onboard' returned 500.", flow="onboard", idempotency_key=IDENTITY, response=RESPONSE
)
NO_RESPONSE = OktaFlowNoResponseError("No response of flow 'onboard'.", flow="onboard", idempotency_key=IDENTITY)
TOKEN = AccessToken("an access token of no org", NOW + 3600, 3600.0)
REFUSED = CoreError(
    ErrorKind.TOKEN_REFUSED, "The org refused.", "OKW-1201: Look.", error="invalid_client", status_code=401
)


def json_files() -> dict[str, Any]:
    """Return what is stored as JSON, by file name; it is the same each time."""
    fixed = Runtime(new_id=lambda: IDENTITY)
    with patch.object(wanted_run, "Runtime", lambda: fixed):
        deferrals = _deferrals()
    with patch.object(Runtime, "clock", staticmethod(lambda: NOW)), patch.object(wanted_run, "Runtime", lambda: fixed):
        return {
            "invocation.json": {name: _invocation(write) for name, write in _INVOCATIONS.items()},
            "batch.json": {"open": asyncio.run(_open_batch()), "done": _done_batch()},
            "polls.json": _polls(),
            "triggers.json": {name: list(trigger.serialize()) for name, trigger in _triggers().items()},
            "deferrals.json": deferrals,
            "records.json": [*_records()],
        }


def encrypted_files() -> dict[str, bytes]:
    """Return what is stored encrypted, by file name; it differs each time."""
    return {
        "token.bin": _token_file(token=TOKEN),
        "token-and-failure.bin": _token_file(token=TOKEN, failure=REFUSED),
        "event-response.txt": _event(RESPONSE),
        "event-error.txt": _event(FAILED),
    }


_INVOCATIONS: dict[str, Callable[[InvocationCheckpointStore], object]] = {
    "not_run": lambda store: store.announce(),
    "sending": lambda store: store.reached(InvocationState.SENDING),
    "started": lambda store: store.started(RUN, "e-4711"),
    "responded": lambda store: store.responded(RESPONSE),
    "settled": lambda store: store.responded(RESPONSE, settled=True),
    "responded_without_body": lambda store: store.responded(
        FlowResponse(200, Headers(), "x" * LARGEST_BODY, "e-4711", 1.5)
    ),
    "failed": lambda store: store.ended(FAILED),
}


def _invocation(write: Callable[[InvocationCheckpointStore], object]) -> Any:
    store = Store()
    write(InvocationCheckpointStore(with_store(store), "onboard"))
    (stored,) = store.values()
    return stored


async def _open_batch() -> Store:
    store = Store()
    checkpoints = BatchCheckpointStore(with_store(store), "onboard", "name")
    items = [BatchItem(index, key, b"{}", None if index else "ada") for index, key in enumerate(ITEM_KEYS)]
    await checkpoints.announce([(item, 1 if item.key == ITEM_KEYS[5] else 0) for item in items])
    _, started, succeeded, failed, unknown, not_sent, large = items
    checkpoints.started(started, "e-2")
    checkpoints.settle(succeeded.key, BatchRecord(Outcome.SUCCEEDED, 200, "e-3", {"account": "ada"}))
    checkpoints.settle(failed.key, BatchRecord(Outcome.FAILED, 500, "e-4", None, "Flow 'onboard' returned 500."))
    checkpoints.settle(unknown.key, BatchRecord(Outcome.UNKNOWN, error="No response."))
    checkpoints.settle(not_sent.key, BatchRecord(Outcome.NOT_SENT, error="No connection."))
    checkpoints.settle(large.key, BatchRecord(Outcome.SUCCEEDED, 200, "e-7", "x" * 2000))
    await checkpoints.close()
    return store


def _done_batch() -> Store:
    store = Store()
    BatchCheckpointStore(with_store(store), "onboard").finish([*_records()])
    return store


def _polls() -> Store:
    store = Store()
    given, memory = with_store(store), SensorMemory()
    memory.is_first_warning(given, across_processes=True)
    memory.failed_polls(given, 5, across_processes=True).record_failure(NO_RESPONSE)
    return store


def _triggers() -> dict[str, OktaFlowStatusTrigger | OktaFlowInvocationTrigger]:
    request: dict[str, Any] = {"flow": "status", "payload": {"job": 7}, "okta_workflows_conn_id": "okta"}
    return {
        "status": OktaFlowStatusTrigger(**request, deadline=NOW + 60),
        "status_with_all": OktaFlowStatusTrigger(
            **request,
            query={"day": "monday"},
            method="POST",
            success_when="done",
            failure_when="failed",
            not_found_when="lost",
            idempotency_key=IDENTITY,
            cancel_flow="cancel",
            poke_interval=5.0,
            deadline=NOW + 60,
            max_failed_polls=2,
            warned=True,
            not_before=NOW,
        ),
        "invocation": OktaFlowInvocationTrigger(**request, idempotency_key=IDENTITY),
        "invocation_with_all": OktaFlowInvocationTrigger(
            **request,
            query={"day": "monday"},
            headers={"X-Team": "identity"},
            method="POST",
            idempotency_key=IDENTITY,
            timeout=20.0,
            not_before=NOW,
        ),
    }


def _deferrals() -> dict[str, list[Any]]:
    """Return for each kind of deferred task the method with which it resumes, and the arguments."""
    limits: dict[str, Any] = {"task_id": "task", "execution_timeout": timedelta(hours=1), "deferrable": True}
    with LocalOrg() as org:
        org.flow("start")(lambda request: {"status": "RUNNING"})
        org.flow("status")(lambda request: {"status": "RUNNING"})
        tasks: dict[str, Any] = {
            "invocation": InvokeOktaFlowOperator(flow="start", payload={}, idempotent=True, **limits),
            "status": InvokeOktaFlowOperator(flow="start", status=StatusFlow("status", timeout=600), **limits),
            "sensor": OktaFlowSensor(flow="status", timeout=600, **limits),
        }
        with patch.dict(os.environ, org.environment()):
            return {name: _deferral(task) for name, task in tasks.items()}


def _deferral(task: InvokeOktaFlowOperator | OktaFlowSensor) -> list[Any]:
    try:
        task.execute(with_store(Store()))
    except TaskDeferred as deferred:
        kwargs = deferred.kwargs or {}
        differing = {"execution_id": "e-4711", "deadline": NOW, "execution_deadline": NOW}
        return [deferred.method_name, {**kwargs, **{name: differing[name] for name in kwargs if name in differing}}]
    raise AssertionError("the task is not deferred")


def _records() -> Iterator[dict[str, Any]]:
    records = BatchRecords(3)
    records.put(0, "ada", ITEM_KEYS[0], BatchRecord(Outcome.SUCCEEDED, 200, "e-1", {"account": "ada"}))
    records.put(1, None, ITEM_KEYS[1], BatchRecord(Outcome.FAILED, 500, "e-2", None, "Flow 'onboard' returned 500."))
    records.put(2, 7, ITEM_KEYS[2], BatchRecord(Outcome.UNKNOWN, error="No response."))
    return iter(records)


def _token_file(**content: Any) -> bytes:
    connection = settings()
    with TemporaryDirectory() as folder:
        cache = open_token_cache(Path(folder), connection.token_cache_id, connection.cache_encryption_key())
        assert cache is not None
        cache.write(**content, now=NOW)
        (file,) = Path(folder).glob("*.token")
        return file.read_bytes()


def _event(outcome: Any) -> bytes:
    encrypted = encrypt_result(outcome, settings(), IDENTITY)
    assert encrypted is not None
    return encrypted.encode()


def as_text(stored: Any) -> str:
    """Return a JSON value as the text of its file.

    :param stored: the value
    """
    return json.dumps(stored, indent=2, sort_keys=True) + "\n"
