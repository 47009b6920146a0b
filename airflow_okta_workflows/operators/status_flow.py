"""Argument of the invoke operators that describes the flow's status flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.checkpoints.failed_polls import MOST_FAILED_POLLS
from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.flows.encoding import check_as_parsed, parse_text
from airflow_okta_workflows.core.flows.expressions import has_template
from airflow_okta_workflows.core.flows.status import FAILURE_WHEN, NOT_FOUND_WHEN, SUCCESS_WHEN, RunStatusRule
from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.core.numbers import YEAR, check_number, seconds
from airflow_okta_workflows.core.secret import public_part
from airflow_okta_workflows.exceptions import raise_provider_errors
from airflow_okta_workflows.operators.templated_argument import TemplatedArgument, is_xcom

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
    from airflow_okta_workflows.core.flows.exactly_once import Patience
    from airflow_okta_workflows.core.flows.invocation import Invocation

_OWN_NAMES = ("idempotency_key", "execution_id")


class StatusFlow(TemplatedArgument):
    """Status flow that an invoke operator asks how a run is doing.

    With it, the operator waits for the end of the run, and a run whose outcome is unknown is looked up instead of given
    up. The status flow is invoked with ``{"idempotency_key": …, "execution_id": <if known>}`` beside ``payload``. It
    must report ``RUNNING``, ``SUCCEEDED``, ``FAILED`` or ``NOT_FOUND`` of the run with that key. docs/writing-flows.md
    shows how to build one, and what it must promise.

    :param flow: the status flow: a name in the connection's ``flows``, an alias, or an invoke URL (templated)
    :param payload: a JSON object with further members for the request, or a string of one; None for none (templated)
    :param success_when: a JMESPath expression over the body that is true when the run has succeeded
    :param failure_when: a JMESPath expression over the body that is true when the run has failed
    :param not_found_when: a JMESPath expression over the body that is true when there is no such run; so is a 404 with
        an execution id
    :param result: a JMESPath expression over the body; what it selects takes the place of the flow's response
    :param poke_interval: seconds between two questions, or a ``timedelta``
    :param timeout: seconds that a try waits for the end of the run, or a ``timedelta``; None for no limit
    :param settle: seconds after which a request that has left has become a run, or never will; at least the read
        time-out and 25 s, which is also the default
    :param cancel_flow: a flow that is invoked once, with the body that the status flow gets, when the task is killed
        while the run may be under way; None for none (templated)
    :param max_failed_polls: number of consecutive questions that may fail for a temporary reason
    :raises OktaConfigurationError: for an argument that cannot work
    """

    template_fields: Sequence[str] = ("flow", "payload", "cancel_flow")

    def __init__(
        self,
        flow: str,
        *,
        payload: Mapping[str, Any] | str | None = None,
        success_when: str = SUCCESS_WHEN,
        failure_when: str = FAILURE_WHEN,
        not_found_when: str = NOT_FOUND_WHEN,
        result: str | None = None,
        poke_interval: float | timedelta = 60,
        timeout: float | timedelta | None = None,
        settle: float | timedelta | None = None,
        cancel_flow: str | None = None,
        max_failed_polls: int = 5,
    ) -> None:
        self.flow = flow
        self.payload = payload
        self.success_when = success_when
        self.failure_when = failure_when
        self.not_found_when = not_found_when
        self.result = result
        self.poke_interval: float = seconds(poke_interval)
        self.timeout: float | None = seconds(timeout)
        self.settle: float | None = seconds(settle)
        self.cancel_flow = cancel_flow
        self.max_failed_polls = max_failed_polls
        with raise_provider_errors(), NoFrames():
            check_number(self.poke_interval, "poke_interval", least=0, most=YEAR)
            for name, value in (("timeout", self.timeout), ("settle", self.settle)):
                if value is not None:
                    check_number(value, name, least=0, most=YEAR)
            check_number(max_failed_polls, "max_failed_polls", least=0, most=MOST_FAILED_POLLS, whole=True)
            for name, named in self._flows.items():
                # Others are rendered later: an XComArg, or a function of the context.
                if isinstance(named, str) or not (hasattr(named, "resolve") or callable(named)):
                    _check_flow(name, named)
            check_as_parsed("POST", payload, None, None)
            if not is_xcom(payload) and not (isinstance(payload, str) and has_template(payload)):
                self.question("", None)
            for name in ("success_when", "failure_when", "not_found_when"):
                _check_condition(name, getattr(self, name))
            self.rule  # noqa: B018  # compiles the conditions

    def __repr__(self) -> str:
        # Airflow before 3.3 stores this with the DAG, so it must be the same in each process.
        given = {**vars(self), "cancel_flow": None if self.cancel_flow is None else public_part(str(self.cancel_flow))}
        del given["flow"]
        arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"StatusFlow({public_part(str(self.flow))!r}, {arguments})"

    @property
    def rule(self) -> RunStatusRule:
        """The conditions, compiled."""
        return RunStatusRule(
            success_when=self.success_when,
            failure_when=self.failure_when,
            result=self.result,
            not_found_when=self.not_found_when,
        )

    def patience(self, read_timeout: float) -> Patience:
        """Return how long to wait for what.

        :param read_timeout: seconds that the flow's response may take
        :raises OktaConfigurationError: if ``settle`` is too short for it
        """
        # Not needed to parse a DAG, and slow to import.
        from airflow_okta_workflows.core.flows.exactly_once import Patience, least_settle

        least = least_settle(read_timeout)
        settle = least if self.settle is None else self.settle
        with raise_provider_errors(), NoFrames():
            if settle < least:
                raise configuration_error(
                    f"settle is {settle:g} s, and a request that has left may still become a run after that time.",
                    f"OKW-1632: Set settle to at least {least:g}, the read time-out ({read_timeout:g} s) and 25 s, or"
                    " leave it out.",
                )
        return Patience(self.poke_interval, settle)

    @property
    def _flows(self) -> dict[str, Any]:
        return {"flow": self.flow} | ({} if self.cancel_flow is None else {"cancel_flow": self.cancel_flow})

    def template(self, settings: OktaWorkflowsSettings, idempotency_key: str) -> Invocation:
        """Return a question without a run, after checking all that can be known before the flow is invoked.

        :param settings: the connection
        :param idempotency_key: the idempotency key of the question itself
        :raises OktaConfigurationError: if the status flow or the ``cancel_flow`` cannot be invoked
        """
        with raise_provider_errors(), NoFrames():
            for name, flow in self._flows.items():
                _check_flow(name, flow)
                settings.find_flow(flow)
            return settings.build_invocation(
                self.flow, self.question("", None), idempotency_key=idempotency_key, idempotent=True
            )

    def question(self, idempotency_key: str, execution_id: str | None) -> dict[str, Any]:
        """Return the payload of a question about one run.

        :param idempotency_key: the key of the run
        :param execution_id: its execution id, if it is known
        :raises OktaConfigurationError: if ``payload`` is not a JSON object
        """
        with raise_provider_errors(), NoFrames():
            payload = (
                parse_text(self.payload, "The payload of StatusFlow") if isinstance(self.payload, str) else self.payload
            )
            _check_payload(payload)
        asked = {"idempotency_key": idempotency_key} | ({"execution_id": execution_id} if execution_id else {})
        return {**(payload or {}), **asked}


def _check_flow(name: str, flow: object) -> None:
    if isinstance(flow, str) and flow.strip():
        return
    raise configuration_error(
        f"{name} of StatusFlow is {'empty' if isinstance(flow, str) else type(flow).__name__}, not the name of a flow.",
        "OKW-1691: Give a name in the connection's flows, an alias or an invoke URL.",
    )


def _check_condition(name: str, condition: object) -> None:
    if condition is None:
        raise configuration_error(
            f"{name} of StatusFlow is None.",
            "OKW-1692: Give a JMESPath expression, or leave it out. Without the condition, the task could wait for the"
            " run without end.",
        )


def _check_payload(payload: Any) -> None:
    if payload is None:
        return
    if not isinstance(payload, Mapping):
        raise configuration_error(
            f"The payload of StatusFlow is {type(payload).__name__}, not an object.",
            "OKW-1633: Give a dict; idempotency_key and execution_id are added to it.",
        )
    if taken := [name for name in _OWN_NAMES if name in payload]:
        raise configuration_error(
            f"The payload of StatusFlow has {' and '.join(taken)}, which the operator adds itself.",
            "OKW-1634: Leave it out.",
        )
