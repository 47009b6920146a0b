"""A local org for tests and demos: a token endpoint and flows that hold their callers to Okta's rules.

::

    from airflow_okta_workflows.emulator import LocalOrg

    with LocalOrg() as org:

        @org.flow("onboard")
        def onboard(request):
            return {"account": request.body["email"]}

        ...  # org.connection() is the Airflow connection, org.flows["onboard"].runs is what ran
"""

from airflow_okta_workflows.emulator.cards import Close, FlowRequest, Pause, Return, ReturnError, ReturnRaw
from airflow_okta_workflows.emulator.faults import (
    Answer,
    HtmlError,
    Latency,
    Reset,
    TooManyRequests,
    Truncate,
)
from airflow_okta_workflows.emulator.flow_file import flow
from airflow_okta_workflows.emulator.org import LocalOrg
from airflow_okta_workflows.emulator.records import Flow, SeenRequest, SeenTokenRequest

__all__ = [
    "Answer",
    "Close",
    "Flow",
    "FlowRequest",
    "HtmlError",
    "Latency",
    "LocalOrg",
    "Pause",
    "Reset",
    "Return",
    "ReturnError",
    "ReturnRaw",
    "SeenRequest",
    "SeenTokenRequest",
    "TooManyRequests",
    "Truncate",
    "flow",
]
