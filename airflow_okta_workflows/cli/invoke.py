"""``invoke``: one invocation of a flow, and its answer."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.cli.check import answer_members, describe, show_body
from airflow_okta_workflows.cli.runner import FAILED, GOOD, INTERRUPTIONS, UsageError, interrupted_code
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.flows.encoding import encode_payload
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.core.secret import shown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airflow_okta_workflows.cli.output import Output
    from airflow_okta_workflows.core.flows.response import FlowResponse


def run(args: argparse.Namespace, output: Output) -> int:
    """Invoke a flow and return the exit code.

    :param args: the arguments
    :param output: where to write
    """
    key = args.idempotency_key or str(uuid.uuid4())
    stages: list[InvocationState] = []
    try:
        return _invoke(args, key, output, stages.append)
    except INTERRUPTIONS as interruption:
        output.say(how_far(args.flow, key, stages[-1] if stages else InvocationState.NOT_RUN))
        return interrupted_code(interruption)


def _invoke(args: argparse.Namespace, key: str, output: Output, on_state: Callable[[InvocationState], None]) -> int:
    payload = _payload(args.payload)

    from airflow_okta_workflows.cli.hook import CommandLineHook
    from airflow_okta_workflows.exceptions import OktaFlowError, OktaWorkflowsError

    hook = CommandLineHook(args.conn_id)
    try:
        answer = hook.invoke(args.flow, payload, idempotency_key=key, on_state=on_state)
    except OktaWorkflowsError as error:
        refused = error.response if isinstance(error, OktaFlowError) else None
        failure = {"type": type(error).__name__, "message": str(error), "fix": error.hint}
        if not output.as_json:
            output.say(str(error))
        _show(args.flow, refused, output, failure)
        return FAILED
    finally:
        hook.close()
    output.say(f"{args.flow} {describe(answer)}")
    _show(args.flow, answer, output, None)
    return GOOD


def how_far(flow: str, key: str, state: InvocationState) -> str:
    """Return in one line whether an interrupted invocation was sent, and how to send it again.

    :param flow: the flow as it was named
    :param key: the idempotency key
    :param state: how far the invocation was
    """
    if state is InvocationState.NOT_RUN:
        return f"Interrupted: flow {flow!r} was not sent (idempotency key {key})."
    return (
        f"Interrupted: flow {flow!r} was sent and may have run. Look it up in the flow's execution history; to send it"
        f" again under its key: --idempotency-key {key}"
    )


def _show(flow: str, answer: FlowResponse | None, output: Output, failure: dict[str, Any] | None) -> None:
    if output.as_json:
        members = {
            "flow": shown(flow).strip("'"),
            "answer": answer_members(answer) if answer else None,
        }
        output.json({**members, "error": failure})
    elif answer:
        show_body(answer, output)


def _payload(argument: str | None) -> str | None:
    """Return the payload as JSON text, checked here so that a slip in it is told apart from a failed call."""
    if argument is None:
        return None
    try:
        if argument == "-":
            text = sys.stdin.read()
        elif argument.startswith("@"):
            text = Path(argument[1:]).expanduser().read_text(encoding="utf-8-sig")
        else:
            text = argument
        encode_payload(text, "POST")
    except OSError as error:
        raise UsageError(f"the payload {shown(argument)} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the payload {shown(argument)} is not text in UTF-8") from None
    except CoreError as error:
        raise UsageError(error.message) from None
    return text
