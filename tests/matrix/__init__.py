"""The suite, run against the wheel on each supported Airflow and Python: ``python -m tests.matrix``."""
