"""The suite, from the wheel, on each Airflow and Python that the project names: ``python -m tests.matrix``."""
