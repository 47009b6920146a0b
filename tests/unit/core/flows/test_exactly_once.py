"""Runs exactly once, in virtual time: whatever happens to tries, requests and responses, no run is doubled."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import pytest

from airflow_okta_workflows.core.flows.exactly_once import (
    LEAVES_WITHIN,
    AskStatus,
    InvokeOnce,
    Knowledge,
    KnownRun,
    LostResponse,
    Patience,
    RunExists,
    RunFailedError,
    Settled,
    StatusReport,
    least_settle,
    run_exactly_once,
)
from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
from airflow_okta_workflows.core.flows.response import FlowResponse
from airflow_okta_workflows.core.flows.status import Status, StatusRule
from airflow_okta_workflows.core.http.types import Headers
from airflow_okta_workflows.core.protocol import Wait

READ_TIMEOUT = 65.0
RULE = StatusRule("status == 'SUCCEEDED'", "status == 'FAILED'", None, "status == 'NOT_FOUND'")
PATIENCE = Patience(poke_interval=60.0, settle=least_settle(READ_TIMEOUT))
RUN = WantedRun(str(UUID(int=7)), 3)


def response(status: str) -> FlowResponse:
    return FlowResponse(200, Headers(), {"status": status}, None, 0.1)


def judge(one: FlowResponse) -> Status:
    return RULE.status(one.body)


class LostError(Exception):
    """Three requests in a row were lost: the next try asks, and sends again."""


class Killed(BaseException):
    """The end of a try's process."""


@dataclass
class Run:
    """A run of the flow in the org."""

    began: float
    ends: float
    succeeds: bool


@dataclass
class World:
    """The org, Airflow's store and the time, as one sequence of tries meets them."""

    chance: Random
    checkpointed: bool
    now: float = 0.0
    runs: dict[str, list[Run]] = field(default_factory=dict)
    on_their_way: list[tuple[float, str]] = field(default_factory=list)
    stored: KnownRun | None = None
    current_try: int = 0
    next_try_at: float = float("inf")

    def pass_until(self, moment: float) -> None:
        while self.on_their_way and self.on_their_way[0][0] <= moment:
            arrived, key = heapq.heappop(self.on_their_way)
            ends = arrived + self.chance.choice([0.0, 1.0, 40.0, 400.0])
            self.runs.setdefault(key, []).append(Run(arrived, ends, self.chance.random() < 0.7))
        self.now = max(self.now, moment)

    def send(self, key: str, left: float) -> None:
        if self.chance.random() < 0.85:
            heapq.heappush(self.on_their_way, (left + self.chance.choice([0.0, 0.5, 30.0, READ_TIMEOUT + 20]), key))

    def status(self, key: str) -> Status:
        if not (runs := self.runs.get(key)):
            return Status.NOT_FOUND
        if self.now < runs[-1].ends:
            return Status.RUNNING
        return Status.SUCCEEDED if runs[-1].succeeds else Status.FAILED


class Try:
    """One try of the task: a process that may be killed at each step, or go on after the next one has begun."""

    def __init__(self, world: World, number: int, *, may_die: bool) -> None:
        self.world = world
        self.number = number
        self.may_die = may_die

    def known(self) -> KnownRun:
        if self.world.checkpointed:
            return replace(self.world.stored or KnownRun(RUN, Knowledge.NEVER_SENT), own=False)
        return KnownRun(RUN, Knowledge.NEVER_SENT if self.number == 1 else Knowledge.MAY_RUN)

    def perhaps_die(self) -> None:
        if self.may_die and self.world.chance.random() < 0.12:
            raise Killed

    def store(self, known: KnownRun) -> None:
        if not self.world.checkpointed:
            return
        if self.world.current_try != self.number:
            raise Killed  # the store refuses: nothing is sent
        self.world.stored = known

    def go(self) -> Settled:
        world = self.world
        conversation = run_exactly_once(
            self.known(), PATIENCE, judge, lambda: world.now, checkpointed=world.checkpointed
        )
        event: Any = None
        try:
            while True:
                self.perhaps_die()
                step = conversation.send(event)
                self.perhaps_die()
                event = self.perform(step)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except RunFailedError as failure:
            self.store(KnownRun(failure.run.after_failure(), Knowledge.NEVER_SENT))
            raise
        finally:
            conversation.close()

    def perform(self, step: object) -> object:
        world, chance = self.world, self.world.chance
        match step:
            case InvokeOnce(run):
                self.store(KnownRun(run, Knowledge.MAY_RUN))
                self.perhaps_die()
                delay = chance.choice([0.0, 0.1, LEAVES_WITHIN])
                leaves = world.now + delay
                if self.may_die and chance.random() < 0.2:
                    # Alive after Airflow has given it up: its request leaves while the next try is at work.
                    world.send(run.key, leaves)
                    raise Killed
                world.pass_until(leaves)
                world.send(run.key, leaves)
                world.pass_until(world.now + chance.choice([0.1, 10.0, READ_TIMEOUT]))
                self.perhaps_die()
                if chance.random() < 0.4 or run.key not in world.runs:
                    return LostResponse(LostError())
                return response(world.status(run.key).name)
            case AskStatus(run, _):
                said: object = None
                seen_at_the_beginning = world.status(run.key)
                world.pass_until(world.now + chance.choice([0.1, 5.0]))
                if chance.random() < 0.8:
                    status = chance.choice([seen_at_the_beginning, world.status(run.key)])
                    said = StatusReport(status, response(status.name))
                return said
            case RunExists(run, execution_id):
                self.store(KnownRun(run, Knowledge.EXISTS, execution_id=execution_id))
            case Wait(seconds, _):
                world.pass_until(world.now + seconds)
        return None


def play(seed: int, *, checkpointed: bool, most_killed: int = 4) -> World:
    """Play the tries of one task until one ends by itself, and check what may never happen."""
    chance = Random(seed)
    world = World(chance, checkpointed)
    for number in range(1, 40):
        world.current_try = number
        try:
            settled = Try(world, number, may_die=number <= most_killed).go()
        except Killed:
            world.pass_until(world.now + chance.choice([0.0, 1.0, 300.0]))
        except (RunFailedError, LostError):
            continue
        else:
            assert world.status(settled.run.key) is Status.SUCCEEDED
            break
    else:
        raise AssertionError("no try succeeded")
    world.pass_until(world.now + 10_000)
    in_order = [replace(RUN, ordinal=n).key for n in range(50)]
    all_runs = [world.runs.get(key, []) for key in in_order]
    assert all(len(runs) <= 1 for runs in all_runs), "no key has run twice"
    assert set(world.runs) <= set(in_order)
    ran = [run for runs in all_runs for run in runs]
    assert [run.succeeds for run in ran] == [False] * (len(ran) - 1) + [True], "exactly one success, the last run"
    for earlier, later in pairwise(ran):
        assert earlier.ends <= later.began, "never two at once"
    return world


def play_all(*, checkpointed: bool) -> None:
    for seed in range(10_000):
        try:
            play(seed, checkpointed=checkpointed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None


@pytest.mark.parametrize("checkpointed", [True, False], ids=["Airflow 3.3", "older"])
def test_no_run_is_doubled_and_one_succeeds_whatever_happens_to_tries(checkpointed: bool) -> None:
    play_all(checkpointed=checkpointed)


@pytest.mark.parametrize("settle", [0.0, READ_TIMEOUT])
def test_the_simulation_notices_a_settle_that_is_too_short(settle: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PATIENCE", replace(PATIENCE, settle=settle))

    with pytest.raises(AssertionError, match=r"no key has run twice|never two at once|the last run"):
        play_all(checkpointed=True)
