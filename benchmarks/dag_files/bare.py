"""A DAG file that imports nothing but Airflow's own decorators."""

from airflow.sdk import dag, task


@dag
def bare() -> None:
    """Do nothing."""

    @task
    def first() -> None:
        """Do nothing."""

    @task
    def second() -> None:
        """Do nothing."""

    first() >> second()


bare()
