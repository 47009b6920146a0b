"""One situation, and the stage that it is played on: a connection, a local org, and a task."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_okta_workflows.core.flows.outcome import Outcome
from airflow_okta_workflows.core.keys.parsing import parse_key_text
from airflow_okta_workflows.core.keys.signing import load_signing_key
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.exceptions import OktaConfigurationError, OktaWorkflowsError, outcome_of
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.airflow_features import Feature, forget_masks
from tests.conftest import World
from tests.unit.core.keys.key_forms import EC, JWK, RSA, RSA_JWK

VARIABLE = "AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT"
T = TypeVar("T")
ALIAS = "0123456789abcdef0123456789abcdef"
_OUR_LOGS = ("airflow_okta_workflows", "airflow.task")
_VARIES = (
    (r"\(line \d+, column \d+\)", "(line …, column …)"),
    (r"\b\d+ of its \d+ bytes", "… of its … bytes"),
    (r"a value of \d+ characters", "a value of … characters"),
    (r"(?:https?://)?127\.0\.0\.1:\d+", "…"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "…"),
    (r"\b\d+(?:\.\d+)? s\b", "… s"),
)
"""Patterns of what differs from one play to the next."""


class Stage:
    """World in which one situation is played; nothing of it is left afterwards."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.patch = stack.enter_context(pytest.MonkeyPatch.context())
        self.folder = Path(stack.enter_context(TemporaryDirectory(prefix="situation-")))
        self.world = World()
        self.warnings: list[str] = []
        self.runs_elsewhere = 0
        self.advice = ""
        self.patch.setenv("AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE", "off")
        # Set by faults, too, which do not reset them.
        for name in (VARIABLE, "HTTPS_PROXY"):
            self.patch.setenv(name, "")

    @cached_property
    def org(self) -> LocalOrg:
        """A local org with a flow that returns what it received, and an app that has each key of ``key_forms``."""
        org = self._stack.enter_context(LocalOrg(rate_limit=None, clock=lambda: self.world.now))
        org.flow("echo")(
            lambda request: {"body": request.body, "query": dict(request.query), "headers": dict(request.headers)}
        )
        of_jwks = {jwk["kid"]: load_signing_key(parse_key_text(json.dumps(jwk))).key for jwk in (JWK, RSA_JWK)}
        keys = {"rsa": RSA, "ec": EC, **of_jwks}
        org.app.public_keys.update({kid: key.public_key() for kid, key in keys.items()})
        return org

    @property
    def runs(self) -> int:
        """How often a flow has run, of this org and of one of the fault matrix."""
        flows = self.org.flows.values() if "org" in vars(self) else ()
        return self.runs_elsewhere + sum(len(flow.runs) for flow in flows)

    def file(self, content: str | bytes, name: str = "okta.key") -> str:
        """Write a file, and return its path."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def connect(self, connection: str | dict[str, Any]) -> OktaWorkflowsHook:
        """Define the default connection, as its variable's text or as its fields, and return a hook for it."""
        self.patch.setenv(VARIABLE, connection if isinstance(connection, str) else json.dumps(connection))
        hook = OktaWorkflowsHook(runtime=self.world.runtime())
        self._stack.callback(hook.close)
        return hook

    def obtain_token(self, key: Any = None, *, kid: str | None = None, **extra: Any) -> str:
        """Obtain a token with a key in the connection; with a field of the connection in capitals, as ``LOGIN``."""
        fields = {**self.org.connection(), "password": key}
        fields |= {name.lower(): extra.pop(name) for name in list(extra) if name.isupper()}
        fields["extra"] = {**fields["extra"], **extra, **({"key_id": kid} if kid else {})}
        hook = self.connect(fields)
        assert hook.get_access_token().value in self.org.tokens
        return "Used"

    def invoke(self, **options: Any) -> Any:
        """Invoke the flow that returns what it received, and return that."""
        return self.connect(self.org.connection()).invoke("echo", **options).body


Act = Callable[[Stage], str]
"""One form of a situation: returns what was done with it, or raises."""


@dataclass(frozen=True)
class Situation:
    """Something that people have or write, and what comes of it.

    :param name: what they have, in their words
    :param forms: the forms that it has, of which each comes to the same
    :param taken: what is done with it; empty if it is an error
    :param warned: whether the log has a warning
    :param error: class of the error, if it is one
    :param code: code of its hint
    :param feature: feature of Airflow without which it comes to something else
    """

    name: str
    forms: Sequence[Act]
    taken: str = ""
    warned: bool = False
    error: type[BaseException] | None = None
    code: str = ""
    feature: Feature | None = None


@dataclass(frozen=True)
class Seen:
    """What came of a situation, with an ellipsis for what differs from case to case.

    :param taken: what was done; empty if there was an error
    :param error: class of the error
    :param lines: the error's first line; or its problems, if there are several
    :param code: code of its hint
    :param hint: what to change; or advice, if it works
    :param warnings: warnings in the log
    """

    taken: str = ""
    error: type[BaseException] | None = None
    lines: tuple[str, ...] = ()
    code: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()


def each(act: Callable[[Stage, T], str], values: Iterable[T]) -> list[Act]:
    """Return a form for each value that an act takes.

    :param act: does something with a value, and returns what was done
    :param values: the values
    """

    def with_value(value: T) -> Act:
        return lambda stage: act(stage, value)

    return [with_value(value) for value in values]


def taken(name: str, forms: Act | Sequence[Act], text: str, *, warned: bool = False, **options: Any) -> Situation:
    """Return a situation that works."""
    return Situation(name, _forms(forms), taken=text, warned=warned, **options)


def refused(
    name: str,
    forms: Act | Sequence[Act],
    code: str,
    error: type[BaseException] = OktaConfigurationError,
    **options: Any,
) -> Situation:
    """Return a situation that ends with an error."""
    return Situation(name, _forms(forms), error=error, code=code, **options)


def _forms(forms: Act | Sequence[Act]) -> Sequence[Act]:
    return (forms,) if callable(forms) else tuple(forms)


def play(situation: Situation) -> Seen:
    """Play each form of a situation, and return what came of it.

    :param situation: the situation
    :raises AssertionError: if its forms come to different ends, or to another one than is expected
    """
    found = [_play(form) for form in situation.forms]
    for number, seen in enumerate(found):
        ended = (seen.taken, seen.error, seen.code)
        assert ended == (situation.taken, situation.error, situation.code), f"form {number}: {seen}"
        # Before an error, each attempt that failed is a warning.
        assert bool(seen.warnings) == situation.warned or seen.error, f"form {number}: {seen.warnings}"
        assert seen.warnings or not situation.warned, f"form {number}: no warning"
        assert (seen.lines, seen.hint) == (found[0].lines, found[0].hint), f"form {number}: {seen}"
    return found[0]


def _play(act: Act) -> Seen:
    forget_masks()  # of the secrets of earlier plays, which make each later one slower
    with ExitStack() as stack:
        stage = Stage(stack)
        with _logged(stage.warnings):
            try:
                said, error = act(stage), None
            except (Exception, AirflowTaskTimeout) as caught:  # Airflow's own, too
                said, error = "", caught
        warnings = tuple(_masked(stage, text) for text in stage.warnings)
        if error is None:
            return Seen(said, hint=stage.advice, warnings=warnings)
        if isinstance(error, OktaWorkflowsError):
            if outcome_of(error) is Outcome.NOT_SENT:
                assert stage.runs == 0, "nothing was sent"
            lines, code, hint = error.message, error.code, error.hint
            if isinstance(error, OktaConfigurationError) and len(error.problems) > 1:
                lines, code, hint = "\n".join(error.problems), "", "As each line says."
        else:
            lines, code, hint = re.fullmatch(
                r"([^\n]*)(?:\nWhat to change \((OKW-\d+)\): ([^\n]*))?(?:\n.*)?", str(error), re.DOTALL
            ).groups("")  # type: ignore[union-attr]  # it always matches
        return Seen(
            error=type(error),
            lines=tuple(_masked(stage, lines).splitlines()),
            code=code,
            hint=_masked(stage, hint),
            warnings=warnings,
        )


def _masked(stage: Stage, text: str) -> str:
    text = re.sub(r"^Connection '(?:okta_workflows_default|mine)': ", "", text).replace(
        "AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", "AIRFLOW_CONN_…"
    )
    for value in (str(stage.folder) + os.sep, JWK["kid"], RSA_JWK["kid"]):
        text = text.replace(value, "…")
    for pattern, mask in _VARIES:
        text = re.sub(pattern, mask, text)
    return text


@contextmanager
def _logged(lines: list[str]) -> Iterator[None]:
    """Add the provider's warnings to a list, wherever this Airflow puts the log of a task."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name.startswith(_OUR_LOGS):
                lines.append(record.getMessage())

    handler = Handler(logging.WARNING)
    logging.getLogger().addHandler(handler)
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    finally:
        logging.getLogger().removeHandler(handler)
    for text, log in re.findall(
        r"\[warning *\] (.*?) *\[([\w.]+)\]", re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue())
    ):
        if log.startswith(_OUR_LOGS) and text not in lines:
            lines.append(text.removeprefix("Connection 'okta_workflows_default': "))
