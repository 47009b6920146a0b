"""The rules of both endpoints, without I/O and without Airflow.

A module here takes data and returns data. Clocks, randomness and ids come in as arguments. Whatever has to be sent or
waited for goes out as a step of :mod:`airflow_okta_workflows.core.protocol`, which the driver of the conversation
performs: by blocking, or on an event loop.
"""
