"""Reading and validation of an Airflow connection."""
