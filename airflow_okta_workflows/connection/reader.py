"""Conversion of an Airflow connection to checked, immutable settings.

All problems are reported together, so that one round of corrections is enough. The fields in extra are ``private_key``
and those of the connection form, in :mod:`airflow_okta_workflows.get_provider_info`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_okta_workflows.connection.field_reader import LONGEST_VALUE, FieldReader, placeholder_problem
from airflow_okta_workflows.connection.fields import CONN_TYPE, OUTSIDE_EXTRA, is_okta_workflows
from airflow_okta_workflows.connection.key_place import misplaced_keys, parse_key_file
from airflow_okta_workflows.connection.serialized import lookup_problems, misread_problem, variable_problems
from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
from airflow_okta_workflows.connection.values import FALSE, TRUE, decoded, items
from airflow_okta_workflows.core import addresses
from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.http import hints
from airflow_okta_workflows.core.http.proxies import parse_proxy
from airflow_okta_workflows.core.keys.algorithms import ALGORITHMS
from airflow_okta_workflows.core.keys.parsing import KeyText, parse_key_text
from airflow_okta_workflows.core.numbers import check_number
from airflow_okta_workflows.core.oauth.client_assertion import MAX_LIFETIME
from airflow_okta_workflows.core.oauth.token_request import TOKEN_PATH
from airflow_okta_workflows.core.okta_hosts import default_workflows_origin, require_org, require_workflows_host
from airflow_okta_workflows.core.secret import Secret, may_hold_key, shown
from airflow_okta_workflows.exceptions import OktaConfigurationError

if TYPE_CHECKING:
    from airflow_okta_workflows.core.addresses import FlowAddress, Origin
    from airflow_okta_workflows.core.errors import CoreError

log = logging.getLogger(__name__)

DEFAULT_CONN_ID = "okta_workflows_default"
DEFAULT_SCOPE = "okta.workflows.invoke.manage"

_DOMAIN = OUTSIDE_EXTRA["host"]

_LONGEST_NAME = _LONGEST_ID = 100


def parse_connection(connection: Any, extra: Mapping[str, Any]) -> OktaWorkflowsSettings:
    """Check an Airflow connection and return its settings.

    :param connection: the connection, of which ``conn_id``, ``conn_type``, ``host``, ``login``, ``password``,
        ``schema``, ``port`` and ``extra`` are read
    :param extra: its extra, decoded by the caller, because on an event loop only the caller can do that
    :raises OktaConfigurationError: with every problem found, in :attr:`~OktaConfigurationError.problems`
    """
    conn_id = connection.conn_id
    if not is_okta_workflows(connection.conn_type):
        raise _wrong_type(connection)
    reading = _Reading(connection, extra)
    settings = reading.settings()
    if settings is None:
        # A misread URI can have the right type and fields full of parts of the key.
        unknown = [configuration_error(_sentence(name)) for name in reading.unknown_names]
        raise connection_error(conn_id, [*variable_problems(conn_id), *reading.problems, *unknown])
    for warning in settings.warnings:
        log.warning("Connection %r: %s", conn_id, warning)
    return settings


def connection_error(conn_id: str, problems: Sequence[CoreError]) -> OktaConfigurationError:
    """Return the error that lists the problems of a connection.

    :param conn_id: the connection's id
    :param problems: its problems, at least one
    """
    lines = tuple(problem.one_line for problem in problems)
    if len(problems) == 1:
        message, hint, detail = f"Connection {conn_id!r}: {problems[0].message}", problems[0].hint, problems[0].detail
    else:
        message, hint = (
            f"Connection {conn_id!r} has {len(problems)} problems.",
            "Change each of these in the connection:",
        )
        detail = "\n".join(f"({number}) {line}" for number, line in enumerate(lines, 1))
    return OktaConfigurationError(message, hint=hint, detail=detail, problems=lines)


@contextmanager
def explain_lookup(conn_id: str) -> Iterator[None]:
    """Replace Airflow's error for a missing connection with what is wrong in the connection's environment variable.

    Airflow skips a variable that it cannot read, and then reports that there is no such connection.

    :param conn_id: the connection's id
    :raises OktaConfigurationError: with what is wrong with the variable; other errors pass unchanged
    """
    try:
        yield
    except Exception as error:  # each version of Airflow raises another class for a variable that it cannot read
        problems = variable_problems(conn_id)
        if not problems and isinstance(error, (AirflowNotFoundException, OktaConfigurationError)):
            problems = lookup_problems(conn_id)
        if not problems:
            raise
        raise connection_error(conn_id, problems) from None


def _wrong_type(connection: Any) -> OktaConfigurationError:
    conn_type = str(connection.conn_type or "").strip()
    problems = [] if conn_type else variable_problems(connection.conn_id)
    if not conn_type and not problems and (problem := misread_problem(str(connection.schema or ""))):
        problems = [problem]
    if problems:
        return connection_error(connection.conn_id, problems)
    is_of = f"is of type {shown(conn_type, LONGEST_VALUE)}, not {CONN_TYPE!r}" if conn_type else "has no type"
    return OktaConfigurationError(
        f"Connection {connection.conn_id!r} {is_of}.",
        hint="OKW-1015: Use a connection of type Okta Workflows.",
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


class _Reading(FieldReader):
    """Reader of a connection's settings that collects problems and warnings."""

    def settings(self) -> OktaWorkflowsSettings | None:
        insecure_http = self._boolean("insecure_http", default=False)
        domain = self._try(partial(self._domain, insecure_http=insecure_http))
        workflows = self._try(partial(self._workflows, domain, insecure_http=insecure_http))
        client_id = self._try(self._client_id)
        passphrase = self._try(self._passphrase)
        key_id = self._try(self._key_id)
        key_text = self._try(partial(self._key_text, key_id))
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
        scope = self._try(self._scope)
        # First, because such a key is the cause of what else is wrong with that field.
        self.problems[:0] = misplaced_keys(key_text, self._connection, self._extra, self.unknown)
        if self.problems and key_text:
            # Parsing the key is slow, but the connection fails anyway, and the key's problem belongs in the same list.
            from airflow_okta_workflows.core.keys.signing import load_signing_key

            self._try(partial(load_signing_key, key_text, passphrase=passphrase, algorithm=algorithm))
        # If one of these is missing, there is a problem, too; the test of each is for the type checker.
        if self.problems or not (domain and workflows and client_id and key_text and scope):
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
            scope=scope,
            assertion_lifetime=int(assertion_lifetime),
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            verify=True if verify is None else verify,
            http_proxy=http_proxy,
            rate_limit_wait=rate_limit_wait,
            max_response_bytes=int(max_response_bytes),
            gives_secrets_away=self._gives_secrets_away,
            warnings=(*self.unknown_names, *self.warnings),
        )

    def _domain(self, *, insecure_http: bool) -> Origin:
        host, port = self._host, self._connection.port
        if not host:
            raise configuration_error(
                "The Okta domain (Host) is missing.", "OKW-1014: Set it to your org, such as acme.okta.com."
            )
        schema = str(self._connection.schema or "").strip()
        if schema.lower() not in ("", "http", "https"):
            raise configuration_error(
                f"Schema is {shown(schema, LONGEST_VALUE)}.",
                "OKW-1013: Leave it empty, or set it to https. In a URI, percent-encode the key: '/' as %2F.",
            )
        if port is not None:
            check_number(port, "Port", least=1, most=65535, whole=True)
        origin = addresses.parse_origin(host, _DOMAIN, scheme=schema.lower() or None, port=port)
        self._require_encryption(origin, _DOMAIN, insecure_http=insecure_http)
        is_url = "://" in host or bool(schema) or origin.port != 443
        require_org(origin, is_url=is_url, has_workflows_host="workflows_host" in self._extra)
        path = host.partition("://")[2 if "://" in host else 0].partition("/")[2]
        if path and not path.startswith(TOKEN_PATH.rpartition("/")[0].lstrip("/")):
            self.warnings.append(
                f"the path in {_DOMAIN} is ignored: only the org's own authorization server, {origin.url}, grants"
                " tokens for flows"
            )
        return origin

    def _workflows(self, domain: Origin | None, *, insecure_http: bool) -> Origin | None:
        if text := self._text("workflows_host"):
            origin = addresses.parse_origin(text, "workflows_host")
            self._require_encryption(origin, "workflows_host", insecure_http=insecure_http)
            require_workflows_host(origin)
            return origin
        if domain is None:
            return None
        derived = default_workflows_origin(domain)
        if derived is None:
            raise configuration_error(
                f"workflows_host is missing: it cannot be derived from the custom domain {domain.host}.",
                "OKW-1012: Set it to the host of your flows' invoke URLs, such as acme.workflows.okta.com.",
            )
        return derived

    def _require_encryption(self, origin: Origin, what: str, *, insecure_http: bool) -> None:
        addresses.require_encryption(origin, what, insecure_http=insecure_http)
        if origin.is_insecure:
            self.warnings.append(f"{what} is {origin.url}: tokens travel in clear text (insecure_http is set)")

    def _client_id(self) -> str:
        client_id = self._login
        if not client_id:
            raise configuration_error(
                "The Client ID (Login) is missing.", "OKW-1011: Copy it from the app's General tab: 0oa…."
            )
        if not _is_id(client_id) or may_hold_key(client_id):
            raise configuration_error(
                f"The Client ID (Login) is not a client id: it has {len(client_id)} characters, or spaces, or"
                " others that no client id has.",
                "OKW-1010: Copy it from the app's General tab: 0oa…. A key belongs in Private key (Password).",
            )
        return client_id

    def _key_id(self) -> str | None:
        key_id = self._text("key_id")
        if key_id is not None and not _is_id(key_id):
            raise configuration_error(
                f"key_id has a value of {len(key_id)} characters that is not a kid.",
                "OKW-1009: Copy the kid from the app's Public Keys tab. A key belongs in Private key (Password).",
            )
        return key_id

    def _scope(self) -> str:
        scopes = items(self._extra.get("scope", DEFAULT_SCOPE))
        if scopes is None:
            raise configuration_error(
                f"scope is of type {type(self._extra['scope']).__name__}.",
                f"OKW-1008: Write scopes such as {DEFAULT_SCOPE}.",
            )
        if unknown := [scope for scope in scopes if not _is_id(scope) or may_hold_key(scope)]:
            raise configuration_error(
                f"scope contains a value of {len(unknown[0])} characters that is not a scope.",
                f"OKW-1007: Leave scope empty, or write scopes such as {DEFAULT_SCOPE}, separated by spaces.",
            )
        return " ".join(scopes) or DEFAULT_SCOPE

    def _passphrase(self) -> Secret | None:
        text = self._extra.get("key_passphrase")
        if problem := placeholder_problem(text, "key_passphrase"):
            raise problem
        # A string is not stripped, because spaces may be part of the passphrase.
        text = text if isinstance(text, str) else self._text("key_passphrase")
        return Secret(text) if text else None

    def _key_text(self, key_id: str | None) -> KeyText:
        sources = {
            "the Private key (Password)": self._connection.password,
            "private_key in extra": self._extra.get("private_key"),
            "key_file in extra": self._extra.get("key_file"),
        }
        given = {name: value for name, value in sources.items() if value}
        if not given:
            raise configuration_error(
                "The private key is missing.",
                "OKW-1006: Paste it, as a JWK or a PEM, into Private key (Password), or set key_file.",
            )
        if len(given) > 1:
            raise configuration_error(
                f"There is more than one private key: {', '.join(given)}.", "OKW-1005: Leave only one of them."
            )
        source, value = next(iter(given.items()))
        if problem := placeholder_problem(value, source):
            raise problem
        if source == "key_file in extra":
            return parse_key_file(value, key_id)
        if isinstance(value, (Mapping, list)):
            value = json.dumps(value)
        if not isinstance(value, str):
            raise configuration_error(
                f"private_key in extra is of type {type(value).__name__}.",
                "OKW-1004: Give a string, or the JWK as an object.",
            )
        return replace(parse_key_text(value, key_id), source=source)

    def _algorithm(self) -> str | None:
        algorithm = self._text("algorithm")
        if algorithm is None or algorithm.upper() in ALGORITHMS:
            return algorithm.upper() if algorithm else None
        raise configuration_error(
            f"algorithm is {shown(algorithm, LONGEST_VALUE)}.",
            f"OKW-1003: Leave it empty, or use one of {', '.join(ALGORITHMS)}.",
        )

    def _flows(self, workflows: Origin | None, *, insecure_http: bool) -> dict[str, FlowAddress]:
        value = decoded(self._extra.get("flows", {}))
        if isinstance(value, str) and (problem := placeholder_problem(value, "flows")):
            self.problems.append(problem)
            return {}
        if not isinstance(value, dict):
            self._report("flows is not a JSON object.", 'OKW-1055: Write it as {"onboard": "<alias or invoke URL>"}.')
            return {}
        found: dict[str, FlowAddress] = {}
        for name, target in value.items():
            # Names that pass this check are quoted in later messages.
            if len(name) > _LONGEST_NAME or not name.isprintable() or may_hold_key(name):
                self._report(f"A name in flows is a value of {len(name)} characters.", "OKW-1056: Use a short name.")
                continue
            if flow := self._try(partial(self._flow, name, target, workflows)):
                encryption = partial(self._require_encryption, flow.origin, f"the flow {name!r}")
                self._try(partial(encryption, insecure_http=insecure_http))
                found[name] = flow
        return found

    def _flow(self, name: str, target: Any, workflows: Origin | None) -> FlowAddress | None:
        if not name.strip() or "://" in name:
            raise configuration_error(
                f"The flow name {shown(name)} is empty, or reads like a URL.", "OKW-1002: Use a short name."
            )
        if not isinstance(target, str):
            raise configuration_error(
                f"The flow {name!r} is of type {type(target).__name__}.", "OKW-1001: Give its alias or its invoke URL."
            )
        if problem := placeholder_problem(target, f"the flow {name!r}"):
            raise problem
        return addresses.parse_flow(target, name, workflows)

    def _allowed(self, *, insecure_http: bool) -> list[Origin]:
        hosts = items(self._extra.get("allowed_hosts", []))
        if hosts is None:
            self._report(
                "allowed_hosts is not a list of hosts.", "OKW-1057: Write host or host:port, separated by commas."
            )
            return []
        found: list[Origin] = []
        for item in hosts:
            # If plain HTTP is allowed, a host without a scheme is allowed with both schemes.
            schemes = (None, "http") if insecure_http and "://" not in item else (None,)
            for scheme in schemes:
                origin = self._try(partial(addresses.parse_origin, item, "an allowed host", scheme=scheme))
                if origin and origin not in found:
                    found.append(origin)
        for origin in found:
            self._try(partial(self._require_encryption, origin, "an allowed host", insecure_http=insecure_http))
        return found

    def _verify(self) -> bool | str:
        text = str(self._extra.get("verify", True)).strip(" \t\r\n\"'")
        if text.lower() in TRUE:
            return True
        if text.lower() in FALSE:
            self.warnings.append("verify is false: anyone between here and the org can read the tokens")
            return False
        if "-----BEGIN" in text:
            raise configuration_error("verify contains the text of a certificate, not a path.", hints.CA_BUNDLE)
        # os.path, because Path raises for a string that is too long for a path, and quotes it.
        path = os.path.expanduser(text)  # noqa: PTH111
        if not os.path.exists(path):  # noqa: PTH110
            raise configuration_error(f"verify names a CA bundle that does not exist: {shown(text)}.", hints.CA_BUNDLE)
        return path

    def _proxy(self) -> Secret | None:
        text = self._text("http_proxy")
        if text is None:
            return None
        if problem := placeholder_problem(text, "http_proxy"):
            raise problem
        parse_proxy(text, "http_proxy")
        return Secret(text)


def _is_id(text: str) -> bool:
    """Return whether a string can be an Okta id: one short word of printable ASCII."""
    return len(text) <= _LONGEST_ID and text.isascii() and text.isprintable() and " " not in text
