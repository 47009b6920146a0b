"""The two transports for the core's requests: sockets and h11 for threads, aiohttp for event loops.

Both send a request exactly once, follow no redirect, keep no cookie, read no ``.netrc``, limit the response in size
and time, and know how far a failed request got. Callers see no difference between them: the decisions are shared, in
:mod:`~airflow_okta_workflows.transport.network` (proxies, TLS trust),
:mod:`~airflow_okta_workflows.core.http.content` (content codings, charsets) and
:mod:`~airflow_okta_workflows.transport.failures` (descriptions of failures), and one test suite runs each case over
both.
"""
