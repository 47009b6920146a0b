"""One wanted run has one idempotency key, whatever changes between two tries of a task."""

from __future__ import annotations

import copy
import datetime
import json
from collections import Counter
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_okta_workflows.core.flows.idempotency_key import derive_key
from airflow_okta_workflows.emulator import LocalOrg, Reset, ReturnError
from airflow_okta_workflows.exceptions import OktaFlowError, OktaFlowFailedError, OktaFlowOutcomeUnknownError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger
from tests.integration.task_context import Store, StoreOfACutOffTask, context, with_store

Connect = Callable[..., None]
BEGAN = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
SINGLE, BATCH = "okta_workflows_invocation", "okta_workflows_batch_0"


class KilledError(BaseException):
    """A SIGKILL at some moment."""


class Dying(Store):
    """A store that a task is killed at, when it stores a state."""

    def __init__(self, kept: Store, state: str) -> None:
        super().__init__(kept)
        self._kept, self._state = kept, state

    def set(self, key: str, value: Any) -> None:
        if value.get("state") == self._state:
            raise KilledError
        super().set(key, value)
        self._kept.set(key, value)


def single(**options: Any) -> InvokeOktaFlowOperator:
    return InvokeOktaFlowOperator(**{"task_id": "task", "flow": "echo", "retries": 3, **options})


def batch(count: int = 5, **options: Any) -> InvokeOktaFlowBatchOperator:
    payloads = [{"id": number} for number in range(count)]
    return InvokeOktaFlowBatchOperator(
        **{"task_id": "task", "flow": "echo", "payloads": payloads, "max_rate": 2000, "retries": 3, **options}
    )


def runs(org: LocalOrg) -> Counter[str | None]:
    return Counter(run.idempotency_key for run in org.flows["echo"].runs)


def key_before_3_3(task: InvokeOktaFlowOperator, org: LocalOrg, **given: Any) -> str | None:
    """Execute a task without a state store, and return the key it sent."""
    dag_run = given.pop("dag_run", SimpleNamespace(start_date=BEGAN))
    task_context = context(**given)
    task_context["dag_run"] = dag_run
    task.execute(task_context)
    return org.flows["echo"].runs[-1].idempotency_key


EDITS: dict[str, dict[str, Any]] = {
    "more retries": {"retries": 9},
    "fewer retries": {"retries": 1},
    "no retries": {"retries": 0},
    "another payload": {"payload": {"changed": True}},
    "the flow by its alias": {"flow": None},
    "other conditions": {"success_when": "key", "result": "key"},
    "another time-out": {"timeout": 5, "execution_timeout": datetime.timedelta(minutes=5)},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("state", ["sending", "responded"])
@pytest.mark.parametrize("map_index", [-1, 7])
def test_a_killed_task_is_known_again_after_its_dag_was_edited(
    org: LocalOrg, connect: Connect, edit: dict[str, Any], state: str, map_index: int
) -> None:
    connect(org)
    if "flow" in edit:
        edit = {"flow": org.flows["echo"].alias}
    store = Store()
    with pytest.raises(KilledError):
        single().execute(with_store(Dying(store, "responded"), map_index=map_index))
    if state == "responded":
        store[SINGLE] |= {"state": "responded", "status_code": 200, "body": {"key": "stored"}}

    retry = single(**edit)
    if state == "responded":
        assert "stored" in json.dumps(retry.execute(with_store(store, map_index=map_index, try_number=2)))
    else:
        with pytest.raises(OktaFlowOutcomeUnknownError, match="cut off") as caught:
            retry.execute(with_store(store, map_index=map_index, try_number=2))
        assert caught.value.idempotency_key == org.flows["echo"].runs[0].idempotency_key
    assert len(org.flows["echo"].runs) == 1


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_idempotent_flow_is_invoked_again_under_the_same_key(
    org: LocalOrg, connect: Connect, edit: dict[str, Any]
) -> None:
    connect(org)
    store = Store()
    with pytest.raises(KilledError):
        single(idempotent=True).execute(with_store(Dying(store, "responded")))

    flow = {"flow": org.flows["echo"].alias} if "flow" in edit else {}
    single(**{**edit, **flow, "idempotent": True}).execute(with_store(store, try_number=2))

    assert list(runs(org).values()) == [2]


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_without_a_store_a_retry_has_the_same_key_too(org: LocalOrg, connect: Connect, edit: dict[str, Any]) -> None:
    connect(org)
    flow = {"flow": org.flows["echo"].alias} if "flow" in edit else {}

    keys = {key_before_3_3(single(), org, max_tries=3), key_before_3_3(single(**{**edit, **flow}), org, max_tries=3)}

    assert len(keys) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"run_id": "another"},
        {"map_index": 0},
        {"max_tries": 4},
        {"dag_run": SimpleNamespace(start_date=BEGAN + datetime.timedelta(seconds=1))},
        {"dag_run": SimpleNamespace(start_date=BEGAN, id=2)},
    ],
    ids=["another run", "another map index", "a clearing", "a run made again", "a run made again, on Airflow 2.11"],
)
def test_without_a_store_another_wanted_run_has_another_key(
    org: LocalOrg, connect: Connect, other: dict[str, Any]
) -> None:
    connect(org)
    base = {"max_tries": 3, "dag_run": SimpleNamespace(start_date=BEGAN, id=1 if "id" in str(other) else None)}

    assert key_before_3_3(single(), org, **base) != key_before_3_3(single(), org, **{**base, **other})


@pytest.mark.parametrize("retries", [0, 3, 9])
def test_a_batch_sends_nothing_again_after_its_dag_was_edited(org: LocalOrg, connect: Connect, retries: int) -> None:
    connect(org)
    store = Store()
    first = batch().execute(with_store(store))

    assert batch(retries=retries, max_rate=500).execute(with_store(store, try_number=2)) == first
    assert len(org.log) == 5


def test_without_a_store_a_batch_has_the_same_keys_after_an_edit(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    for retries in (3, 5, 0):
        batch(retries=retries).execute(context(max_tries=3))

    assert list(runs(org).values()) == [3] * 5


async def fired_by(wait: TaskDeferred, world: Any) -> dict[str, Any]:
    _, arguments = wait.trigger.serialize()
    trigger = OktaFlowInvocationTrigger(**json.loads(json.dumps(arguments)), runtime=world.runtime())
    (event,) = [event.payload async for event in trigger.run()]
    return dict(event)


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("checkpoint", [True, False], ids=["with a store", "without"])
async def test_a_deferred_invocation_is_known_again_after_an_edit(
    org: LocalOrg, connect: Connect, world: Any, edit: dict[str, Any], checkpoint: bool
) -> None:
    connect(org)
    given = with_store(Store()) if checkpoint else context(max_tries=3)
    deferrable = {"idempotent": True, "deferrable": True}
    with pytest.raises(TaskDeferred) as caught:
        single(**deferrable).execute(given)
    event = await fired_by(caught.value, world)

    flow = {"flow": org.flows["echo"].alias} if "flow" in edit else {}
    single(**{**edit, **flow, **deferrable}).execute_complete(given, event, **(caught.value.kwargs or {}))

    assert list(runs(org).values()) == [1]


async def test_a_deferred_invocation_whose_checkpoint_was_deleted_is_not_sent_again(
    org: LocalOrg, connect: Connect, world: Any
) -> None:
    connect(org)
    store = Store()
    task = single(idempotent=True, deferrable=True)
    with pytest.raises(TaskDeferred) as caught:
        task.execute(with_store(store))
    event = await fired_by(caught.value, world)
    store.clear()

    task.execute_complete(with_store(store), event, **(caught.value.kwargs or {}))

    assert list(runs(org).values()) == [1]


def test_a_task_that_was_killed_while_deferred_is_sent_again_under_the_same_key(
    org: LocalOrg, connect: Connect
) -> None:
    connect(org)
    store = Store()
    with pytest.raises(TaskDeferred) as caught:
        single(idempotent=True, deferrable=True).execute(with_store(store))
    assert store[SINGLE]["state"] == "sending", "the triggerer sends it from now on"

    single(idempotent=True, retries=7).execute(with_store(store, try_number=2))

    assert org.flows["echo"].runs[0].idempotency_key == caught.value.trigger.serialize()[1]["idempotency_key"]


@pytest.mark.parametrize("make", [single, batch])
def test_a_clearing_is_a_wish_for_another_run(org: LocalOrg, connect: Connect, make: Callable[..., Any]) -> None:
    connect(org)
    store = Store()
    for max_tries in (3, 3, 5, 5, 9):
        make().execute(with_store(store, max_tries=max_tries))

    wanted = 1 if make is single else 5
    assert list(runs(org).values()) == [1] * 3 * wanted


def test_a_clearing_that_changes_nothing_counts_as_a_retry_and_the_next_one_is_seen(
    org: LocalOrg, connect: Connect
) -> None:
    # retries lowered from 1 to 0 after one try: Airflow sets max_tries to 1 + 0, as it was.
    connect(org)
    store = Store()
    for try_number, max_tries in ((1, 1), (2, 1), (3, 2)):
        single(retries=0).execute(with_store(store, try_number=try_number, max_tries=max_tries))

    assert list(runs(org).values()) == [1, 1]


@pytest.mark.parametrize("make", [single, batch])
def test_a_run_that_was_deleted_and_made_again_is_another(
    org: LocalOrg, connect: Connect, make: Callable[..., Any]
) -> None:
    # Its rows in the state store have gone with it; all ids are what they were.
    connect(org)
    for store in (Store(), Store()):
        make().execute(with_store(store))

    assert set(runs(org).values()) == {1}
    assert len(org.log) == (2 if make is single else 10)


def test_a_run_that_is_known_to_have_failed_is_followed_by_one_under_the_next_ordinal(
    org: LocalOrg, connect: Connect
) -> None:
    responses: list[Any] = [ReturnError(500, "no"), ReturnError(409, "no"), {"state": "PENDING"}, {"state": "DONE"}]
    org.flow("echo")(lambda request: responses.pop(0))
    connect(org)
    store = Store()
    for try_number in (1, 2, 3):
        with pytest.raises(OktaFlowFailedError) as caught:
            single(success_when="state == 'DONE'").execute(with_store(store, try_number=try_number))
        assert caught.value.idempotency_key == org.flows["echo"].runs[-1].idempotency_key
    single(success_when="state == 'DONE'").execute(with_store(store, try_number=4))

    keys = [run.idempotency_key for run in org.flows["echo"].runs]
    assert keys == [derive_key(keys[0] or "", ordinal) for ordinal in range(4)]


def test_a_run_that_failed_and_one_that_is_unknown_do_not_share_a_key(org: LocalOrg, connect: Connect) -> None:
    responses: list[Any] = [ReturnError(500, "no"), {}]
    org.flow("echo")(lambda request: responses.pop(0))
    connect(org)
    store = Store()
    with pytest.raises(OktaFlowFailedError):
        single(idempotent=True).execute(with_store(store))
    with pytest.raises(KilledError):
        single(idempotent=True).execute(with_store(Dying(store, "responded"), try_number=2))
    responses.append({})
    single(idempotent=True).execute(with_store(store, try_number=3))

    keys = [run.idempotency_key for run in org.flows["echo"].runs]
    assert keys[0] != keys[1] == keys[2]


def test_an_item_that_failed_is_sent_under_its_next_ordinal_also_after_it_could_not_be_sent(
    org: LocalOrg, connect: Connect
) -> None:
    responses: list[Any] = [ReturnError(500, "no"), ReturnError(500, "no"), {}]
    org.flow("echo")(lambda request: responses.pop(0))
    connect(org)
    store = StoreOfACutOffTask()
    keys = []
    for try_number, active in enumerate([True, False, True, True], 1):
        org.flows["echo"].active = active
        records = batch(1, on_error="collect").execute(with_store(store, try_number=try_number))
        keys.append(records[0]["key"])

    sent = [run.idempotency_key for run in org.flows["echo"].runs]
    assert keys == [derive_key(keys[0], ordinal) for ordinal in (0, 1, 1, 2)]
    assert sent == [keys[0], keys[1], keys[3]]


@pytest.mark.parametrize(
    "checkpoint", ["x", 7, [], {}, {"idempotency_key": "another", "state": "sending"}, {"state": "sending"}]
)
@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize(("make", "name"), [(single, SINGLE), (batch, BATCH)])
def test_a_checkpoint_that_cannot_be_read_means_that_the_flow_may_have_run(
    org: LocalOrg, connect: Connect, make: Callable[..., Any], name: str, idempotent: bool, checkpoint: Any
) -> None:
    connect(org)

    for _ in range(2):
        with pytest.raises(OktaFlowOutcomeUnknownError, match="Task State Store"):
            make(idempotent=idempotent).execute(with_store(Store({name: checkpoint})))
    assert org.log == []


def changed(checkpoint: Mapping[str, Any], make: Callable[..., Any]) -> dict[str, Any]:
    if make is single:
        return {**checkpoint, "state": "something new", "elapsed": "x"}
    return {**checkpoint, "items": "in another form"}


@pytest.mark.parametrize(("make", "name"), [(single, SINGLE), (batch, BATCH)])
def test_a_checkpoint_of_a_later_version_counts_as_a_try_until_the_task_is_cleared(
    org: LocalOrg, connect: Connect, make: Callable[..., Any], name: str
) -> None:
    connect(org)
    store = StoreOfACutOffTask()
    make().execute(with_store(store))
    sent = len(org.log)
    store[name] = changed(store[name], make)

    with pytest.raises(OktaFlowOutcomeUnknownError, match="cannot be read"):
        make().execute(with_store(store))
    assert len(org.log) == sent
    make().execute(with_store(store, max_tries=5))
    assert len(org.log) == 2 * sent


@pytest.mark.parametrize("checkpoint", [7, "x", {"outcome": "something new"}, {"ordinal": "1"}, {"ordinal": -1}])
def test_an_item_whose_checkpoint_cannot_be_read_may_have_run(org: LocalOrg, connect: Connect, checkpoint: Any) -> None:
    connect(org)
    store = StoreOfACutOffTask()
    records = batch(on_error="collect").execute(with_store(store))
    store[BATCH]["items"][records[2]["key"]] = checkpoint

    again = batch(on_error="collect").execute(with_store(store, try_number=2))

    assert [record["outcome"] for record in again] == ["succeeded"] * 2 + ["unknown"] + ["succeeded"] * 2
    assert len(org.log) == 5


def test_what_is_left_of_a_longer_batch_before_a_clearing_is_not_read(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    store = Store()
    batch(100).execute(with_store(store))
    records = batch(3).execute(with_store(store, max_tries=9))

    assert batch(3).execute(with_store(store, max_tries=9, try_number=2)) == records
    assert len(org.log) == 103


# ---- the hook, in a task of the user's own


def test_a_task_of_ones_own_has_one_key_for_all_its_tries(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    hook, store = OktaWorkflowsHook(), Store()
    keys = [hook.idempotency_key(with_store(store, try_number=number)) for number in (1, 1, 2, 3)]

    assert len(set(keys)) == 1
    assert hook.idempotency_key(with_store(store, max_tries=7)) not in keys
    assert hook.idempotency_key(with_store(Store())) not in keys, "a run that was made again"


def test_without_a_store_a_task_of_ones_own_has_the_key_of_an_operator(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    given = context(max_tries=3)
    single().execute(given)

    assert OktaWorkflowsHook().idempotency_key(given) == org.flows["echo"].runs[0].idempotency_key


def test_the_hook_tells_the_key_that_the_operator_stored(org: LocalOrg, connect: Connect) -> None:
    connect(org)
    org.inject(Reset(), flow="echo")
    store = Store()
    with pytest.raises(OktaFlowError) as caught:
        single().execute(with_store(store))
    left = copy.deepcopy(dict(store))

    assert OktaWorkflowsHook().idempotency_key(with_store(store)) == caught.value.idempotency_key
    assert store == left, "and stores nothing over it"


def test_the_hook_gives_no_key_while_a_checkpoint_cannot_be_read(org: LocalOrg, connect: Connect) -> None:
    connect(org)

    with pytest.raises(OktaFlowOutcomeUnknownError, match="cannot be read"):
        OktaWorkflowsHook().idempotency_key(with_store(Store({SINGLE: "x"})))
