"""The ``conformance`` command, which compares an org with the rules of the local org."""

from __future__ import annotations

import json
import sys
import textwrap
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_okta_workflows.cli.output import confirmed, printable
from airflow_okta_workflows.cli.runner import (
    FAILED,
    GOOD,
    INTERRUPTIONS,
    CommandFailedError,
    UsageError,
    interrupted_code,
)
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.secret import shown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from airflow_okta_workflows.cli.output import Output
    from airflow_okta_workflows.conformance.findings import Finding
    from airflow_okta_workflows.conformance.session import Session
    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.addresses import FlowAddress
    from airflow_okta_workflows.emulator.profile import OrgRules

_INDENT = " " * 17
_WIDTH = 120


def run(args: argparse.Namespace, output: Output) -> int:
    """Compare an org with the rules, and return the exit code.

    :param args: the parsed arguments
    :param output: where to write
    """
    # Imported here: they bring the libraries of HTTP and of keys, which --help does not need.
    from airflow_okta_workflows.conformance.recipes import recipes_text
    from airflow_okta_workflows.emulator.profile import OrgRules

    if args.recipe:
        output.text(recipes_text())
        return GOOD
    if not args.yes and not sys.stdin.isatty():
        raise UsageError("it asks before it sends anything, and nobody is here to confirm: add --yes")

    from airflow_okta_workflows.cli.hook import CommandLineHook
    from airflow_okta_workflows.exceptions import OktaWorkflowsError

    hook = CommandLineHook(args.conn_id)
    try:
        return _compare(args, output, hook.settings, OrgRules(args.profile))
    except (CoreError, OktaWorkflowsError) as error:
        raise CommandFailedError(str(error)) from None
    finally:
        hook.close()


def _compare(args: argparse.Namespace, output: Output, settings: OktaWorkflowsSettings, rules: OrgRules) -> int:
    from airflow_okta_workflows.conformance.recipes import find_flows
    from airflow_okta_workflows.conformance.run import run_probes
    from airflow_okta_workflows.conformance.session import Session
    from airflow_okta_workflows.core.runtime import Runtime
    from airflow_okta_workflows.transport.h11_transport import H11Transport

    flows = find_flows(settings, dict(args.flow or ()))
    output.say(announcement(settings, flows, rate=args.rate))
    if not args.yes and not confirmed("Go on? [y/N] "):
        raise CommandFailedError("Not confirmed: nothing was sent.")
    with closing(H11Transport(settings)) as transport:
        session = Session(settings, transport, Runtime(), rules, output.say)
        try:
            run_probes(session, flows, rate=args.rate)
        except INTERRUPTIONS as interruption:
            output.say(f"Interrupted: {_sent(session)}. The last flow may still run. Nothing is written.")
            return interrupted_code(interruption)
    findings = session.findings.all()
    document = session.findings.to_json()
    if output.as_json:
        output.json(document)
    else:
        output.text(printable(table(findings)))
    output.say(f"{_counted(findings)}; {_sent(session)}.")
    if args.write:
        _write(Path(args.write).expanduser(), document, output)
    return exit_code(findings)


def announcement(settings: OktaWorkflowsSettings, flows: Mapping[str, FlowAddress], *, rate: bool) -> str:
    """Return what a run will send, for the user to confirm.

    :param settings: the connection
    :param flows: the flows that exist, by name
    :param rate: whether the rate limit is tried
    """
    from airflow_okta_workflows.conformance.budget import INVOCATIONS, RATE_INVOCATIONS, TOKEN_REQUESTS

    named = ", ".join(flows) or "none is named (--recipe says how to build them)"
    lines = [
        f"This sends up to {TOKEN_REQUESTS} token requests to {settings.domain.netloc}. Most are wrong on purpose, and"
        " the org's System Log will show them as failed.",
        f"It invokes flows at {settings.workflows.netloc} up to {INVOCATIONS} times: {named}.",
    ]
    if rate:
        lines.append(f"For the rate limit, it invokes echo {RATE_INVOCATIONS} times more, in bursts.")
    return "\n".join(lines)


def table(findings: Sequence[Finding]) -> str:
    """Return the table of a run: one row for each rule, and below it what differs or why it was not tried.

    :param findings: the findings
    """
    return "\n".join(line for finding in findings for line in _row(finding))


def exit_code(findings: Sequence[Finding]) -> int:
    """Return the exit code: good if nothing differs and no probe failed.

    :param findings: the findings
    """
    from airflow_okta_workflows.conformance.findings import Result

    differs = any(finding.result is Result.DIFFERENT or finding.failed for finding in findings)
    return FAILED if differs else GOOD


def _row(finding: Finding) -> list[str]:
    from airflow_okta_workflows.conformance.findings import Result

    inferred = " (inferred)" if finding.rule.inferred else ""
    lines = _wrapped(f"{finding.rule.id:<5}{finding.result.value:<12}", finding.rule.claim + inferred)
    if finding.result is Result.DIFFERENT:
        lines += _wrapped(f"{_INDENT}claimed  ", json.dumps(finding.expected))
        lines += _wrapped(f"{_INDENT}seen     ", json.dumps(finding.seen))
    elif finding.result is Result.NOT_TRIED:
        lines += _wrapped(_INDENT, f"{'failed: ' if finding.failed else ''}{finding.why}")
    return lines


def _wrapped(begin: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin)) or [begin.rstrip()]


def _counted(findings: Sequence[Finding]) -> str:
    numbers = Counter(finding.result.value for finding in findings)
    counted = ", ".join(f"{number} {result}" for result, number in sorted(numbers.items()))
    return f"{len(findings)} rules: {counted}"


def _sent(session: Session) -> str:
    invocations = session.invocations.sent + session.rate_invocations.sent
    return f"{session.token_requests.sent} token requests and {invocations} invocations were sent"


def _write(path: Path, document: object, output: Output) -> None:
    try:
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="ascii")
    except OSError as error:
        raise CommandFailedError(f"{shown(path)} cannot be written: {error.strerror}.") from None
    output.say(
        f"{path} holds no secrets, host names or ids. Read it before you attach it to an issue. LocalOrg(profile=…) and"
        " emulator --profile behave as it says."
    )
