"""The extra link of operators and sensor, from a task instance to the org's Workflows console."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.exceptions import raise_provider_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.hooks.flow_hook import FlowHook

log = logging.getLogger(__name__)


class OktaFlowLink(BaseOperatorLink):
    """Link from a task instance to the Workflows console of its flow's org, with the execution id in the fragment.

    The task stores the URL as an XCom. Airflow 3 shows that XCom; Airflow 2 calls :meth:`get_link` in its web server,
    which cannot read the connection.
    """

    name = "Okta Workflows console"

    @property
    def xcom_key(self) -> str:
        """The key of the XCom that contains the URL."""
        return "okta_workflows_console"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002  # the signature of BaseOperatorLink
        """Return the URL that a task instance stored; empty if it stored none.

        :param operator: the task
        :param ti_key: the task instance
        """
        from airflow.providers.common.compat.sdk import XCom

        return str(XCom.get_value(key=self.xcom_key, ti_key=ti_key) or "")

    def persist(self, context: Context, hook: FlowHook, flow: str, execution_id: str | None = None) -> None:
        """Store the URL as an XCom. An error is only logged, so that it does not fail the task.

        :param context: the task's context
        :param hook: the hook, whose connection determines the host of the flow
        :param flow: the flow as the task names it
        :param execution_id: the id of the flow's execution; None if it is not known
        """
        from airflow_okta_workflows.core.addresses import console_url

        try:
            with raise_provider_errors(), NoFrames():
                origin = hook.settings.find_flow(flow).origin
            context["ti"].xcom_push(key=self.xcom_key, value=console_url(origin, execution_id))
        except Exception as error:  # in the connection, which the task itself reports, or of Airflow's API
            log.debug("No link to the Workflows console: %s", error)
