"""Fixtures of all tests: a temporary Airflow home, a local org, and a clock that does not really wait."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from hypothesis import settings

# The machine may be busy, so no example has a deadline.
settings.register_profile("usual", max_examples=200, deadline=None)
settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("thorough", max_examples=1500, deadline=None)
settings.load_profile("usual")

# Before the first import of Airflow, which reads its configuration.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ.update(
    {
        "AIRFLOW_HOME": _HOME.name,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        # Otherwise Airflow 2.11 warns that Airflow 3 measures in milliseconds.
        "AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True",
        "AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR": f"{_HOME.name}/tokens",
        # Tests of the pace turn it on.
        "AIRFLOW__OKTA_WORKFLOWS__PACE": "off",
    }
)
for _name in [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy")]:
    del os.environ[_name]

from airflow_okta_workflows.cli.main import main  # noqa: E402  # after the environment
from airflow_okta_workflows.core.flows.response import FlowResponse  # noqa: E402
from airflow_okta_workflows.core.runtime import Runtime  # noqa: E402  # after the environment
from airflow_okta_workflows.emulator import LocalOrg  # noqa: E402
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook  # noqa: E402
from tests import airflow_features  # noqa: E402  # after the environment


def _renew_asgirefs_thread() -> None:  # pragma: no cover  # in another process
    # Its only thread is not in a fork, whose sync_to_async would wait for it for ever.
    SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)


os.register_at_fork(after_in_child=_renew_asgirefs_thread)

# Here, not by its entry point: so coverage has begun before the package is imported.
pytest_plugins = ("airflow_okta_workflows.emulator.pytest_plugin",)


@dataclass
class World:
    """Fake clock, randomness and sleep: time passes only in calls of sleep."""

    now: float = field(default_factory=time.time)
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def async_sleep(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)

    def runtime(self) -> Runtime:
        now = lambda: self.now  # noqa: E731
        return Runtime(clock=now, monotonic=now, random=lambda: 0.5, sleep=self.sleep, async_sleep=self.async_sleep)


def _renew_the_lock_of_coverage() -> None:
    """Replace the lock that coverage's tracer takes at each new file: the thread that held it is not in the child."""
    coverage: Any = sys.modules.get("coverage")
    running = coverage.Coverage.current() if coverage else None
    if collector := getattr(running, "_collector", None):
        collector.data_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_the_lock_of_coverage)


_left_out = pytest.StashKey[Counter[str]]()
"""Number of tests that were deselected on this Airflow, by reason."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of :mod:`tests.airflow_features`."""
    config.addinivalue_line("markers", "for_airflow(feature, there): the test means nothing on another Airflow")
    config.stash[_left_out] = Counter()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that are meaningless on this Airflow."""
    reasons = {item: airflow_features.reason_to_leave_out(item) for item in items}
    config.stash[_left_out].update(filter(None, reasons.values()))
    config.hook.pytest_deselected(items=[item for item in items if reasons[item]])
    items[:] = [item for item in items if not reasons[item]]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Report the deselected tests to the controller of pytest-xdist, if there is one."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        left_out: Counter[str] = session.config.stash[_left_out]
        output["left_out"] = dict(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the deselected tests of a worker, which are the same for all workers."""
    told: dict[str, int] = getattr(node, "workeroutput", {}).get("left_out", {})
    node.config.stash[_left_out] = Counter(told)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how many tests were deselected, and why."""
    for reason, tests in sorted(config.stash[_left_out].items()):
        terminalreporter.write_line(f"NOT APPLICABLE [{tests}] {reason}")


@pytest.fixture(autouse=True)
def _forget_masks() -> Iterator[None]:
    """Forget the masks after each test, because each mask makes the next one slower."""
    yield
    airflow_features.forget_masks()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Return a function that prints a figure to the terminal, past pytest's capturing."""

    def show(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", end=" ", flush=True)

    return show


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def org(world: World) -> Iterator[LocalOrg]:
    """Yield a local org without a rate limit, with one flow that returns what it received."""
    with LocalOrg(rate_limit=None, clock=lambda: world.now) as org:

        @org.flow("echo")
        def echo(request: Any) -> Any:
            return {"body": request.body, "query": dict(request.query), "key": request.idempotency_key}

        yield org


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that defines the default connection to an org; its keyword arguments are fields of extra."""

    def define(org: LocalOrg, **extra: Any) -> None:
        for name, value in org.environment(**extra).items():
            monkeypatch.setenv(name, value)

    return define


Invoke = Callable[..., FlowResponse]


@pytest.fixture(params=["sync", "async"])
def invoke(request: pytest.FixtureRequest, world: World) -> Iterator[Invoke]:
    """Yield a function that invokes through the hook: once synchronously, as a task does, and once on an event loop."""
    hook = OktaWorkflowsHook(runtime=world.runtime())

    def invoke_async(*args: Any, **kwargs: Any) -> FlowResponse:
        return asyncio.run(hook.ainvoke(*args, **kwargs))

    yield hook.invoke if request.param == "sync" else invoke_async
    hook.close()


@dataclass(frozen=True)
class Ended:
    """Result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed to stdout, which must be JSON and nothing else."""
        return json.loads(self.out)


CommandLine = Callable[..., Ended]

_AIRFLOWS_OWN = re.compile(r".*shall not contain '_' according to RFC3986.*\n")
"""Log line of Airflow 3.0 and 3.1 for each connection type with an underscore, even of Airflow's own providers."""


@pytest.fixture
def okta_workflows(capfd: pytest.CaptureFixture[str]) -> CommandLine:
    """Return a function that runs the command line in this process, through the console script's entry point."""

    def run(*arguments: str) -> Ended:
        capfd.readouterr()
        try:
            code: Any = main(arguments)
        except SystemExit as end:
            code = end.code
        out, err = capfd.readouterr()
        return Ended(code, out, _AIRFLOWS_OWN.sub("", err))

    return run
