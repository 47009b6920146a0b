"""Addresses of an org, its workflows host and its flows, and the check of hosts that may receive the token."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.forking import cached_property
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import PART_OF_KEY, may_hold_key, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

CONSOLE_PATH = "/app"
"""Path of the Workflows console, at the host of the flows."""

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_SLIPPED_SCHEME = lazy_pattern(
    r"(?!https?:[0-9]+(?:/|$)|https?://(?![:/]|https?(?::(?![0-9])|/+[^/])))(?:(?:https?)?[:/]+)+", re.IGNORECASE
)
"""What may be before a host instead of one ``https://``; ``http:8080`` is the port of a host of this name."""
_PAIRS = ("''", '""', "``", "<>", "\u2018\u2019", "\u201c\u201d")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = lazy_pattern(rf"{_LABEL}(?:\.{_LABEL})*")
_INVOKE_PATH = lazy_pattern(r"/api/flo/([A-Za-z0-9_-]{1,200})/invoke/?")
_CONSOLE_PATH = lazy_pattern(r"/app(?:/.*)?|/(?:[a-z-]+/)*flows?/[0-9]+(?:/.*)?")
_NUMBER = lazy_pattern(r"[0-9]{1,15}")
"""The number of a flow in the console; an alias has 32 characters."""
_ALIAS = lazy_pattern(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ALIAS_IN_CONNECTION = lazy_pattern(r"[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True)
class Origin:
    """One origin: scheme, host and port (RFC 6454).

    :param scheme: ``https`` or ``http``
    :param host: the host's name or address, in lower case, without brackets
    :param port: the port
    """

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """Host and port as in a URL, without the scheme's default port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The origin as a URL, without a trailing slash."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def is_loopback(self) -> bool:
        """Whether requests to the origin stay on this machine."""
        address = _ip_address(self.host)
        if address is None:
            return self.host == "localhost" or self.host.endswith(".localhost")
        return any(address in network for network in _LOOPBACK)

    @property
    def is_insecure(self) -> bool:
        """Whether a token that is sent to the origin can be read in transit."""
        return self.scheme == "http" and not self.is_loopback


@dataclass(frozen=True)
class FlowAddress:
    """One flow, and the host at which it is invoked.

    :param name: the flow as the caller named it, for logs and errors
    :param alias: its alias
    :param origin: the origin of its invoke URL
    """

    name: str
    alias: str
    origin: Origin

    @cached_property
    def url(self) -> str:
        """The invoke URL."""
        return f"{self.origin.url}/api/flo/{self.alias}/invoke"


def parse_origin(text: str, what: str, *, scheme: str | None = None, port: int | None = None) -> Origin:
    """Return the origin in a host as users paste it: with or without scheme, port, path or trailing slash.

    :param text: the host or URL
    :param what: its name, for the error: "the Okta domain (Host)"
    :param scheme: the scheme to use if it has none; by default ``https``, on loopback ``http``
    :param port: the port to use if it has none; by default the scheme's
    :raises CoreError: if it contains no usable host
    """
    text = _unwrapped(text)
    if slipped := _SLIPPED_SCHEME.match(text):
        raise configuration_error(
            f"{sentence_start(what)} begins with {slipped[0][:40]!r}.", "OKW-1260: Write https:// once before the host."
        )
    if "://" not in text:
        origin = _origin_of(f"https://{text}", what, port)
        if scheme is None:
            scheme = "http" if origin.is_loopback else "https"
        text = f"{scheme}://{text}"
    return _origin_of(text, what, port)


def console_url(workflows: Origin, execution_id: str | None) -> str:
    """Return the URL of an org's Workflows console.

    Okta documents no URL of an execution, so the fragment contains the execution id, for users to copy into the search
    of the flow's execution history. A fragment does not affect the console, and browsers do not send it.

    :param workflows: the workflows host
    :param execution_id: the id from the flow's response; None if it has none
    """
    fragment = "" if execution_id is None else f"#{execution_fragment(execution_id)}"
    return f"{workflows.url}{CONSOLE_PATH}{fragment}"


def execution_fragment(execution_id: str) -> str:
    """Return the URL fragment that shows a user the id of an execution.

    :param execution_id: the id from the flow's response, which may be any string
    """
    return f"execution_id={quote(execution_id, safe='')}"


def require_encryption(origin: Origin, what: str, *, insecure_http: bool) -> None:
    """Raise for plain HTTP to another machine, since the token could be read in transit.

    :param origin: the origin
    :param what: its name, for the error
    :param insecure_http: whether the connection allows plain HTTP
    :raises CoreError: for ``http`` to an origin other than loopback, unless the connection allows it
    """
    if origin.is_insecure and not insecure_http:
        raise configuration_error(
            f"{sentence_start(what)} is {origin.url}: the token would go over the network in clear text.",
            "OKW-1045: Use https, or, for a local org that holds no real accounts, set insecure_http to true.",
        )


def parse_flow(text: str, name: str, workflows: Origin | None) -> FlowAddress | None:
    """Return the address of a flow in the connection; None for an alias if the workflows host is unknown.

    :param text: the alias or the invoke URL
    :param name: the flow's name in the connection
    :param workflows: the org's workflows host, for an alias; None if it is unknown
    :raises CoreError: if the value is neither an alias nor an invoke URL
    """
    text = _unwrapped(text)
    if "/" in text:
        return _flow_at_url(text, name, workflows)
    _require_no_number(text, name)
    if not _ALIAS_IN_CONNECTION.fullmatch(text):
        raise configuration_error(
            f"The flow {shown(name)} has neither an alias nor an invoke URL.",
            "OKW-1044: Copy either from the flow's API access settings.",
        )
    return FlowAddress(name, text, workflows) if workflows else None


def find_flow(
    reference: str, flows: Mapping[str, FlowAddress], workflows: Origin, allowed: frozenset[Origin]
) -> FlowAddress:
    """Return the address of the flow that a caller refers to, at a host that may receive the token.

    :param reference: a name in the connection's ``flows``, an alias, or an invoke URL
    :param flows: the connection's flows
    :param workflows: the org's workflows host
    :param allowed: the hosts that may receive the token
    :raises CoreError: for an unknown name, a URL other than an invoke URL, or a host that is not allowed
    """
    text = _unwrapped(reference) if isinstance(reference, str) else ""
    if not text:
        raise configuration_error("No flow is named.", "OKW-1043: Set flow to a name, an alias or an invoke URL.")
    if text in flows:
        address = flows[text]
    elif "/" in text and (found := _flow_at_url(text, None, workflows)):
        address = found
    elif _ALIAS.fullmatch(text):
        address = FlowAddress(text, text, workflows)
    else:
        _require_no_number(text, text)
        known = ", ".join(sorted(flows)) or "none"
        raise configuration_error(
            f"There is no flow named {shown(text)} in the connection.",
            "OKW-1042: Use one of its names, an alias (32 hex digits) or an invoke URL, or add the name to flows in the"
            " connection's extra.",
            detail=f"It knows: {known}.",
        )
    require_allowed(address.origin, allowed)
    return address


def require_allowed(origin: Origin, allowed: frozenset[Origin]) -> None:
    """Raise if a host may not receive the token (CWE-918).

    :param origin: the host that would receive the token
    :param allowed: the hosts that may receive it
    :raises CoreError: if the host is not among them
    """
    if origin not in allowed:
        names = ", ".join(sorted(one.url for one in allowed))
        raise configuration_error(
            f"{origin.url} may not receive the org's token.",
            f"OKW-1041: If it is right, add {origin.netloc!r} to allowed_hosts in the connection's extra.",
            detail=f"Allowed: {names}.",
        )


def _flow_at_url(text: str, name: str | None, workflows: Origin | None) -> FlowAddress | None:
    """Return the address of a flow at an invoke URL, of which the scheme, or scheme and host, may be missing.

    :return: None if the host is missing and the workflows host is unknown
    """
    what = f"the flow {shown(name or text)}"
    if " " in text:
        raise configuration_error(
            f"{sentence_start(what)} has something before or after its URL.", "OKW-1261: Give the invoke URL alone."
        )
    path_alone = text.startswith(("/", "api/flo/")) and not text.startswith("//")
    if path_alone:
        origin, rest = workflows, text if text.startswith("/") else f"/{text}"
    else:
        origin, rest = (
            parse_origin(text, what),
            "/" + text.partition("://")[2 if "://" in text else 0].partition("/")[2],
        )
    # FlowAddress builds the URL to call from the parsed parts, so no unparsed part of this URL is sent.
    path, mark, _ = re.split("([?#])", f"{rest}?", maxsplit=1)
    alias = _INVOKE_PATH.fullmatch(path)
    if alias is None and _CONSOLE_PATH.fullmatch(path):
        raise configuration_error(
            f"{sentence_start(what)} is given as a page of the Workflows console.",
            "OKW-1040: Copy the Invoke URL from the flow's API access settings.",
        )
    if alias is None or mark == "#":
        raise configuration_error(
            f"{sentence_start(shown(text))} is not the invoke URL of a flow: https://HOST/api/flo/ALIAS/invoke.",
            "OKW-1040: Copy the Invoke URL from the flow's API access settings.",
        )
    if rest != path:
        raise configuration_error(
            f"The URL of {what} has a query (not shown: a client token may be in it).",
            "OKW-1039: Remove everything from the question mark on; parameters go into query. A flow with a client"
            " token cannot be invoked here: in its API Endpoint card, choose 'Secure with OAuth 2.0' instead.",
        )
    if origin is None:
        return None
    return FlowAddress(name or f"{origin.url}/api/flo/{alias[1]}/invoke", alias[1], origin)


def _require_no_number(text: str, name: str) -> None:
    if _NUMBER.fullmatch(text):
        raise configuration_error(
            f"The flow {shown(name)} is given by its number in the Workflows console, by which it cannot be invoked.",
            "OKW-1038: Copy the alias or the Invoke URL from the flow's API access settings.",
        )


def _unwrapped(text: str) -> str:
    """Return a string without spaces, quotes and angle brackets around it."""
    text = text.strip()
    while len(text) > 1 and text[0] + text[-1] in _PAIRS:
        text = text[1:-1].strip()
    return text


def _origin_of(url: str, what: str, port: int | None) -> Origin:
    what = sentence_start(what)
    try:
        parts = urlsplit(url)
        found_port = parts.port
        host = (parts.hostname or "").rstrip(".")
        if not host.isascii():
            host = host.encode("idna").decode()
    except ValueError:
        raise configuration_error(
            f"{what} is not a host: {shown(url)}.", "OKW-1035: Give it as acme.okta.com."
        ) from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise configuration_error(
            f"{what} begins with {shown(parts.scheme)}://.", "OKW-1037: Only https (and http) can be used."
        )
    if parts.username is not None or parts.password is not None:
        raise configuration_error(
            f"{what} contains a user name or password (not shown).", "OKW-1036: Remove what is before the @."
        )
    if not is_host(host, parts.netloc) or "\\" in url:
        raise configuration_error(f"{what} is not a host: {shown(url)}.", "OKW-1035: Give it as acme.okta.com.")
    if found_port == 0:
        raise configuration_error(f"{what} has port 0.", "OKW-1034: Remove the port, or write the one of the host.")
    return Origin(parts.scheme, host.lower(), found_port or port or _DEFAULT_PORTS[parts.scheme])


def sentence_start(what: str) -> str:
    """Return the name of a host or a flow as a sentence begins with it, and that of a field as it is.

    :param what: the name
    """
    return what if "_" in what.partition(" ")[0] else what[:1].upper() + what[1:]


def is_host(host: str, netloc: str) -> bool:
    """Return whether a string is the name or address of a host, and certainly no part of a key.

    Messages quote a host that passes this check, and a line of a PEM looks like a host up to its first slash.

    :param host: the host, without brackets
    :param netloc: the part of the URL that contains the host, in its original case, which helps to recognize a key
    """
    is_mixed = netloc.lower() != netloc != netloc.upper()
    if may_hold_key(netloc) or (is_mixed and "." not in netloc and len(netloc) >= PART_OF_KEY):
        return False
    if ":" in host:
        return _ip_address(host) is not None
    return len(host) <= 253 and _HOST_NAME.fullmatch(host.lower()) is not None


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
