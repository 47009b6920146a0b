"""The extra link of operators and sensor, from a task instance to the org's Workflows console."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_okta_workflows.core.frames import NoFrames
from airflow_okta_workflows.exceptions import raise_provider_errors

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_okta_workflows.hooks.flow_hook import FlowHook

log = logging.getLogger(__name__)

_STORED_AT_END = find_spec("airflow.sdk") is not None
"""Whether Airflow itself stores the link of a task when its process ends, as it does from 3.0 on."""
_URL = "_okta_workflows_console"
"""Attribute of a task with the latest URL that its process knows."""


class OktaFlowLink(BaseOperatorLink):
    """Link from a task instance to the Workflows console of its flow's org, with the execution id in the fragment.

    The URL is stored as an XCom. Airflow 3 shows that XCom, and calls :meth:`get_link` in the task's process when it
    ends, to store it. Airflow 2 calls :meth:`get_link` in its web server, which cannot read the connection.
    """

    name = "Okta Workflows console"

    @property
    def xcom_key(self) -> str:
        """The key of the XCom that contains the URL."""
        return "okta_workflows_console"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the URL of a task instance; empty if it has none.

        :param operator: the task
        :param ti_key: the task instance
        """
        if url := getattr(operator, _URL, None):
            return str(url)
        from airflow.providers.common.compat.sdk import XCom

        return str(XCom.get_value(key=self.xcom_key, ti_key=ti_key) or "")

    def persist(
        self, operator: Any, context: Context, hook: FlowHook, flow: str, execution_id: str | None = None
    ) -> None:
        """Store the URL, so that it can be followed while the task runs. An error is only logged.

        :param operator: the task
        :param context: the task's context
        :param hook: the hook, whose connection determines the host of the flow
        :param flow: the flow as the task names it
        :param execution_id: the id of the flow's execution; None if it is not known
        """
        from airflow_okta_workflows.core.addresses import console_url

        try:
            with raise_provider_errors(), NoFrames():
                origin = hook.settings.find_flow(flow).origin
            url = console_url(origin, execution_id)
            is_stored = hasattr(operator, _URL)
            setattr(operator, _URL, url)
            if not (is_stored and _STORED_AT_END):
                context["ti"].xcom_push(key=self.xcom_key, value=url)
        except Exception as error:  # in the connection, which the task itself reports, or of Airflow's API
            log.debug("No link to the Workflows console: %s", error)
