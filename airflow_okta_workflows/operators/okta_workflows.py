"""Public operators: one invokes a flow once, the other once for each of many payloads."""

from airflow_okta_workflows.operators.batch import InvokeOktaFlowBatchOperator
from airflow_okta_workflows.operators.invoke import InvokeOktaFlowOperator

__all__ = ["InvokeOktaFlowBatchOperator", "InvokeOktaFlowOperator"]
