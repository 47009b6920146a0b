"""What each released version stored is read, or counts as an unknown outcome, and nothing is sent a second time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from packaging.version import Version

from airflow_okta_workflows import __version__
from airflow_okta_workflows.checkpoints.batch import BatchCheckpointStore
from airflow_okta_workflows.checkpoints.failed_polls import SensorMemory
from airflow_okta_workflows.core.flows.exactly_once import Knowledge
from airflow_okta_workflows.core.flows.idempotency_key import derive_key
from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.exceptions import (
    OktaFlowFailedError,
    OktaFlowOutcomeUnknownError,
    OktaFlowResponseError,
    OktaWorkflowsError,
)
from airflow_okta_workflows.operators.batch_records import BatchRecords
from airflow_okta_workflows.operators.okta_workflows import (
    InvokeOktaFlowBatchOperator,
    InvokeOktaFlowOperator,
    StatusFlow,
)
from airflow_okta_workflows.operators.records_file import read_records
from airflow_okta_workflows.pace.slow_polls import SlowPolls
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from airflow_okta_workflows.tokens.file_cache import TokenCache, open_token_cache
from airflow_okta_workflows.triggers.encrypted_result import decrypt_result
from tests.integration.task_context import Store, with_store
from tests.stored_formats.throwaway_key import settings
from tests.stored_formats.written import FAILED, IDENTITY, ITEM_KEYS, NO_RESPONSE, NOW, RESPONSE, TOKEN, json_files

Connect = Callable[..., None]
Damage = Callable[[dict[str, Any]], Any]

FOLDER = Path(__file__).parents[1] / "stored_formats"
VERSIONS = sorted((path.name for path in FOLDER.iterdir() if path.name[0].isdigit()), key=Version)
CASES = ("failed", "not_run", "responded", "responded_without_body", "sending", "settled", "started")

each_version = pytest.mark.parametrize("version", VERSIONS)


def stored(version: str, name: str) -> Any:
    return json.loads((FOLDER / version / name).read_text("utf-8"))


def test_what_this_version_stores_is_in_the_newest_folder() -> None:
    assert Version(VERSIONS[-1]) <= Version(__version__)
    assert json_files() == {name: stored(VERSIONS[-1], name) for name in json_files()}, (
        "this version stores something in another form than the newest folder of tests/stored_formats. Give it the next"
        " version (python -m release.cut), and then a folder: python -m tests.stored_formats --write"
    )


def next_try(checkpoint: Any, **options: Any) -> Any:
    """Execute the task in a second try that finds a checkpoint, and return its XCom."""
    store = Store(okta_workflows_invocation=checkpoint)
    task = InvokeOktaFlowOperator(task_id="task", flow="echo", payload={}, **options)
    return task.execute(with_store(store, try_number=2))


@each_version
@pytest.mark.parametrize(("case", "ordinal"), [("not_run", 0), ("failed", 1)])
def test_a_run_that_may_be_sent_is_sent_under_its_key(
    version: str, case: str, ordinal: int, org: LocalOrg, connect: Connect
) -> None:
    connect(org)

    assert next_try(stored(version, "invocation.json")[case])["key"] == derive_key(IDENTITY, ordinal)


@each_version
def test_a_stored_response_is_returned_and_nothing_is_sent(version: str, org: LocalOrg, connect: Connect) -> None:
    connect(org)

    assert next_try(stored(version, "invocation.json")["responded"]) == RESPONSE.body
    assert next_try(stored(version, "invocation.json")["settled"], status=StatusFlow("status")) == RESPONSE.body
    assert org.log == []


@each_version
@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("sending", OktaFlowOutcomeUnknownError),
        ("started", OktaFlowOutcomeUnknownError),
        ("responded_without_body", OktaFlowResponseError),
    ],
)
def test_a_run_that_may_exist_is_not_sent_again(
    version: str, case: str, error: type[OktaWorkflowsError], org: LocalOrg, connect: Connect
) -> None:
    connect(org)

    with pytest.raises(error) as caught:
        next_try(stored(version, "invocation.json")[case])
    assert caught.value.idempotency_key == IDENTITY  # type: ignore[attr-defined]  # both are errors of a flow
    assert org.log == []


DAMAGES: dict[str, Damage] = {
    "a string": json.dumps,
    "a list": lambda checkpoint: [checkpoint],
    "an empty object": lambda checkpoint: {},
    "a state of a later version": lambda checkpoint: {**checkpoint, "state": "paused"},
    "no state": lambda checkpoint: without(checkpoint, "state"),
    "a state of another type": lambda checkpoint: {**checkpoint, "state": ["sending"]},
    "no identity": lambda checkpoint: without(checkpoint, "identity"),
    "an identity of another form": lambda checkpoint: {**checkpoint, "identity": "0c8f4b0e"},
    "no max_tries": lambda checkpoint: without(checkpoint, "max_tries"),
    "max_tries of another type": lambda checkpoint: {**checkpoint, "max_tries": "3"},
    "no ordinal": lambda checkpoint: without(checkpoint, "ordinal"),
    "an ordinal below zero": lambda checkpoint: {**checkpoint, "ordinal": -1},
}


def without(checkpoint: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in checkpoint.items() if key != name}


@each_version
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_that_cannot_be_read_is_an_unknown_outcome(
    version: str, case: str, damage: str, org: LocalOrg, connect: Connect
) -> None:
    connect(org)

    with pytest.raises(OktaFlowOutcomeUnknownError):
        next_try(DAMAGES[damage](stored(version, "invocation.json")[case]))
    assert org.log == []


@each_version
@pytest.mark.parametrize("case", CASES)
def test_what_a_later_version_adds_to_a_checkpoint_is_ignored(
    version: str, case: str, org: LocalOrg, connect: Connect
) -> None:
    connect(org)

    def outcome(checkpoint: Any) -> str:
        try:
            return str(next_try(checkpoint))
        except OktaWorkflowsError as error:
            return repr(error)

    checkpoint = stored(version, "invocation.json")[case]
    assert outcome({**checkpoint, "added": {"later": True}}) == outcome(checkpoint)


def batch(rows: dict[str, Any]) -> BatchCheckpointStore:
    """Return what a second try of a batch reads."""
    return BatchCheckpointStore(with_store(Store(rows), try_number=2), "echo")


@each_version
def test_each_item_of_a_batch_is_known_as_far_as_it_was(version: str) -> None:
    known = batch(stored(version, "batch.json")["open"])
    runs = [known.known_run(key) for key in ITEM_KEYS]

    assert known.key == IDENTITY
    assert known.earlier_item_key == "name"
    assert [run and run.knowledge for run in runs] == [
        Knowledge.MAY_RUN,
        Knowledge.EXISTS,
        None,
        Knowledge.NEVER_SENT,
        Knowledge.MAY_RUN,
        Knowledge.NEVER_SENT,
        None,
    ]
    assert [run.run.ordinal for run in runs if run] == [0, 0, 1, 0, 1]
    assert known.earlier[ITEM_KEYS[0]].name == "ada"
    record = known.earlier[ITEM_KEYS[2]].record
    assert record is not None
    assert (record.outcome, record.execution_id, record.result) == (Outcome.SUCCEEDED, "e-3", {"account": "ada"})


@each_version
def test_a_batch_that_was_done_returns_its_xcom_and_sends_nothing(
    version: str, org: LocalOrg, connect: Connect
) -> None:
    connect(org)
    task = InvokeOktaFlowBatchOperator(task_id="task", flow="echo", payloads=[{}, {}, {}], on_error="collect")
    rows = stored(version, "batch.json")["done"]

    assert task.execute(with_store(Store(rows), try_number=2)) == stored(version, "records.json")
    assert org.log == []


@each_version
@pytest.mark.parametrize(
    "damage",
    [
        *(one for name, one in DAMAGES.items() if "state" not in name),
        lambda page: without(page, "items"),
        lambda page: {**page, "items": [*page["items"]]},
        lambda page: {**page, "items": {"no key": {"outcome": "succeeded"}}},
    ],
)
def test_a_page_of_a_batch_that_cannot_be_read_is_an_unknown_outcome(
    version: str, damage: Damage, org: LocalOrg, connect: Connect
) -> None:
    connect(org)
    (name, page), *_ = stored(version, "batch.json")["open"].items()
    task = InvokeOktaFlowBatchOperator(task_id="task", flow="echo", payloads=[{}])

    with pytest.raises(OktaFlowOutcomeUnknownError):
        task.execute(with_store(Store({name: damage(page)}), try_number=2))
    assert org.log == []


@each_version
@pytest.mark.parametrize(
    "item",
    ["text", 7, [], {}, {"outcome": "paused"}, {"outcome": None}, {"ordinal": "1"}, {"ordinal": -1}, {"later": 1}],
)
def test_an_item_of_a_batch_that_cannot_be_read_may_have_run(version: str, item: Any) -> None:
    (name, page), *_ = stored(version, "batch.json")["open"].items()
    run = batch({name: {**page, "items": {ITEM_KEYS[0]: item}}}).known_run(ITEM_KEYS[0])

    assert run is not None
    assert run.knowledge is Knowledge.MAY_RUN


@each_version
def test_failed_polls_are_counted_on(version: str) -> None:
    given = with_store(Store(stored(version, "polls.json")))
    memory = SensorMemory()

    assert not memory.is_first_warning(given, across_processes=True)
    memory.failed_polls(given, 2, across_processes=True).record_failure(NO_RESPONSE)
    with pytest.raises(type(NO_RESPONSE)):
        memory.failed_polls(given, 2, across_processes=True).record_failure(NO_RESPONSE)


@pytest.mark.parametrize("value", ["text", 7, [], {}, {"attempt": "1/3"}, {"attempt": "1/3", "count": "two"}])
def test_a_count_that_cannot_be_read_is_none(value: Any) -> None:
    names = "failed_polls", "warned", "slow_polls", "warned_of_slow_polls"
    store = Store({f"okta_workflows_{name}": value for name in names})
    given, memory = with_store(store), SensorMemory()

    assert memory.is_first_warning(given, across_processes=True)
    memory.failed_polls(given, 1, across_processes=True).record_failure(NO_RESPONSE)
    assert store["okta_workflows_failed_polls"]["count"] == 1
    memory.record_wait(given, SlowPolls("status", 10.0), 5.0, across_processes=True)
    assert store["okta_workflows_slow_polls"]["count"] == 1


@each_version
@pytest.mark.parametrize("case", ["status", "status_with_all", "invocation", "invocation_with_all"])
def test_a_trigger_is_made_again_of_its_row(version: str, case: str) -> None:
    path, arguments = stored(version, "triggers.json")[case]
    remade, stored_again = resolve_name(path)(**arguments).serialize()

    assert remade == path
    assert arguments == {name: stored_again[name] for name in arguments}


def test_a_row_of_a_later_trigger_is_refused_and_nothing_is_sent(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    path, arguments = stored(VERSIONS[-1], "triggers.json")["invocation"]

    with pytest.raises(TypeError, match="later"):
        resolve_name(path)(**arguments, later=1)
    assert org.log == []


def resumed(version: str, case: str, task: Any, event: dict[str, str]) -> Any:
    """Resume a deferred task with what was stored, whose deadlines are still to come."""
    method, kwargs = stored(version, "deferrals.json")[case]
    later = {name: time.time() + 60 for name in kwargs if name.endswith("deadline")}
    return getattr(task, method)(with_store(Store(), try_number=1), event=event, **{**kwargs, **later})


@each_version
def test_a_deferred_invocation_resumes_under_its_key(version: str, org: LocalOrg, connect: Connect) -> None:
    connect(org)
    task = InvokeOktaFlowOperator(task_id="task", flow="echo", payload={}, idempotent=True, deferrable=True)
    event = {"outcome": "not_handed_over", "reason": "the response is too large"}

    assert resumed(version, "invocation", task, event)["key"] == IDENTITY


@each_version
def test_a_deferred_wait_resumes_and_sends_nothing_again(version: str, org: LocalOrg, connect: Connect) -> None:
    org.flow("status")(lambda request: {"status": "SUCCEEDED", "asked": request.body})
    connect(org)
    status = StatusFlow("status", result="asked")
    task = InvokeOktaFlowOperator(task_id="task", flow="echo", payload={}, status=status, deferrable=True)

    assert resumed(version, "status", task, {"outcome": "settled"})["idempotency_key"] == IDENTITY
    assert org.flows["echo"].runs == []


@each_version
def test_a_deferred_sensor_resumes(version: str, org: LocalOrg, connect: Connect) -> None:
    org.flow("status")(lambda request: {"status": "SUCCEEDED"})
    connect(org)
    task = OktaFlowSensor(task_id="task", flow="status", deferrable=True)
    resumed(version, "sensor", task, {"outcome": "settled"})

    assert len(org.flows["status"].runs) == 1


@each_version
def test_an_event_is_decrypted(version: str) -> None:
    def event(name: str) -> Any:
        return decrypt_result((FOLDER / version / name).read_text("ascii"), settings(), IDENTITY)

    assert event("event-response.txt") == RESPONSE
    error = event("event-error.txt")
    assert isinstance(error, OktaFlowFailedError)
    assert (str(error), error.flow, error.response) == (str(FAILED), FAILED.flow, FAILED.response)


@each_version
@pytest.mark.parametrize(
    "damage", [lambda text: text[:-8], lambda text: "AAAA" + text, lambda text: "", lambda text: None]
)
def test_an_event_that_cannot_be_decrypted_is_none(version: str, damage: Callable[[str], Any]) -> None:
    text = (FOLDER / version / "event-response.txt").read_text("ascii")

    assert decrypt_result(damage(text), settings(), IDENTITY) is None
    assert decrypt_result(text, settings(), ITEM_KEYS[0]) is None


@pytest.fixture
def cache(tmp_path: Path) -> TokenCache:
    connection = settings()
    opened = open_token_cache(tmp_path / "tokens", connection.token_cache_id, connection.cache_encryption_key())
    assert opened is not None
    return opened


def put(cache: TokenCache, data: bytes) -> None:
    file = cache.directory / f"{cache.identity}.token"
    file.write_bytes(data)
    file.chmod(0o600)


@each_version
@pytest.mark.parametrize(("name", "refused"), [("token.bin", False), ("token-and-failure.bin", True)])
def test_a_cached_token_is_read(version: str, name: str, refused: bool, cache: TokenCache) -> None:
    put(cache, (FOLDER / version / name).read_bytes())
    entry = cache.read()

    assert entry is not None
    assert (entry.token, entry.written_at) == (TOKEN, NOW)
    assert (entry.failure is not None) is refused
    if entry.failure:
        assert (entry.failure.message, entry.failure.data["status_code"]) == ("The org refused.", 401)


@each_version
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:10],
        lambda data: b"",
        lambda data: data.replace(b"token-1\n", b"token-2\n"),
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    ],
)
def test_a_cached_token_that_cannot_be_read_is_none(
    version: str, damage: Callable[[bytes], bytes], cache: TokenCache
) -> None:
    data = (FOLDER / version / "token.bin").read_bytes()
    assert damage(data) != data
    put(cache, damage(data))

    assert cache.read() is None


@each_version
def test_records_are_read(version: str, tmp_path: Path) -> None:
    told = stored(version, "records.json")
    file = tmp_path / "records.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in told))
    read = read_records(file)

    assert read is not None
    records = BatchRecords.of(read)
    assert list(records) == told
    assert records.counts == {Outcome.SUCCEEDED: 1, Outcome.FAILED: 1, Outcome.UNKNOWN: 1}
    assert records.first_errors() == ["Item 1: Flow 'onboard' returned 500.", "Item 2 (7): No response."]
