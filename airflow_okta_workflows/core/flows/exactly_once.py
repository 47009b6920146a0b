"""One run of a flow, exactly once: invoked, looked up in a status flow, and invoked again only if it never ran.

Theory of operation: the idempotency key names the wanted run before it is sent, so a status flow can be asked about it
whatever happened to the task that sent it. Three of its four reports are simple. SUCCEEDED ends the wait, and RUNNING
continues it. FAILED ends it for a try that sent or watched that run; a try that did neither takes the failure as the
end of an earlier try's run, and wants the next run.

NOT_FOUND is the delicate one. A request may be on its way: in a kernel's buffer, in a gateway's queue, in a flow that
has not reached its first card. If NOT_FOUND were believed at once, the request that arrives later and the one that is
sent now would both run. So NOT_FOUND means "never ran" only when no request under this key can still become a run:

1. A request leaves at most :data:`LEAVES_WITHIN` seconds after its checkpoint; the drivers see to that. Airflow refuses
   the checkpoint of a try that is no longer the current one, and a refused checkpoint means that nothing is sent. So
   once this try has started, no other try's request leaves later than :data:`LEAVES_WITHIN` seconds from now.
2. A request that has left becomes a run within ``settle`` seconds, or never: Okta closes a connection after 60 s, the
   flow's first card writes the row, and ``settle`` exceeds the read time-out by at least :data:`SLACK`.
3. NOT_FOUND has to be the reply to a question that was asked after both periods.

Both periods are measured from the start of this try, or from the end of this try's own request, on the monotonic clock
of this process. The time in another try's checkpoint would shorten the wait. But if a clock was set, or differs between
two workers, it would also run a flow twice.

Before Airflow 3.3 there is no checkpoint. Every try but the first asks before it sends, beginning with the first
ordinal, since it does not know how many runs have failed. There, point 1 rests on Airflow, which starts a try only
after it has stopped the process of the previous one.

Once a run is known to exist, NOT_FOUND never leads to another one: the row was deleted, or is hidden for a moment. How
long it has been missing is known only to this process, so a deferred task waits on the worker until it is known again.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, NoReturn, TypeVar

from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.flows.status import Status
from airflow_okta_workflows.core.protocol import Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_okta_workflows.core.flows.idempotency_key import WantedRun
    from airflow_okta_workflows.core.flows.response import FlowResponse

T = TypeVar("T")

LEAVES_WITHIN = 10.0
"""Most seconds from a checkpoint to the moment at which its request leaves."""
WRITTEN_AHEAD = 1.0
"""Most seconds that a checkpoint may be old when its request is next: a batch writes several checkpoints at once."""
SLACK = 25.0
"""Least seconds by which ``settle`` exceeds the read time-out."""
_MOST_SENT = 3
"""Most times that one try sends a run: a request that never arrives three times in a row will not arrive."""


class Knowledge(Enum):
    """What a try knows about a wanted run."""

    NEVER_SENT = "never_sent"
    """No request under its key has left."""
    MAY_RUN = "may_run"
    """A request may have left, and may still become a run."""
    EXISTS = "exists"
    """The run exists: the flow responded, or the status flow reported it."""


@dataclass
class InvokeOnce:
    """Step that invokes the flow; the event is the :class:`FlowResponse`, or the :class:`LostResponse`.

    :param run: the wanted run
    """

    run: WantedRun


@dataclass
class LostResponse:
    """Event of an invocation whose outcome is unknown.

    :param error: the error to raise if it remains unknown
    """

    error: Exception


@dataclass
class AskStatus:
    """Step that asks the status flow; the event is a :class:`StatusReport`, or None if it could not be asked now.

    :param run: the wanted run
    :param execution_id: the execution id in the flow's first response, or None
    """

    run: WantedRun
    execution_id: str | None


@dataclass
class StatusReport:
    """What the status flow says about a run.

    :param status: the status
    :param response: the status flow's response, with the execution id of the run
    """

    status: Status
    response: FlowResponse


@dataclass
class RunExists:
    """Step that records that the run exists; the event is None. The driver may from now on wait in the triggerer.

    :param run: the run
    :param execution_id: the execution id in the flow's first response, or None
    """

    run: WantedRun
    execution_id: str | None


@dataclass
class Settled:
    """The end of a run that succeeded.

    :param run: the run
    :param response: the response that says so: the status flow's, or the flow's first one
    """

    run: WantedRun
    response: FlowResponse


@dataclass(frozen=True)
class KnownRun:
    """What a try knows about the run that it wants.

    :param run: the wanted run
    :param knowledge: what is known of it
    :param own: whether this try has sent or watched the run
    :param execution_id: the execution id in the flow's first response, or None
    """

    run: WantedRun
    knowledge: Knowledge
    own: bool = False
    execution_id: str | None = None


@dataclass(frozen=True)
class Patience:
    """How long a try waits for what.

    :param poke_interval: seconds between two questions
    :param settle: seconds after which a request that has left has become a run, or never will
    """

    poke_interval: float
    settle: float


class RunFailedError(Exception):
    """End of a run that failed.

    :param run: the run
    :param response: the response that says so: the status flow's, or the flow's first one
    """

    def __init__(self, run: WantedRun, response: FlowResponse) -> None:
        super().__init__(run.key)
        self.run = run
        self.response = response


Step = InvokeOnce | AskStatus | RunExists | Wait
ExactlyOnce = Generator[Step, object, T]


def least_settle(read_timeout: float) -> float:
    """Return the least seconds after which a request that has left has become a run, or never will.

    :param read_timeout: seconds that the flow's response may take
    """
    return read_timeout + SLACK


def run_exactly_once(
    known: KnownRun,
    patience: Patience,
    judge: Callable[[FlowResponse], Status],
    monotonic: Callable[[], float],
    *,
    checkpointed: bool,
) -> ExactlyOnce[Settled]:
    """Begin the conversation that ends with one successful run.

    :param known: what this try knows about the run at its start
    :param patience: how long to wait for what
    :param judge: returns what the flow's first response says about the run
    :param monotonic: returns seconds of a clock that never goes back
    :param checkpointed: whether each try writes a checkpoint before it sends, so that a later ordinal was never sent
    :raises RunFailedError: if the run failed
    :raises CoreError: of kind ``OUTCOME_UNKNOWN`` if the status flow has lost it
    """
    return (yield from _Conversation(known, patience, judge, monotonic, checkpointed=checkpointed).run())


class _Conversation:
    def __init__(
        self,
        known: KnownRun,
        patience: Patience,
        judge: Callable[[FlowResponse], Status],
        monotonic: Callable[[], float],
        *,
        checkpointed: bool,
    ) -> None:
        self._known = known
        self._patience = patience
        self._judge = judge
        self._monotonic = monotonic
        self._checkpointed = checkpointed
        self._sent = 0
        self._lost: Exception | None = None
        self._others_settled_at = monotonic() + LEAVES_WITHIN + patience.settle
        """When no request of another try can become a run any more."""
        self._settled_at = self._others_settled_at
        """When no request under the current key can become a run any more."""
        self._missing_since: float | None = None

    def run(self) -> ExactlyOnce[Settled]:
        while True:
            if self._known.knowledge is Knowledge.NEVER_SENT:
                settled = yield from self._invoke()
            else:
                settled = yield from self._ask()
            if settled:
                return settled

    def _invoke(self) -> ExactlyOnce[Settled | None]:
        if self._sent == _MOST_SENT and self._lost:
            raise self._lost
        self._sent += 1
        self._known = replace(self._known, knowledge=Knowledge.MAY_RUN, own=True)
        event = yield InvokeOnce(self._known.run)
        self._settled_at = max(self._others_settled_at, self._monotonic() + self._patience.settle)
        if isinstance(event, LostResponse):
            self._lost = event.error
            return None
        response: FlowResponse = event  # type: ignore[assignment]  # the event of an InvokeOnce is one of the two
        self._known = replace(self._known, execution_id=response.execution_id)
        status = self._judge(response)
        if status is Status.SUCCEEDED:
            return Settled(self._known.run, response)
        if status is Status.FAILED:
            self._fail(response)
        yield from self._exists()
        return None

    def _ask(self) -> ExactlyOnce[Settled | None]:
        began = self._monotonic()
        event = yield AskStatus(self._known.run, self._known.execution_id)
        if isinstance(event, StatusReport):
            match event.status:
                case Status.SUCCEEDED:
                    return Settled(self._known.run, event.response)
                case Status.FAILED if self._known.own:
                    self._fail(event.response)
                case Status.FAILED:
                    self._want_the_next_run()
                    return None
                case Status.RUNNING:
                    self._missing_since = None
                    yield from self._exists()
                case Status.NOT_FOUND:
                    if self._known.knowledge is Knowledge.EXISTS:
                        self._require_not_deleted(began, event.response)
                    elif began >= self._settled_at:
                        self._known = replace(self._known, knowledge=Knowledge.NEVER_SENT)
                        return None
        yield Wait(self._until_next_question(), "")
        return None

    def _until_next_question(self) -> float:
        seconds = self._patience.poke_interval
        if self._known.knowledge is Knowledge.MAY_RUN:
            # The question that decides is asked as soon as it may be.
            left = self._settled_at - self._monotonic()
            seconds = min(seconds, left) if left > 0 else seconds
        return seconds

    def _exists(self) -> ExactlyOnce[None]:
        # A later try records it as well: from here on it watches the run, and may wait in the triggerer.
        first = self._known.knowledge is not Knowledge.EXISTS or not self._known.own
        self._known = replace(self._known, knowledge=Knowledge.EXISTS, own=True)
        if first:
            yield RunExists(self._known.run, self._known.execution_id)

    def _want_the_next_run(self) -> None:
        """Continue with the next ordinal, after a run that another try sent is known to have failed."""
        knowledge = Knowledge.NEVER_SENT if self._checkpointed else Knowledge.MAY_RUN
        self._known = KnownRun(self._known.run.after_failure(), knowledge)
        self._settled_at = self._others_settled_at
        self._missing_since = None

    def _require_not_deleted(self, now: float, response: FlowResponse) -> None:
        """Raise if the status flow has not known an existing run for so long that its row must have been deleted."""
        if self._missing_since is None:
            self._missing_since = now
        if now - self._missing_since < self._patience.settle:
            return
        raise CoreError(
            ErrorKind.OUTCOME_UNKNOWN,
            "The status flow does not know a run that has begun: its row was deleted, or never written.",
            "OKW-1640: Let the flow write its row before anything else, and keep it until the run's task has ended.",
            detail=f"Idempotency key: {self._known.run.key}",
            idempotency_key=self._known.run.key,
            response=response,
        )

    def _fail(self, response: FlowResponse) -> NoReturn:
        raise RunFailedError(self._known.run, response)
