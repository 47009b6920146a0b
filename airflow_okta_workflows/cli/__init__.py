"""The command line: ``okta-workflows …``, also available as ``airflow okta-workflows …`` on Airflow 3.2+."""
