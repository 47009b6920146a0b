"""The operators: one invokes a flow once, one invokes it for each of many payloads."""

from airflow_okta_workflows.operators.batch import InvokeOktaFlowBatchOperator
from airflow_okta_workflows.operators.invoke import InvokeOktaFlowOperator

__all__ = ["InvokeOktaFlowBatchOperator", "InvokeOktaFlowOperator"]
