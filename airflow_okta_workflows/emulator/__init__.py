"""A local org for tests and demos: a token endpoint and flows that enforce Okta's rules.

::

    from airflow_okta_workflows.emulator import LocalOrg

    with LocalOrg() as org:

        @org.flow("onboard")
        def onboard(request):
            return {"account": request.body["email"]}

        ...  # org.connection() is the Airflow connection, org.flows["onboard"].runs lists the runs
"""

from airflow_okta_workflows.emulator.cards import (
    Close,
    FlowRequest,
    Pause,
    Return,
    ReturnError,
    ReturnInIfElse,
    ReturnRaw,
)
from airflow_okta_workflows.emulator.faults import (
    Answer,
    Drip,
    HtmlError,
    Interim,
    Latency,
    Reset,
    TooManyRequests,
    Truncate,
    TruncatedGzip,
)
from airflow_okta_workflows.emulator.flow_file import flow
from airflow_okta_workflows.emulator.gateways import GatewayPage, LoginPage
from airflow_okta_workflows.emulator.org import LocalOrg
from airflow_okta_workflows.emulator.proxy import LocalProxy
from airflow_okta_workflows.emulator.records import Flow, SeenRequest, SeenTokenRequest
from airflow_okta_workflows.emulator.status_table import StatusRow, StatusTable

__all__ = [
    "Answer",
    "Close",
    "Drip",
    "Flow",
    "FlowRequest",
    "GatewayPage",
    "HtmlError",
    "Interim",
    "Latency",
    "LocalOrg",
    "LocalProxy",
    "LoginPage",
    "Pause",
    "Reset",
    "Return",
    "ReturnError",
    "ReturnInIfElse",
    "ReturnRaw",
    "SeenRequest",
    "SeenTokenRequest",
    "StatusRow",
    "StatusTable",
    "TooManyRequests",
    "Truncate",
    "TruncatedGzip",
    "flow",
]
