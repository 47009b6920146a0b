"""The local org: its start and stop, and the Airflow connection to it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from airflow_okta_workflows.connection.http_guard import GUARD
from airflow_okta_workflows.core.okta_hosts import default_workflows_origin
from airflow_okta_workflows.emulator.state import OrgState

if TYPE_CHECKING:
    from airflow_okta_workflows.emulator.server import Server

PRIVATE_KEY_PLACE = "<your private key: a JWK or a PEM>"
"""The password of a connection to an org that has only the public key."""


class LocalOrg(OrgState):
    """An Okta org on a loopback port, with one API Services app and flows that are plain functions.

    Use it as a context manager, with ``with`` or ``async with``; its server runs in a separate thread either way.

    :param port: the port; 0 for a free one
    :param host: the address to listen on
    :param public_host: the host name under which clients reach it; by default ``host``
    :param client_id: the app's client id; by default a new one
    :param private_jwk: the app's private key, as :attr:`private_jwk` returns it; by default a new one
    :param public_key: the app's public key instead, as bytes, a string or a JWK: a PEM, a certificate, a JWK or a JWK
        set. :meth:`connection` then has a placeholder for the private key, which the org never sees
    :param key_type: the type of a new key: ``p256``, ``rsa2048`` or ``rsa4096``
    :param rate_limit: invocations per second that each flow accepts, by default 10; None for no limit
    :param time_limit: seconds after which an invocation is cut off, by default 60
    :param token_lifetime: seconds for which a token is valid, by default 3600
    :param custom_domains: further host names of the org. With exactly one, flows accept only tokens that were
        requested under it, as in Okta; ``localhost`` works
    :param execution_header: the header that carries the execution id; None to send none. Okta documents no such header;
        the default is the one that public clients of Okta Workflows read
    :param ssl_context: the TLS context to serve HTTPS with; None for HTTP
    :param clock: returns the time in seconds since the epoch
    :param profile: the path or the content of a file that ``okta-workflows conformance --write`` has made: the org
        then behaves as the one that was seen, except where another parameter says otherwise
    :raises CoreError: if the profile cannot be used
    """

    _server: Server | None = None

    def connection(self, *, domain: str | None = None, **extra: Any) -> dict[str, Any]:
        """Return an Airflow connection to this org, as :meth:`airflow.models.Connection.from_json` takes it.

        :param domain: the Okta domain; by default :attr:`issuer_host`, where tokens that flows accept are requested
        :param extra: fields of the connection's extra, which add to the defaults or override them
        """
        fields: dict[str, Any] = {**GUARD, "flows": {name: flow.alias for name, flow in self.flows.items()}}
        own = self._origin(self.public_host)
        if self.custom_domains or default_workflows_origin(own) != own:
            fields["workflows_host"] = own.url
        if own.scheme == "http" and not own.is_loopback:
            fields["insecure_http"] = True
        password = PRIVATE_KEY_PLACE if self._private_jwk is None else json.dumps(self._private_jwk)
        if self._private_jwk is None and len(self.app.public_keys) == 1:
            # A private key as a PEM does not carry it.
            fields["key_id"] = next(iter(self.app.public_keys))
        return {
            "conn_type": "okta_workflows",
            "host": domain or f"{own.scheme}://{self.issuer_host}",
            "login": self.app.client_id,
            "password": password,
            "extra": {**fields, **extra},
        }

    def environment(
        self, conn_id: str = "okta_workflows_default", *, domain: str | None = None, **extra: Any
    ) -> dict[str, str]:
        """Return the environment variable that defines the connection for Airflow.

        :param conn_id: the connection's id
        :param domain: as in :meth:`connection`
        :param extra: as in :meth:`connection`
        """
        return {f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(self.connection(domain=domain, **extra))}

    def start(self) -> Self:
        """Start listening.

        :raises OSError: if the port is taken
        """
        from airflow_okta_workflows.emulator.server import Server

        self._server = Server(self)
        self.port = self._server.start()
        return self

    def stop(self) -> None:
        """Stop listening and close all open connections."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.to_thread(self.stop)
