"""DAGs that a real Airflow runs for the row ``batch``."""
