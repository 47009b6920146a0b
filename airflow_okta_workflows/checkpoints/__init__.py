"""Checkpoints in Airflow's task state store (Airflow 3.3+), which tell a retry after a crash what was sent."""
