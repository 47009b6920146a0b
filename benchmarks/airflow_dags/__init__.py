"""DAGs that the row ``batch`` runs on a real Airflow."""
