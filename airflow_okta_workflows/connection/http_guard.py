"""Guard that makes the hooks of Airflow's http provider refuse a connection before they send any of it.

Those hooks use the login and password of any connection as a user name and password (Basic auth), and every member of
extra that is not one of their options as a header. requests and aiohttp refuse a header whose value is not a string, so
one such member in extra prevents the whole connection from being sent. Without one, the private key is sent to the
connection's host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.connection.fields import EXTRA_FIELDS, OUTSIDE_EXTRA, field_of

if TYPE_CHECKING:
    from collections.abc import Mapping

GUARD: Mapping[str, Any] = {"insecure_http": False}
"""Member that the command line and the local org write first into extra, so that an error quotes only this one.

The form of every supported Airflow stores it as well, because the field has a default. No other field would work there:
an empty one is stored as null, which is not sent at all, and before Airflow 3.2 an object is stored as a string.
"""

WARNING = (
    "HttpSensor, HttpNotifier and others of Airflow's http provider would send the secrets of this connection to its"
    " host, as a password and headers."
)
FIX = (
    'OKW-1161: Put a value that is not a string first in extra, such as "insecure_http": false. They refuse to send'
    " such a connection."
)

OPTIONS_OF_HTTP_HOOKS = frozenset(
    {
        "allow_redirects",
        "cert",
        "check_response",
        "max_redirects",
        "proxies",
        "proxy",
        "srv_lookup",
        "stream",
        "timeout",
        "trust_env",
        "verify",
        "verify_ssl",
    }
)
"""Members of extra that no version of the http provider turns into headers."""

_WITHOUT_SECRET = (EXTRA_FIELDS | OUTSIDE_EXTRA.keys()) - {"private_key", "key_passphrase", "http_proxy"}


def gives_secrets_away(password: str | None, extra: Mapping[str, Any]) -> bool:
    """Return whether a connection contains a secret that hooks of the http provider would send.

    :param password: its password
    :param extra: its extra, as Airflow decodes it
    """
    secret = bool(password) or any(value for name, value in extra.items() if field_of(name) not in _WITHOUT_SECRET)
    return secret and not http_hooks_refuse(extra)


def http_hooks_refuse(extra: Mapping[str, Any]) -> bool:
    """Return whether extra makes hooks of the http provider refuse a connection before they send any of it.

    :param extra: the connection's extra, as Airflow decodes it
    """
    for name, value in extra.items():
        if name in OPTIONS_OF_HTTP_HOOKS or value is None:
            continue
        if field_of(name) == "private_key":
            # Their error quotes the first value that is not a valid header, so the guard must precede the key.
            return False
        if not isinstance(value, str):
            return True
    return False
