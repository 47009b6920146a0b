"""The rules of both endpoints, without I/O and without Airflow.

A module here takes data and gives data. Clocks, randomness and ids come in as arguments; what has to be sent
or waited for goes out as a step of :mod:`airflow_okta_workflows.core.protocol`, and whoever drives the
conversation (with requests or with aiohttp) performs it.
"""
