"""Apache Airflow provider that invokes OAuth 2.0 secured Okta Workflows flows."""

__version__ = "0.1.0"
