"""The command line: ``okta-workflows …``, and the same as ``airflow okta-workflows …`` on Airflow 3.2+."""
