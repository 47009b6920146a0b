"""An Airflow connection, read and checked."""
