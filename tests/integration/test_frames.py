"""No frame of a traceback that leaves this provider holds a secret: judged as Sentry takes them, and frame by frame."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import pytest
import sentry_sdk
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from sentry_sdk.integrations.stdlib import StdlibIntegration

from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.emulator import Answer, Latency
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from airflow_okta_workflows.tokens import source
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowInvocationTrigger, OktaFlowStatusTrigger
from tests.integration.task_context import Store, context, with_store
from tests.watched_org import WatchedOrg

# An interruption in the middle of asyncio or of a destructor leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore:coroutine:RuntimeWarning"
    ),
    # The timer that interrupts is the one that would end a test that hangs.
    pytest.mark.timeout(method="thread"),
]

PASSPHRASE = "frame-passphrase-7714"
LONGEST = 1_000_000


@dataclass(repr=False)
class Watch:
    """A local org, and what must be in no frame because of it."""

    org: WatchedOrg
    cache: Path
    pem: str
    jwk: dict[str, str]
    events: list[Any] = field(default_factory=list)

    def secrets(self) -> list[str]:
        key = [line for line in self.pem.splitlines() if not line.startswith("-----")]
        members = [self.jwk[name] for name in ("d", "p", "q", "dp", "dq", "qi") if name in self.jwk]
        return [*key, *members, *self.org.tokens, *self.org.assertions, PASSPHRASE]

    def cold(self) -> None:
        """Forget the token, so that the next one has to be asked for."""
        shutil.rmtree(self.cache, ignore_errors=True)
        source._sources.clear()

    def leaks(self, error: BaseException) -> list[str]:
        """Return where an error's frames hold a secret."""
        secrets = self.secrets()
        found = [place for place, text in locals_of(error) if any(secret in text for secret in secrets)]
        self.events.clear()
        sentry_sdk.capture_exception(error)
        taken = json.dumps(self.events, default=repr)
        assert type(error).__name__ in taken, "Sentry has taken it"
        return [*found, *("Sentry" for secret in secrets if secret in taken)]


def locals_of(error: BaseException) -> Iterator[tuple[str, str]]:
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
        yield f"str of {type(one).__name__}", f"{one} {one.args} {getattr(one, '__notes__', '')}"
        traceback = one.__traceback__
        while traceback:
            frame = traceback.tb_frame
            if not frame.f_code.co_filename.startswith(__file__.rpartition("/")[0]):
                for name, value in frame.f_locals.items():
                    if value is os.environ:
                        # Also the self of each look-up in it: whoever reads a variable has all of them in a frame.
                        continue
                    with suppress(AttributeError):  # of an object that was interrupted while it was made
                        yield f"{name} in {frame.f_code.co_qualname}", repr(value)
            traceback = traceback.tb_next


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Watch]:
    monkeypatch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR", str(tmp_path / "tokens"))
    with WatchedOrg(rate_limit=None, key_type="rsa2048") as org:

        @org.flow("slow")
        def slow(request: Any) -> Any:
            time.sleep(0.02)
            return {"status": "RUNNING"}

        org.flow("echo")(lambda request: {"status": "RUNNING"})
        pem = pem_of(org.private_jwk)
        connection = {**org.connection(key_passphrase=PASSPHRASE, key_id=org.private_jwk["kid"]), "password": pem}
        monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
        watch = Watch(org, tmp_path / "tokens", pem, org.private_jwk)
        client = sentry_sdk.Client(
            dsn="http://key@127.0.0.1:9/1",
            transport=Taking(watch.events),
            max_value_length=LONGEST,
            default_integrations=False,
            integrations=[StdlibIntegration()],
        )
        with sentry_sdk.isolation_scope() as scope:
            scope.set_client(client)
            yield watch


class Taking(sentry_sdk.Transport):
    """What Sentry would send."""

    def __init__(self, events: list[Any]) -> None:
        super().__init__()
        self.events = events

    def capture_envelope(self, envelope: Any) -> None:
        self.events += [item.payload.json for item in envelope.items if item.payload.json]


def error_of(call: Callable[[], Any]) -> BaseException | None:
    """Return what a call ends with, if that is an error."""
    try:
        call()
    except BaseException as error:
        return error
    return None


_SHARED = ("logging", "structlog", "weakref", "threading", "importlib", "_frozen_importlib", "asyncio", "coverage")


def _spared(frame: FrameType | None) -> bool:
    """Return whether an interruption here would break what all tests share: a lock of a logger, an import, coverage."""
    while frame and frame.f_globals is not globals():
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _SHARED:
            return True
        frame = frame.f_back
    return False


class TakenOutError(BaseException):
    """What interrupts, if it is nothing of Airflow's."""


_armed: list[type[BaseException]] = []


def _ring(_: int, frame: FrameType | None) -> None:
    if not _armed:
        return
    if _spared(frame):
        # Not sooner: a main thread that wakes up all the time leaves the others no turn.
        signal.setitimer(signal.ITIMER_REAL, 2e-3)
    else:
        raise _armed[-1]("interrupted")


@pytest.fixture(autouse=True, scope="module")
def _bell() -> Iterator[None]:
    """Handle the timer for as long as one of these tests may set it: by default, it would end the process."""
    before = signal.signal(signal.SIGALRM, _ring)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    # Unless the end of the last block was what was interrupted, it is on already.
    gc.enable()


class interrupted_after:  # noqa: N801  # as a function would be
    """Raise an error in whatever frame is running then, as Airflow does for ``execution_timeout``.

    :param seconds: seconds until then
    :param error: the error's class
    """

    def __init__(self, seconds: float, error: type[BaseException]) -> None:
        self._seconds = max(seconds, 1e-4)
        self._error = error

    def __enter__(self) -> None:
        # What earlier tests have left to the garbage collector must not be interrupted in its finalizers.
        gc.disable()
        _armed[:] = [self._error]
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        _armed.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        gc.enable()


def single(**options: Any) -> InvokeOktaFlowOperator:
    return InvokeOktaFlowOperator(**{"task_id": "task", "flow": "slow", "payload": {}, **options})


def batch(**options: Any) -> InvokeOktaFlowBatchOperator:
    return InvokeOktaFlowBatchOperator(
        **{"task_id": "task", "flow": "slow", "payloads": [{"n": n} for n in range(3)], "max_rate": 1000, **options}
    )


def poll() -> Any:
    return OktaFlowSensor(task_id="task", flow="slow", timeout=60).poke(context())


def on_session() -> Any:
    hook = OktaWorkflowsHook()
    alias = hook.settings.flows["slow"].alias
    return hook.run(f"/api/flo/{alias}/invoke", json={})


CALLS: dict[str, Callable[[], Any]] = {
    "invoke": lambda: OktaWorkflowsHook().invoke("slow", {}),
    "ainvoke": lambda: asyncio.run(OktaWorkflowsHook().ainvoke("slow", {})),
    "the operator": lambda: single().execute(with_store(Store())),
    "the batch": lambda: batch().execute(with_store(Store())),
    "a sensor": poll,
    "HttpHook.run": on_session,
    "a token": lambda: OktaWorkflowsHook().get_access_token(),
    "a token on a loop": lambda: asyncio.run(OktaWorkflowsHook().aget_access_token()),
    "the Test button": lambda: OktaWorkflowsHook().test_connection(),
    "the settings": lambda: OktaWorkflowsHook().settings,
}


# An event loop only logs what is raised within one of its own callbacks, and whoever waits for that waits forever: calls on
# a loop are cancelled in a test of their own.
INTERRUPTED = {name: call for name, call in CALLS.items() if name not in ("ainvoke", "a token on a loop")}


def took(call: Callable[[], Any]) -> float:
    """Return how many seconds a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


@pytest.mark.parametrize("cold", [False, True], ids=["with a token", "without"])
@pytest.mark.parametrize("error", [AirflowTaskTimeout, KeyboardInterrupt, TakenOutError])
@pytest.mark.parametrize("call", INTERRUPTED.values(), ids=INTERRUPTED)
def test_an_interruption_at_any_moment_takes_no_secret_along(
    watch: Watch, call: Callable[[], Any], error: type[BaseException], cold: bool
) -> None:
    chance, interrupted = random.Random(5), 0
    call()
    takes = took(call)
    for _ in range(40):
        if cold:
            watch.cold()

        def interrupted_call(after: float = chance.random() * takes) -> None:
            with interrupted_after(after, error):
                call()

        began = time.perf_counter()
        caught = error_of(interrupted_call)
        if caught is None:
            # It takes less than at first, so the next interruption comes earlier.
            takes = min(takes, time.perf_counter() - began)
            continue
        interrupted += 1
        assert watch.leaks(caught) == []
        if interrupted == 8:
            break
    assert interrupted, "some of them came in time"


@pytest.mark.parametrize("cold", [False, True], ids=["with a token", "without"])
async def test_a_coroutine_that_is_cancelled_at_any_moment_takes_no_secret_along(watch: Watch, cold: bool) -> None:
    chance, cancelled = random.Random(6), 0
    for _ in range(30):
        if cold:
            watch.cold()
        caught = await timed_out(OktaWorkflowsHook().ainvoke("slow", {}), chance.random() * 0.03)
        if caught:
            cancelled += 1
            assert watch.leaks(caught) == []
    assert cancelled


async def timed_out(work: Awaitable[Any], seconds: float) -> BaseException | None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError as error:
        return error
    return None


@pytest.mark.parametrize(
    "make", [lambda: OktaFlowStatusTrigger(flow="slow", poke_interval=0.001, deadline=time.time() + 60),
             lambda: OktaFlowInvocationTrigger(flow="slow", idempotency_key="k")],
    ids=["status", "invocation"],
)  # fmt: skip
async def test_a_trigger_that_is_cancelled_takes_no_secret_along(watch: Watch, make: Callable[[], Any]) -> None:
    async def first_event() -> None:
        async for _ in make().run():
            break

    for seconds in (0.0, 0.005, 0.01, 0.02, 0.05):
        watch.cold()
        if caught := await timed_out(first_event(), seconds):
            assert watch.leaks(caught) == []


class Away(Store):
    """A state store whose API server is away, for reading or only for writing."""

    def __init__(self, *, reading: bool) -> None:
        self._reading = reading

    def get(self, key: str, default: Any = None) -> Any:
        if self._reading:
            raise RuntimeError("the API server is away")
        return default

    def set(self, key: str, value: Any) -> None:
        raise RuntimeError("the API server is away")


@pytest.mark.parametrize("reading", [False, True])
@pytest.mark.parametrize("make", [single, batch])
def test_a_store_that_is_away_takes_no_secret_along(watch: Watch, make: Callable[..., Any], reading: bool) -> None:
    with pytest.raises(RuntimeError) as caught:
        make().execute(with_store(Away(reading=reading)))

    assert watch.leaks(caught.value) == []
    assert watch.org.flows["slow"].runs == []


def test_the_judges_see_what_the_boundary_keeps_in(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NoFrames, "__exit__", lambda *_: None)
    release = threading.Event()

    @watch.org.flow("stands")
    def stands(request: Any) -> Any:
        signal.setitimer(signal.ITIMER_REAL, 1e-4)
        release.wait(30)
        return {}

    hook = OktaWorkflowsHook()
    hook.invoke("echo", {})
    with interrupted_after(60, TakenOutError):
        caught = error_of(lambda: hook.invoke(watch.org.flows["stands"].alias, {}))
    release.set()
    assert caught is not None
    leaks = watch.leaks(caught)
    assert "Sentry" in leaks
    assert set(leaks) != {"Sentry"}, "and the walk over all frames"


def test_a_check_of_ones_own_keeps_its_frames(watch: Watch) -> None:
    def check(response: Any) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        single(response_check=check).execute(context())

    assert watch.leaks(caught.value) == []
    assert caught.traceback[-1].name == "check"


REFUSALS: dict[str, Callable[[WatchedOrg], Any]] = {
    "the token request": lambda org: org.inject(Answer(400, b'{"error": "invalid_scope"}')),
    "the token request by HTML": lambda org: org.inject(Answer(403, b"<html>")),
    "a flow": lambda org: org.inject(Answer(403), flow="slow"),
    "a flow's response": lambda org: org.inject(Answer(302, b"", {"Location": "http://127.0.0.1/"}), flow="slow"),
}


@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("call", ["invoke", "ainvoke", "the operator", "the batch", "HttpHook.run"])
def test_a_refusal_takes_no_secret_along(watch: Watch, call: str, refuse: Callable[[WatchedOrg], Any]) -> None:
    refuse(watch.org)
    caught = error_of(CALLS[call])

    assert caught is None or watch.leaks(caught) == []


def test_a_connection_that_cannot_be_used_takes_no_secret_along(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {
        "conn_type": "okta_workflows",
        "password": watch.pem,
        "extra": {"private_key": watch.jwk, "key_passphrase": PASSPHRASE, "read_timeout": "soon"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
    for call in CALLS.values():
        caught = error_of(call)
        assert caught is None or watch.leaks(caught) == []


KEY_FORMS: dict[str, Callable[[Watch], str]] = {
    "in JSON": lambda watch: json.dumps({"data": {"data": {"private_key": watch.pem}}}),
    "in base64 of JSON": lambda watch: base64.b64encode(json.dumps({"key": watch.pem}).encode()).decode(),
    "as Python prints it": lambda watch: repr(watch.jwk),
    "URL-encoded": lambda watch: quote(watch.pem, safe=""),
    "with pluses as spaces": lambda watch: watch.pem.replace("+", " "),
    "two keys": lambda watch: watch.pem + pem_of(generate_jwk()),
    "two keys in JSON": lambda watch: json.dumps({"a": watch.pem, "b": generate_jwk()}),
    "to encrypt": lambda watch: json.dumps({**watch.jwk, "use": "enc"}),
    "a damaged JWK": lambda watch: json.dumps({**watch.jwk, "q": watch.jwk["p"]}),
    "a cut dict": lambda watch: repr(watch.jwk)[:-2],
    "a cut PEM in JSON": lambda watch: json.dumps({"key": watch.pem[:-40]}),
    "a name in JSON": lambda watch: json.dumps({watch.pem: 1}),
    "an unknown algorithm": lambda watch: json.dumps({**watch.jwk, "alg": "ES256"}),
}


@pytest.mark.parametrize("form", KEY_FORMS.values(), ids=KEY_FORMS)
def test_no_form_of_a_key_is_taken_along(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, form: Callable[[Watch], str]
) -> None:
    for fields in ({"password": form(watch)}, {"extra": {"key_file": form(watch)}}, {"login": form(watch)}):
        connection = {**watch.org.connection(), "password": None, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))
        for name in ("the settings", "the Test button", "invoke", "ainvoke"):
            caught = error_of(CALLS[name])
            assert caught is None or watch.leaks(caught) == []
        chance = random.Random(7)
        for _ in range(5):

            def interrupted_call(after: float = chance.random() * 3e-3) -> None:
                with interrupted_after(after, TakenOutError):
                    CALLS["the settings"]()

            caught = error_of(interrupted_call)
            assert caught is None or watch.leaks(caught) == []


def test_those_who_wait_for_a_token_that_fails_get_no_frames_of_the_one_who_asked(watch: Watch) -> None:
    async def main() -> list[Any]:
        watch.org.inject(Latency(0.05))
        watch.org.inject(Answer(400, b'{"error": "invalid_scope"}'))
        hook = OktaWorkflowsHook()
        return await asyncio.gather(*(hook.ainvoke("slow", {}) for _ in range(5)), return_exceptions=True)

    errors = asyncio.run(main())

    assert errors
    for error in errors:
        if isinstance(error, BaseException):
            assert watch.leaks(error) == []


# ---- the boundary


@contextmanager
def interrupted_at(step: int, module: str) -> Iterator[None]:
    """Raise :class:`TakenOutError` at one of the calls and lines of a module, counted from 0."""
    left = [step]

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.endswith(module):
            return None
        if event in ("call", "line"):
            left[0] -= 1
            if left[0] == -1:
                raise TakenOutError("interrupted")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("module", ["core/frames.py", "okta_workflows/exceptions.py"])
def test_an_interruption_of_the_boundary_itself_takes_no_secret_along(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    connection = {**watch.org.connection(), "login": watch.pem}
    monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))

    for step in range(1000):
        with interrupted_at(step, module):
            caught = error_of(CALLS["the settings"])
        assert caught is not None
        assert watch.leaks(caught) == []
        if not isinstance(caught, TakenOutError):
            break
    assert 3 < step < 999


def test_a_request_that_is_interrupted_while_it_is_prepared_takes_no_secret_along(watch: Watch) -> None:
    CALLS["HttpHook.run"]()

    for step in range(1000):
        with interrupted_at(step, "requests/structures.py"):
            caught = error_of(CALLS["HttpHook.run"])
        if caught is None:
            break
        assert isinstance(caught, TakenOutError)
        assert watch.leaks(caught) == []
    assert 3 < step < 999


def raise_chain(secret: str) -> None:
    try:
        try:
            raise KeyError(1)
        except KeyError:
            raise ValueError(2)  # noqa: B904  # its context is what this is about
    except ValueError as error:
        raise ExceptionGroup("several", [error, OSError(3)]) from error


def test_a_chain_of_errors_and_a_group_lose_their_frames() -> None:
    with pytest.raises(ExceptionGroup) as caught, NoFrames():
        raise_chain("s3cret")

    assert [one for _, one in locals_of(caught.value) if "s3cret" in one] == []
    assert "raise_chain" in "".join(caught.value.__notes__), "the places are kept, for whoever looks for a bug"
    assert isinstance(caught.value.__cause__, ValueError)


def test_what_was_being_handled_before_keeps_its_frames() -> None:
    def inside() -> None:
        try:
            raise OSError("before")
        except OSError:
            with NoFrames():
                raise KeyError("inside")  # noqa: B904  # its context is what this is about

    caught = error_of(inside)

    assert caught is not None
    assert caught.__context__ is not None
    assert caught.__context__.__traceback__ is not None


def test_the_places_of_an_error_are_stored_once() -> None:
    with pytest.raises(KeyError) as caught, NoFrames(), NoFrames():
        raise KeyError(1)

    assert len(caught.value.__notes__) == 1
