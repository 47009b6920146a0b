"""A DAG file with the http provider's operator and sensor."""

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import dag, task


@dag
def http_operators() -> None:
    """Start something and wait for it."""

    @task
    def first() -> None:
        """Do nothing."""

    first() >> HttpOperator(task_id="start", endpoint="start") >> HttpSensor(task_id="wait", endpoint="status")


http_operators()
