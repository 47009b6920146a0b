"""The link to the console, as Airflow keeps it."""

from __future__ import annotations

from typing import Any

from airflow_okta_workflows.links.okta_workflows import OktaFlowLink
from tests.airflow_features import TASK_SDK


def console_link(task: Any, given: Any) -> str | None:
    """Return the link of a task whose process has ended; None if the task stored none.

    Airflow 3 asks for it then, and stores it. On Airflow 2 it is what the task has pushed.

    :param task: the task
    :param given: the context in which it was executed
    """
    pushed: str | None = given["ti"].pushed.get(OktaFlowLink().xcom_key)
    if pushed is None:
        return None
    at_end = OktaFlowLink().get_link(task, ti_key=given["ti"])
    assert TASK_SDK.there or pushed == at_end
    return at_end
