"""The demo: the example DAGs, run by a real Airflow against the local org."""
