"""HTTP: requests, responses and proxies."""

from airflow_okta_workflows.core.http.types import FailureKind, Headers, HttpRequest, HttpResponse, TransportFailure

__all__ = ["FailureKind", "Headers", "HttpRequest", "HttpResponse", "TransportFailure"]
