"""From an Airflow connection to checked, immutable settings.

Every fault is found in one go, so that a connection is mended in one go. The names of the fields in extra are
those of the form, in :mod:`airflow_okta_workflows.get_provider_info`, and ``private_key``.
"""

from __future__ import annotations

import base64
import difflib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_okta_workflows.core import addresses
from airflow_okta_workflows.core.algorithms import ALGORITHMS
from airflow_okta_workflows.core.client_assertion import MAX_LIFETIME
from airflow_okta_workflows.core.faults import Fault, misconfigured
from airflow_okta_workflows.core.key_text import MAX_KEY_CHARS, KeyText, read_key_text
from airflow_okta_workflows.core.secret import Secret
from airflow_okta_workflows.exceptions import OktaConfigurationError
from airflow_okta_workflows.get_provider_info import get_provider_info
from airflow_okta_workflows.settings import OktaWorkflowsSettings

if TYPE_CHECKING:
    from airflow_okta_workflows.core.addresses import FlowAddress, Origin

log = logging.getLogger(__name__)

CONN_TYPE = "okta_workflows"
DEFAULT_CONN_ID = "okta_workflows_default"
DEFAULT_SCOPE = "okta.workflows.invoke.manage"

FORM: dict[str, Any] = get_provider_info()["connection-types"][0]
"""The connection form, as provider info has it."""

_EXTRA_FIELDS = frozenset({*FORM["conn-fields"], "private_key"})
_DOMAIN = "the Okta domain (Host)"
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}

_LONGEST_NAME = 100

T = TypeVar("T")


def read_connection(connection: Any, extra: Mapping[str, Any]) -> OktaWorkflowsSettings:
    """Check an Airflow connection and return its settings.

    :param connection: the connection: ``conn_id``, ``conn_type``, ``host``, ``login``, ``password``,
        ``schema`` and ``port`` are read
    :param extra: its extra, decoded (on an event loop only the caller can do that)
    :raises OktaConfigurationError: with every fault found, in :attr:`~OktaConfigurationError.faults`
    """
    conn_id = connection.conn_id
    if connection.conn_type != CONN_TYPE:
        raise OktaConfigurationError(
            f"Connection {conn_id!r} is of type {connection.conn_type!r}, not {CONN_TYPE!r}. Use a connection of"
            " type Okta Workflows.",
            hint="Use a connection of type Okta Workflows.",
        )
    reading = _Reading(connection, extra)
    settings = reading.settings()
    if settings is None:
        faults = tuple(reading.faults)
        listed = " ".join(f"({number}) {fault}" for number, fault in enumerate(faults, 1))
        raise OktaConfigurationError(
            f"Connection {conn_id!r} cannot be used: {listed if len(faults) > 1 else faults[0]}",
            faults=faults,
        )
    for warning in reading.warnings:
        log.warning("Connection %r: %s", conn_id, warning)
    return settings


class _Reading:
    """Read one connection, gathering what is wrong with it."""

    def __init__(self, connection: Any, extra: Mapping[str, Any]) -> None:
        self.faults: list[str] = []
        self.warnings: list[str] = []
        self._connection = connection
        if not isinstance(extra, Mapping) or (not extra and not _is_json_object(connection.extra)):
            self.faults.append("Extra is not a JSON object. Write it as {...}, names and texts in double quotes.")
            extra = {}
        # A form stores a field that was left empty as "" or null.
        self._extra = {
            name: value
            for name, value in extra.items()
            if value is not None and not (isinstance(value, str) and not value.strip())
        }
        for name in self._extra:
            if name not in _EXTRA_FIELDS:
                near = difflib.get_close_matches(name, _EXTRA_FIELDS, n=1, cutoff=0.5)
                hint = f"; did you mean {near[0]!r}?" if near else f". Known: {', '.join(sorted(_EXTRA_FIELDS))}."
                self.warnings.append(f"the field {str(name)[:50]!r} in extra is not known and is ignored{hint}")

    def settings(self) -> OktaWorkflowsSettings | None:
        insecure_http = self._boolean("insecure_http", default=False)
        domain = self._try(partial(self._domain, insecure_http=insecure_http))
        workflows = self._try(partial(self._workflows, domain, insecure_http=insecure_http))
        client_id = self._try(self._client_id)
        # Not stripped: blanks may be part of it.
        passphrase = Secret(str(text)) if (text := self._extra.get("key_passphrase")) else None
        key_text = self._try(self._key_text)
        flows = self._flows(workflows, insecure_http=insecure_http)
        allowed = self._allowed(insecure_http=insecure_http)
        algorithm = self._try(self._algorithm)
        assertion_lifetime = self._number("assertion_lifetime", 300, least=60, most=MAX_LIFETIME)
        connect_timeout = self._number("connect_timeout", 10, least=0.1, most=3600)
        read_timeout = self._number("read_timeout", 65, least=0.1, most=86_400)
        rate_limit_wait = self._number("rate_limit_wait", 120, least=0, most=86_400)
        max_response_bytes = self._number("max_response_bytes", 10 * 2**20, least=1, most=2**31)
        verify = self._try(self._verify)
        http_proxy = self._try(self._proxy)
        if self.faults and key_text:
            # It fails anyway, so the time to parse the key is well spent: its fault belongs in the same list.
            from airflow_okta_workflows.core.keys import load_signing_key

            self._try(partial(load_signing_key, key_text, passphrase=passphrase, algorithm=algorithm))
        key_id = self._text("key_id")
        scope = self._text("scope") or DEFAULT_SCOPE
        # Whichever of these is missing is among the faults.
        if self.faults or domain is None or workflows is None or client_id is None or key_text is None:
            return None
        return OktaWorkflowsSettings(
            conn_id=self._connection.conn_id,
            domain=domain,
            client_id=client_id,
            key_text=key_text,
            passphrase=passphrase,
            algorithm=algorithm,
            workflows=workflows,
            flows=flows,
            allowed=frozenset({workflows, *(flow.origin for flow in flows.values()), *allowed}),
            key_id=key_id or key_text.kid,
            scope=" ".join(scope.split()),
            assertion_lifetime=int(assertion_lifetime),
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            verify=True if verify is None else verify,
            http_proxy=http_proxy,
            rate_limit_wait=rate_limit_wait,
            max_response_bytes=int(max_response_bytes),
        )

    def _try(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Fault as fault:
            self.faults.append(str(fault))
            return None

    def _domain(self, *, insecure_http: bool) -> Origin:
        host = (self._connection.host or "").strip()
        if not host:
            raise misconfigured("The Okta domain (Host) is missing.", "Set it to your org, such as acme.okta.com.")
        scheme = (self._connection.schema or "").strip().lower() or None
        if scheme not in (None, "http", "https"):
            raise misconfigured(f"Schema is {scheme!r}.", "Leave it empty, or set it to https.")
        origin = addresses.read_origin(host, _DOMAIN, scheme=scheme, port=self._connection.port)
        self._require_encryption(origin, _DOMAIN, insecure_http=insecure_http)
        return addresses.okta_domain(origin)

    def _workflows(self, domain: Origin | None, *, insecure_http: bool) -> Origin | None:
        if text := self._text("workflows_host"):
            origin = addresses.read_origin(text, "workflows_host")
            self._require_encryption(origin, "workflows_host", insecure_http=insecure_http)
            return origin
        if domain is None:
            return None
        derived = addresses.default_workflows_origin(domain)
        if derived is None:
            raise misconfigured(
                f"workflows_host is missing: it cannot be derived from the custom domain {domain.host}.",
                "Set it to the host of your flows' invoke URLs, such as acme.workflows.okta.com.",
            )
        return derived

    def _require_encryption(self, origin: Origin, what: str, *, insecure_http: bool) -> None:
        addresses.require_encryption(origin, what, insecure_http=insecure_http)
        if origin.scheme == "http" and not origin.is_loopback:
            self.warnings.append(f"{what} is {origin.url}: tokens travel in clear text (insecure_http is set)")

    def _client_id(self) -> str:
        client_id = (self._connection.login or "").strip()
        if not client_id:
            raise misconfigured("The Client ID (Login) is missing.", "Copy it from the app's General tab: 0oa….")
        if not client_id.isascii() or not client_id.isprintable() or " " in client_id:
            raise misconfigured(
                "The Client ID (Login) has blanks or characters that no client id has.",
                "Copy it from the app's General tab: 0oa….",
            )
        return client_id

    def _key_text(self) -> KeyText:
        sources = {
            "the Private key (Password)": self._connection.password,
            "private_key in extra": self._extra.get("private_key"),
            "key_file in extra": self._extra.get("key_file"),
        }
        given = {name: value for name, value in sources.items() if value}
        if not given:
            raise misconfigured(
                "The private key is missing.",
                "Paste it, as a JWK or a PEM, into Private key (Password), or set key_file.",
            )
        if len(given) > 1:
            raise misconfigured(f"There is more than one private key: {', '.join(given)}.", "Leave only one of them.")
        source, value = next(iter(given.items()))
        if source == "key_file in extra":
            source, value = f"the key file {value}", _read_key_file(value)
        elif isinstance(value, Mapping):
            value = json.dumps(value)
        if not isinstance(value, str):
            raise misconfigured(
                f"private_key in extra is {type(value).__name__}.", "Give a text, or the JWK as an object."
            )
        return replace(read_key_text(value), source=source)

    def _algorithm(self) -> str | None:
        algorithm = self._text("algorithm")
        if algorithm is None or algorithm.upper() in ALGORITHMS:
            return algorithm.upper() if algorithm else None
        raise misconfigured(
            f"algorithm is {_shown(algorithm)}.",
            f"Leave it empty, or use one of {', '.join(ALGORITHMS)}.",
        )

    def _flows(self, workflows: Origin | None, *, insecure_http: bool) -> dict[str, FlowAddress]:
        value = self._extra.get("flows", {})
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                value = None
        if not isinstance(value, dict):
            self.faults.append('flows is not a JSON object. Write it as {"onboard": "<alias or invoke URL>"}.')
            return {}
        found: dict[str, FlowAddress] = {}
        for name, target in value.items():
            if len(name) > _LONGEST_NAME:
                self.faults.append(f"The flow name {name[:20]!r}… is longer than {_LONGEST_NAME} characters.")
                continue
            if flow := self._try(partial(self._flow, name, target, workflows)):
                encryption = partial(self._require_encryption, flow.origin, f"the flow {name!r}")
                self._try(partial(encryption, insecure_http=insecure_http))
                found[name] = flow
        return found

    def _flow(self, name: str, target: Any, workflows: Origin | None) -> FlowAddress | None:
        if not name.strip() or "://" in name:
            raise misconfigured(f"The flow name {name!r} cannot be told from a URL, or is empty.", "Use a short name.")
        if not isinstance(target, str):
            raise misconfigured(f"The flow {name!r} is {type(target).__name__}.", "Give its alias or its invoke URL.")
        return addresses.read_flow(target, name, workflows)

    def _allowed(self, *, insecure_http: bool) -> list[Origin]:
        value = self._extra.get("allowed_hosts", [])
        if isinstance(value, str):
            value = value.split(",")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.faults.append("allowed_hosts is not a list of hosts. Write host or host:port, divided by commas.")
            return []
        found: list[Origin] = []
        for item in filter(str.strip, value):
            origin = self._try(partial(addresses.read_origin, item, "the allowed host"))
            if origin:
                found.append(origin)
                if insecure_http and "://" not in item:
                    found.append(addresses.read_origin(item, "the allowed host", scheme="http"))
        return found

    def _verify(self) -> bool | str:
        text = str(self._extra.get("verify", True)).strip()
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            self.warnings.append("verify is false: whoever sits between here and the org can read tokens")
            return False
        if not Path(text).exists():
            raise misconfigured(
                f"verify names a CA bundle that is not there: {text}.", "Give its path on this machine."
            )
        return text

    def _proxy(self) -> Secret | None:
        text = self._text("http_proxy")
        if text is None:
            return None
        if not text.lower().startswith(("http://", "https://")):
            raise misconfigured(
                "http_proxy is not the URL of an HTTP proxy (not shown: it may hold a password).",
                "Write it as http://host:port.",
            )
        return Secret(text)

    def _text(self, name: str) -> str | None:
        value = self._extra.get(name)
        if value is None:
            return None
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            self.faults.append(f"{name} is {type(value).__name__}. Give a text.")
            return None
        return str(value).strip()

    def _boolean(self, name: str, *, default: bool) -> bool:
        value = self._extra.get(name, default)
        if isinstance(value, bool):
            return value
        text = str(value).strip().lower()
        if text not in _TRUE | _FALSE:
            self.faults.append(f"{name} is {_shown(text)}. Set it to true or false.")
        return text in _TRUE

    def _number(self, name: str, default: float, *, least: float, most: float) -> float:
        value = self._extra.get(name, default)
        number = None
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            try:
                number = float(value)
            except (ValueError, OverflowError):
                number = None
        if number is None or not least <= number <= most:
            self.faults.append(f"{name} is {_shown(value)}. Set it to a number from {least:g} to {most:g}.")
            return default
        return number


def _is_json_object(text: str | None) -> bool:
    """Tell whether extra can be read; Airflow gives an empty one for what it cannot."""
    if not text or not text.strip():
        return True
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _shown(value: Any) -> str:
    """Show a bad value, unless it is so long that it may be a key in the wrong field."""
    text = str(value)
    return repr(text) if len(text) <= 20 else f"a text of {len(text)} characters"


def _read_key_file(value: Any) -> str:
    path = Path(str(value).strip()).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_KEY_CHARS + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise misconfigured(
            f"key_file {str(path)!r} cannot be read: {reason}.",
            "It must be there, and readable, on every worker and on the triggerer.",
        ) from None
    if data[:1] == b"\x30":
        # A DER file: as base64 it goes the way of a pasted one.
        return base64.b64encode(data).decode()
    return data.decode("utf-8", "replace")
