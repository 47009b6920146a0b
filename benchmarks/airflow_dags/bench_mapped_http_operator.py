"""A DAG that the row ``batch`` runs on a real Airflow: one ``HttpOperator``, mapped over many payloads."""

import json
import os

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import dag

from benchmarks.airflow_environment import HTTP_CONN_ID


@dag
def bench_mapped_http_operator() -> None:
    """Invoke a flow once per payload."""
    HttpOperator.partial(
        task_id="invoke", http_conn_id=HTTP_CONN_ID, endpoint=os.environ["BENCH_ENDPOINT"], method="POST"
    ).expand(data=[json.dumps({"n": number}) for number in range(int(os.environ["BENCH_COUNT"]))])


bench_mapped_http_operator()
