"""The address of a Redis server, and the credentials and files that it requires."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from airflow_okta_workflows.core.secret import Secret, shown

_SCHEMES = ("redis://", "rediss://")
_DEFAULT_PORT = 6379
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_CHECKED = ("ssl_cert_reqs", ("required", "CERT_REQUIRED"))
"""Parameter with which Celery and redis-py have the certificate checked, as it always is here."""
_OTHERS = re.compile(r"virtual_host|visibility_timeout|(?:ssl|socket|retry|max|health|client)_[a-z_]{1,30}")
"""Parameters of Celery and redis-py. A message quotes no other name, which may be a part of a password with a ``?``."""


@dataclass(frozen=True)
class RedisAddress:
    """Where a Redis server is, and as whom it is used.

    :param host: its host
    :param port: its port
    :param db: the number of the database
    :param tls: whether the connection is encrypted
    :param user: the user; None for the server's default user
    :param password: the user's password; None if none is needed
    :param files: paths for TLS by their names in the URL: ``ssl_ca_certs``, ``ssl_certfile`` and ``ssl_keyfile``
    """

    host: str
    port: int = _DEFAULT_PORT
    db: int = 0
    tls: bool = False
    user: Secret | None = None
    password: Secret | None = None
    files: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Return host and port, without anything that might be secret."""
        return shown(f"{self.host}:{self.port}")

    @property
    def credentials(self) -> tuple[Secret, ...]:
        """What goes into AUTH: nothing, the password, or the user and the password."""
        return tuple(secret for secret in (self.user, self.password) if secret is not None)


def is_redis_url(text: Secret) -> bool:
    """Return whether a value begins as the URL of a Redis server.

    :param text: the value
    """
    return text.reveal().lower().startswith(_SCHEMES)


def parse_redis_url(url: Secret) -> RedisAddress | None:
    """Return what the URL of a Redis server contains; None if it cannot be used.

    It does not raise, because the URL would be in the error's traceback.

    :param url: ``redis://`` or ``rediss://``, then ``USER:PASSWORD@HOST:PORT/DB``, of which only the host is required
    """
    try:
        parts = urlsplit(url.reveal())
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        port = parts.port
    except ValueError:
        return None
    tls = parts.scheme == "rediss"
    db = re.fullmatch(r"/?|/([0-9]{1,5})", parts.path)
    usable = (
        is_redis_url(url)
        and bool(parts.hostname)
        and db is not None
        # A "#" or "?" in a password ends the host, unless it is percent-encoded.
        and not parts.fragment
        and (parts.password is not None or not parts.username)
        and all(_is_supported(name, value, tls=tls) for name, value in query)
    )
    if not usable or db is None or parts.hostname is None:
        return None
    return RedisAddress(
        parts.hostname,
        _DEFAULT_PORT if port is None else port,
        int(db[1] or 0),
        tls,
        Secret(unquote(parts.username)) if parts.username else None,
        Secret(unquote(parts.password)) if parts.password else None,
        tuple((name, path) for name, path in query if name in _FILES),
    )


def unsupported_parameter(url: Secret) -> str | None:
    """Return the name of the first parameter because of which a URL cannot be used; None if there is none.

    :param url: the URL
    """
    query = parse_qsl(url.reveal().partition("?")[2], keep_blank_values=True)
    tls = url.reveal().lower().startswith("rediss:")
    return next(
        (name for name, value in query if _OTHERS.fullmatch(name) and not _is_supported(name, value, tls=tls)), None
    )


def _is_supported(name: str, value: str, *, tls: bool) -> bool:
    return tls and (name in _FILES or (name == _CHECKED[0] and value in _CHECKED[1]))
