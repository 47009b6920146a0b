"""The ``invoke`` command, which invokes a flow once and prints its response."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.cli.check import show_body
from airflow_okta_workflows.cli.runner import FAILED, GOOD, INTERRUPTIONS, UsageError, interrupted_code
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.flows.encoding import encode_payload
from airflow_okta_workflows.core.protocol import InvocationState
from airflow_okta_workflows.core.runtime import Runtime
from airflow_okta_workflows.core.secret import shown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airflow_okta_workflows.cli.output import Output
    from airflow_okta_workflows.core.flows.response import FlowResponse


def run(args: argparse.Namespace, output: Output) -> int:
    """Invoke a flow and return the exit code.

    :param args: the parsed arguments
    :param output: where to write
    """
    key = args.idempotency_key or Runtime().new_id()
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
        response = hook.invoke(args.flow, payload, idempotency_key=key, on_state=on_state)
    except OktaWorkflowsError as error:
        refused = error.response if isinstance(error, OktaFlowError) else None
        failure = {
            "type": type(error).__name__,
            "message": error.message,
            "fix": error.hint,
            "code": error.code,
            "detail": error.detail,
        }
        if not output.as_json:
            output.say(str(error))
        _show(args.flow, refused, output, failure)
        return FAILED
    finally:
        hook.close()
    output.say(f"{args.flow} {response.summary}")
    _show(args.flow, response, output, None)
    return GOOD


def how_far(flow: str, key: str, state: InvocationState) -> str:
    """Return a line that says whether an interrupted invocation was sent, and how to send it again.

    :param flow: the flow as the user named it
    :param key: the idempotency key
    :param state: the state of the invocation when it was interrupted
    """
    if state is InvocationState.NOT_RUN:
        return f"Interrupted: flow {shown(flow)} was not sent (idempotency key {key})."
    return (
        f"Interrupted: flow {shown(flow)} was sent and may have run. Look it up in the flow's execution history; to"
        f" send it again under its key: --idempotency-key {key}"
    )


def _show(flow: str, response: FlowResponse | None, output: Output, failure: dict[str, Any] | None) -> None:
    if output.as_json:
        members = {
            "flow": shown(flow).strip("'"),
            "response": response.to_json() if response else None,
        }
        output.json({**members, "error": failure})
    elif response:
        show_body(response, output)


def _payload(argument: str | None) -> str | None:
    """Return the payload as a JSON string, checked here so that a mistake in it counts as wrong usage."""
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
