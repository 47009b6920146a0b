"""``check``: a connection step by step, each passed, failed with its fix, or skipped with the reason."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.cli.runner import FAILED, GOOD, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from airflow_okta_workflows.cli.hook import CommandLineHook
    from airflow_okta_workflows.cli.output import Output
    from airflow_okta_workflows.core.flows.response import FlowResponse
    from airflow_okta_workflows.diagnostics import CheckStep


def run(args: argparse.Namespace, output: Output) -> int:
    """Check a connection and return the exit code.

    :param args: the arguments
    :param output: where to write
    """
    if args.conn_id and args.file:
        raise UsageError("give either --conn-id or --file")
    if args.yes and not args.flow:
        raise UsageError("--yes goes with --flow")
    if args.flow and not args.yes and not sys.stdin.isatty():
        raise UsageError("--flow asks before it invokes the flow, and nobody is here to answer: add --yes")

    from airflow_okta_workflows.cli.hook import CommandLineHook, hook_from_file
    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.diagnostics import CheckResult, check_connection

    hook = hook_from_file(args.file) if args.file else CommandLineHook(args.conn_id)
    steps: list[CheckStep] = []
    for step in check_connection(lambda: hook.settings, Runtime(), [args.flow] if args.flow else []):
        steps.append(step)
        show_step(step, output)
    invocation = _Invocation(hook, args.flow, ask=not args.yes)
    for step in invocation.steps(steps) if args.flow else ():
        steps.append(step)
        show_step(step, output)
    good = all(step.result is not CheckResult.FAILED for step in steps)
    answer = invocation.answer
    if output.as_json:
        output.json(
            {
                "connection": hook.okta_workflows_conn_id,
                "good": good,
                "steps": [_members(step) for step in steps],
                "answer": answer_members(answer) if answer else None,
            }
        )
    elif answer:
        show_body(answer, output)
    return GOOD if good else FAILED


def show_step(step: CheckStep, output: Output, *, to_stderr: bool = False) -> None:
    """Show a step, unless the result is JSON, which holds all of them.

    :param step: the step
    :param output: where to write
    :param to_stderr: whether the steps are not the result, but the way to it
    """
    if to_stderr or not output.as_json:
        notes = [f"Fix: {step.fix}"] if step.fix else []
        output.row(step.result.value, step.name, step.detail, notes, to_stderr=to_stderr)


def answer_members(answer: FlowResponse) -> dict[str, Any]:
    """Return a flow's answer as a JSON object.

    :param answer: the answer
    """
    return {
        "status_code": answer.status_code,
        "execution_id": answer.execution_id,
        "elapsed": round(answer.elapsed, 3),
        "body": answer.body,
    }


def show_body(answer: FlowResponse, output: Output) -> None:
    """Show the body of a flow's answer to people.

    :param answer: the answer
    :param output: where to write
    """
    if isinstance(answer.body, str):
        output.text(answer.body)
    elif answer.body is not None:
        output.value(answer.body)


def describe(answer: FlowResponse) -> str:
    """Return what there is to say of a flow's answer besides its body.

    :param answer: the answer
    """
    return f"answered {answer.status_code} in {answer.elapsed:.2f} s, execution {answer.execution_id or 'not told'}"


def _members(step: CheckStep) -> dict[str, str]:
    return {"step": step.name, "result": step.result.value, "detail": step.detail, "fix": step.fix}


class _Invocation:
    """Invoke a flow as the last step of a check."""

    def __init__(self, hook: CommandLineHook, flow: str, *, ask: bool) -> None:
        self.answer: FlowResponse | None = None
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
        if self._ask and not _confirmed(f"Invoke the flow {self._flow!r} now? It really runs. [y/N] "):
            yield from skipped([name], "not confirmed")
            return
        try:
            self.answer = self._hook.invoke(self._flow)
            yield CheckStep(name, CheckResult.PASSED, f"{self._flow} {describe(self.answer)}")
        except OktaWorkflowsError as error:
            if isinstance(error, OktaFlowError):
                self.answer = error.response
            yield CheckStep(name, CheckResult.FAILED, str(error).removesuffix(error.hint).strip(), error.hint)
        finally:
            self._hook.close()


def _confirmed(question: str) -> bool:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
