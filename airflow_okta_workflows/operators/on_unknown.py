"""The argument ``on_unknown`` of the operators: whether a person is asked about an invocation of unknown outcome."""

from __future__ import annotations

from typing import Literal

from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.exceptions import OktaConfigurationError

FAIL: Literal["fail"] = "fail"
ASK: Literal["ask"] = "ask"
"""Values of ``on_unknown``."""

GIVE_UP = "Fail"
"""The answer after which the task fails as without a question."""
TIMED_OUT = "timed out"
"""The choice of an answer that did not come in time."""

_FIRST_WITH_QUESTIONS = (3, 1)


def check_on_unknown(on_unknown: object, *, has_status: bool) -> None:
    """Raise if ``on_unknown`` cannot work.

    :param on_unknown: the argument
    :param has_status: whether there is a status flow
    :raises OktaConfigurationError: for another value, with a status flow, and where Airflow has no required actions
    """
    if on_unknown not in (FAIL, ASK):
        raise OktaConfigurationError(
            f"on_unknown is {shown(on_unknown, 20)}.", hint="OKW-1642: Set it to 'fail' or 'ask'."
        )
    if on_unknown == FAIL:
        return
    if has_status:
        raise OktaConfigurationError(
            "on_unknown='ask' and status exclude each other.",
            hint="OKW-1643: Leave on_unknown out. The status flow is asked instead of a person.",
        )
    if airflow_version() < _FIRST_WITH_QUESTIONS:
        from airflow import __version__ as version

        raise OktaConfigurationError(
            f"on_unknown='ask' needs Airflow 3.1 or later, and this is {version}.",
            hint="OKW-1644: Leave on_unknown out, or give the flow a status flow: status=StatusFlow(…).",
        )


def airflow_version() -> tuple[int, ...]:
    """Return the version of Airflow, such as ``(3, 3, 2)``."""
    from airflow import __version__
    from packaging.version import Version

    return Version(__version__).release
