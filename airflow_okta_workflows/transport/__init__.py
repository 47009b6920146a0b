"""The two transports that send what the core asks for: in a thread over sockets and h11, on an event loop with aiohttp.

Both send a request exactly once, follow no redirect, keep no cookie, read no ``.netrc``, bound the response in size
and time, and know how far a failed request got. They differ in nothing that a caller could notice: what either has to
decide is in :mod:`~airflow_okta_workflows.transport.network` (proxies, TLS trust), in
:mod:`~airflow_okta_workflows.core.http.content` (content codings, charsets) and in
:mod:`~airflow_okta_workflows.transport.failures` (what is said of a failure), and one suite runs each case over both.
"""
