"""Runs exactly once, in virtual time: whatever happens to tries, requests and responses, no run is doubled.

Each task meets kills, pauses, requests that leave late and start their run later, lost responses, failing runs, reports
that are out of date, rows of earlier runs that failed, clearing, and clocks of which no two agree. On Airflow 3.3 a try
that Airflow has given up stays alive beside the next ones, and only the store stops it. Before 3.3 nothing stops it but
Airflow, which ends the process of a try before it starts the next one, as docs/reliability.md says.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, pairwise
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
RESPONSES = {status: FlowResponse(200, Headers(), {"status": status.name}, None, 0.1) for status in Status}

PAUSES = (0.0, 0.0, 0.0, 1.0, 200.0)
"""Seconds for which a process stands still before a step."""
LEAVES_AFTER = (0.0, 0.1, LEAVES_WITHIN - 0.1, 100.0)
"""Seconds from a checkpoint to its request; after the last, the driver writes the checkpoint again."""
STARTS_AFTER = (0.0, 0.5, 30.0, READ_TIMEOUT, least_settle(READ_TIMEOUT) - 0.1)
"""Seconds from a request that has left to its run."""


@dataclass(frozen=True)
class Rules:
    """What the reasoning relies on. A rule that is broken has to be noticed."""

    checkpointed: bool = True
    settle: float = least_settle(READ_TIMEOUT)
    leaves_within: float = LEAVES_WITHIN
    a_given_up_try_is_refused: bool = True
    """Airflow 3.3: the store refuses the checkpoint of a try that is not the current one."""
    a_given_up_try_is_stopped: bool = True
    """Older: Airflow ends the process of a try before it starts the next one."""
    clocks_are_monotonic: bool = True


@dataclass
class Run:
    """A run of the flow in the org."""

    began: float
    ends: float
    succeeds: bool


class LostError(Exception):
    """Three requests in a row were lost: the next try asks, and sends again."""


class World:
    """The org, Airflow and its store, and the time that passes for all tries of one task."""

    def __init__(self, seed: int, rules: Rules) -> None:
        self.chance = Random(seed)
        self.rules = rules
        self.now = 0.0
        self.runs: defaultdict[WantedRun, list[Run]] = defaultdict(list)
        self.stored: KnownRun | None = None
        self.current = 0
        self.cleared = 0
        self.alive: dict[int, Try] = {}
        self.succeeded = False
        self.met: Counter[str] = Counter()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), do))

    def play(self) -> None:
        self.start_after(0)
        for _ in range(3):
            if self.chance.random() < 0.8:
                disturb = self.chance.choice([self.kill, self.give_up, self.give_up, self.clear])
                self.later(self.chance.uniform(0, 700), disturb)
        while self._events:
            self.now, _, do = heapq.heappop(self._events)
            do()

    # ---- Airflow

    @property
    def wanted(self) -> WantedRun:
        return WantedRun(str(UUID(int=7 + self.cleared)), 3 + self.cleared)

    def known(self) -> KnownRun:
        if not self.rules.checkpointed:
            return KnownRun(self.wanted, Knowledge.NEVER_SENT if self.current == 1 else Knowledge.MAY_RUN)
        if self.stored is None or self.stored.run.max_tries != self.wanted.max_tries:
            return KnownRun(self.wanted, Knowledge.NEVER_SENT)
        return replace(self.stored, own=False)

    def start_after(self, number: int) -> None:
        if number != self.current:
            return
        if not self.rules.checkpointed and self.rules.a_given_up_try_is_stopped:
            self.alive.clear()
        self.met["two alive"] += bool(self.alive)
        self.current += 1
        self.alive[self.current] = one = Try(self, self.current)
        one.resume(None)

    def ends(self, number: int, *, succeeds: bool) -> None:
        del self.alive[number]
        if number == self.current:
            self.succeeded = succeeds
            if not succeeds:
                self.later(self.chance.choice([0.0, 1.0, 300.0]), partial(self.start_after, number))

    def kill(self) -> None:
        if self.current in self.alive:
            self.ends(self.current, succeeds=False)

    def give_up(self) -> None:
        """Start the next try, while the process of this one goes on."""
        if self.current in self.alive:
            self.start_after(self.current)

    def clear(self) -> None:
        self.met["cleared while it runs" if self.alive else "cleared"] += 1
        self.cleared += 1
        self.succeeded = False
        self.start_after(self.current)

    def store(self, number: int, known: KnownRun) -> bool:
        if number != self.current and self.rules.checkpointed and self.rules.a_given_up_try_is_refused:
            self.met["refused"] += 1
            return False
        self.stored = known
        return True

    # ---- the org

    def arrive(self, run: WantedRun) -> None:
        ends = self.now + self.chance.choice([0.0, 1.0, 40.0, 400.0])
        self.runs[run].append(Run(self.now, ends, self.chance.random() < 0.7))

    def status(self, run: WantedRun) -> Status:
        if run not in self.runs:
            return Status.NOT_FOUND
        last = self.runs[run][-1]
        if self.now < last.ends:
            return Status.RUNNING
        return Status.SUCCEEDED if last.succeeds else Status.FAILED


class Try:
    """One try of the task: a process with a clock of its own."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self._clock_offset = world.chance.uniform(-1e6, 1e6)
        self._clock_is_set_at = float("inf") if world.rules.clocks_are_monotonic else world.now + 50
        self._conversation = run_exactly_once(
            world.known(),
            Patience(world.chance.choice([5.0, 60.0, 300.0]), world.rules.settle),
            lambda response: RULE.status(response.body),
            self._clock,
            checkpointed=world.rules.checkpointed,
        )

    def _clock(self) -> float:
        now = self.world.now
        return now + self._clock_offset + (3600 if now >= self._clock_is_set_at else 0)

    @property
    def _is_alive(self) -> bool:
        return self.world.alive.get(self.number) is self

    def resume(self, event: Any) -> None:
        if not self._is_alive:
            return
        try:
            step = self._conversation.send(event)
        except StopIteration:
            self.world.ends(self.number, succeeds=True)
        except RunFailedError as failure:
            self._store(failure.run.after_failure(), Knowledge.NEVER_SENT)
            self.world.ends(self.number, succeeds=False)
        except LostError:
            self.world.ends(self.number, succeeds=False)
        else:
            self.world.later(self.world.chance.choice(PAUSES), partial(self._perform, step))

    def _store(self, run: WantedRun, knowledge: Knowledge) -> bool:
        return self.world.store(self.number, KnownRun(run, knowledge))

    def _perform(self, step: object) -> None:
        if not self._is_alive:
            return
        world = self.world
        match step:
            case InvokeOnce(run):
                self._send(run)
            case AskStatus(run, _):
                seconds = world.chance.choice([0.1, 5.0, 60.0])
                world.later(seconds, partial(self._report, run, world.status(run)))
            case RunExists(run, _):
                self._store(run, Knowledge.EXISTS)
                self.resume(None)
            case Wait(seconds, _):
                world.later(seconds, partial(self.resume, None))

    def _send(self, run: WantedRun) -> None:
        if not self._is_alive:
            return
        if not self._store(run, Knowledge.MAY_RUN):
            self.world.ends(self.number, succeeds=False)
            return
        seconds = self.world.chance.choice(LEAVES_AFTER)
        again = seconds > self.world.rules.leaves_within
        self.world.later(seconds, partial(self._send if again else self._leave, run))

    def _leave(self, run: WantedRun) -> None:
        if not self._is_alive:
            return
        world, chance = self.world, self.world.chance
        if chance.random() < 0.85:
            world.later(chance.choice(STARTS_AFTER), partial(world.arrive, run))
        world.later(chance.choice([0.1, 10.0, READ_TIMEOUT]), partial(self._respond, run))

    def _respond(self, run: WantedRun) -> None:
        lost = self.world.chance.random() < 0.4 or run not in self.world.runs
        self.resume(LostResponse(LostError()) if lost else RESPONSES[self.world.status(run)])

    def _report(self, run: WantedRun, earlier: Status) -> None:
        """Report the status when the question arrived, or the status now."""
        status = self.world.chance.choice([earlier, self.world.status(run)])
        self.world.met["out of date"] += status is not self.world.status(run)
        self.world.met["a row of an earlier run"] += status is Status.FAILED and self.number > 1
        told = self.world.chance.random() < 0.8
        self.resume(StatusReport(status, RESPONSES[status]) if told else None)


def play(seed: int, rules: Rules) -> World:
    """Play the tries of one task until no process is left, and check what may never happen."""
    world = World(seed, rules)
    world.play()
    assert world.succeeded, "the last try has succeeded"
    by_identity: defaultdict[str, list[WantedRun]] = defaultdict(list)
    for wanted in world.runs:
        by_identity[wanted.identity].append(wanted)
    for identity, sequence in by_identity.items():
        sequence.sort(key=lambda wanted: wanted.ordinal)
        assert all(len(world.runs[wanted]) == 1 for wanted in sequence), "no key has run twice"
        ran = [world.runs[wanted][0] for wanted in sequence]
        assert not any(run.succeeds for run in ran[:-1]), "nothing runs after a success"
        for earlier, later in pairwise(ran):
            assert earlier.ends <= later.began, "never two at once"
        assert ran[-1].succeeds or identity != world.wanted.identity, "the last run has succeeded"
    return world


def play_all(rules: Rules) -> None:
    for seed in range(10_000):
        try:
            play(seed, rules)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None


@pytest.mark.parametrize("checkpointed", [True, False], ids=["Airflow 3.3", "older"])
def test_no_run_is_doubled_and_one_succeeds_whatever_happens_to_tries(checkpointed: bool) -> None:
    play_all(Rules(checkpointed))


BROKEN = {
    "no time to settle": Rules(settle=0.0),
    "a time to settle that is too short": Rules(settle=READ_TIMEOUT),
    "older, a time to settle that is too short": Rules(checkpointed=False, settle=READ_TIMEOUT),
    "requests that leave late": Rules(leaves_within=200.0),
    "a store that refuses nothing": Rules(a_given_up_try_is_refused=False),
    "older, an Airflow that does not stop a try": Rules(checkpointed=False, a_given_up_try_is_stopped=False),
    "clocks that are set": Rules(clocks_are_monotonic=False),
    "older, clocks that are set": Rules(checkpointed=False, clocks_are_monotonic=False),
}


@pytest.mark.parametrize("rules", BROKEN.values(), ids=BROKEN)
def test_the_simulation_notices_a_rule_that_is_broken(rules: Rules) -> None:
    with pytest.raises(AssertionError, match=r"no key has run twice|never two at once|nothing runs after"):
        play_all(rules)


def test_the_simulation_meets_each_situation_often() -> None:
    met: Counter[str] = Counter()
    for seed in range(200):
        met += play(seed, Rules()).met
    situations = {"two alive", "refused", "cleared", "cleared while it runs", "out of date", "a row of an earlier run"}
    assert {what for what, times in met.items() if times >= 10} == situations
    assert not any(play(seed, Rules(checkpointed=False)).met["two alive"] for seed in range(200))
