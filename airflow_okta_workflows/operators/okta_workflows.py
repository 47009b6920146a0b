"""Public operators: one invokes a flow once, the other once for each of many payloads; and two of their arguments."""

from airflow_okta_workflows.operators.batch import InvokeOktaFlowBatchOperator
from airflow_okta_workflows.operators.batch_arguments import SqlRows
from airflow_okta_workflows.operators.invoke import InvokeOktaFlowOperator
from airflow_okta_workflows.operators.status_flow import StatusFlow

__all__ = ["InvokeOktaFlowBatchOperator", "InvokeOktaFlowOperator", "SqlRows", "StatusFlow"]
