"""The ``check`` command, which checks a connection step by step."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow_okta_workflows.cli.output import confirmed
from airflow_okta_workflows.cli.runner import FAILED, GOOD, UsageError
from airflow_okta_workflows.core.errors import split_code

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from airflow_okta_workflows.cli.hook import CommandLineHook
    from airflow_okta_workflows.cli.output import Output
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.diagnostics import CheckStep


def run(args: argparse.Namespace, output: Output) -> int:
    """Check a connection and return the exit code.

    :param args: the parsed arguments
    :param output: where to write
    """
    if args.yes and not args.flow:
        raise UsageError("--yes requires --flow")
    if args.flow and not args.yes and not sys.stdin.isatty():
        raise UsageError("--flow asks before it invokes the flow, and nobody is here to confirm: add --yes")

    from airflow_okta_workflows.cli.hook import CommandLineHook, hook_from_file
    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.diagnostics import CheckResult, check_connection

    hook = hook_from_file(args.file, args.conn_id) if args.file else CommandLineHook(args.conn_id)
    steps: list[CheckStep] = []
    for step in check_connection(lambda: hook.settings, Runtime(), [args.flow] if args.flow else []):
        steps.append(step)
        show_step(step, output)
    invocation = _Invocation(hook, args.flow, ask=not args.yes)
    for step in invocation.steps(steps) if args.flow else ():
        steps.append(step)
        show_step(step, output)
    good = all(step.result is not CheckResult.FAILED for step in steps)
    response = invocation.response
    if output.as_json:
        output.json(
            {
                "connection": hook.okta_workflows_conn_id,
                "good": good,
                "steps": [_members(step) for step in steps],
                "response": response.to_json() if response else None,
            }
        )
    elif response:
        show_body(response, output)
    return GOOD if good else FAILED


def show_step(step: CheckStep, output: Output, *, to_stderr: bool = False) -> None:
    """Show a step, unless the result is JSON, which contains all steps.

    :param step: the step
    :param output: where to write
    :param to_stderr: whether to show it on stderr, because the steps are not the command's result
    """
    if to_stderr or not output.as_json:
        code, fix = split_code(step.fix)
        notes = f"Fix{f' ({code})' if code else ''}: {fix}".split("\n") if fix else []
        output.row(step.result.value, step.name, step.detail, notes, to_stderr=to_stderr)


def show_body(response: FlowResponse, output: Output) -> None:
    """Show the body of a flow's response for people to read.

    :param response: the response
    :param output: where to write
    """
    if isinstance(response.body, str):
        output.text(response.body)
    elif response.body is not None:
        output.value(response.body)


def _members(step: CheckStep) -> dict[str, str]:
    code, fix = split_code(step.fix)
    return {"step": step.name, "result": step.result.value, "detail": step.detail, "fix": fix, "code": code}


class _Invocation:
    """The invocation of a flow as the last step of a check."""

    def __init__(self, hook: CommandLineHook, flow: str, *, ask: bool) -> None:
        self.response: FlowResponse | None = None
        self._hook = hook
        self._flow = flow
        self._ask = ask

    def steps(self, before: list[CheckStep]) -> Iterator[CheckStep]:
        from airflow_okta_workflows.diagnostics import CheckResult, CheckStep, skipped
        from airflow_okta_workflows.exceptions import OktaFlowError, OktaWorkflowsError

        name = "invocation"
        passed = {step.name for step in before if step.result is CheckResult.PASSED}
        if missing := [step for step in ("token", "flows") if step not in passed]:
            yield from skipped([name], f"it needs: {', '.join(missing)}")
            return
        if self._ask and not confirmed(f"Invoke the flow {self._flow!r} now? It really runs. [y/N] "):
            yield from skipped([name], "not confirmed")
            return
        try:
            self.response = self._hook.invoke(self._flow)
            yield CheckStep(name, CheckResult.PASSED, f"{self._flow} {self.response.summary}")
        except OktaWorkflowsError as error:
            if isinstance(error, OktaFlowError):
                self.response = error.response
            yield CheckStep(name, CheckResult.FAILED, f"{error.message} {error.detail}".strip(), error.coded_hint)
        finally:
            self._hook.close()
