"""What a task notes in Airflow's task state store (Airflow 3.3+), so that a retry after a crash knows what was sent."""
