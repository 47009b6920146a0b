"""Where things are: the org, its workflows host, its flows; and which hosts may receive the token."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow_okta_workflows.core.faults import misconfigured
from airflow_okta_workflows.core.secret import PART_OF_KEY, may_hold_key, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

CONSOLE_PATH = "/app"
"""Of the Workflows console, at the host of the flows."""

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
# Okta's own domains: okta.com, oktapreview.com, okta-emea.com and their kin. The list is not closed.
_OKTA_DOMAIN = re.compile(r"(?P<org>[a-z0-9-]+)\.(?P<base>okta[a-z0-9-]*\.[a-z]{2,})")
_INVOKE_PATH = re.compile(r"/api/flo/([A-Za-z0-9_-]{1,200})/invoke/?")
_ALIAS = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ALIAS_IN_CONNECTION = re.compile(r"[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True)
class Origin:
    """Name one place on the network: scheme, host and port (RFC 6454).

    :param scheme: ``https`` or ``http``
    :param host: the host's name or address, in lower case, without brackets
    :param port: the port
    """

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """Return host and port as a URL has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the origin as a URL, without a trailing slash."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def is_loopback(self) -> bool:
        """Whether nothing that is sent there leaves this machine."""
        address = _ip_address(self.host)
        if address is None:
            return self.host == "localhost" or self.host.endswith(".localhost")
        return any(address in network for network in _LOOPBACK)

    @property
    def is_insecure(self) -> bool:
        """Whether a token that is sent there can be read on the way."""
        return self.scheme == "http" and not self.is_loopback


@dataclass(frozen=True)
class FlowAddress:
    """Name one flow and the place it is invoked at.

    :param name: the flow as the caller named it, for logs and errors
    :param alias: its alias
    :param origin: its host
    """

    name: str
    alias: str
    origin: Origin

    @property
    def url(self) -> str:
        """Return the invoke URL."""
        return f"{self.origin.url}/api/flo/{self.alias}/invoke"


def read_origin(text: str, what: str, *, scheme: str | None = None, port: int | None = None) -> Origin:
    """Read a host in any of the forms people paste: with or without scheme, port, path, trailing slash.

    :param text: the text
    :param what: what it is, for the error: "the Okta domain (Host)"
    :param scheme: the scheme if the text has none; by default ``https``, on loopback ``http``
    :param port: the port if the text has none; by default the scheme's
    :raises Fault: if there is no host in it that can be used
    """
    text = text.strip()
    if "://" not in text:
        origin = _origin_of(f"https://{text}", what, port)
        if scheme is None:
            scheme = "http" if origin.is_loopback else "https"
        text = f"{scheme}://{text}"
    return _origin_of(text, what, port)


def okta_domain(origin: Origin) -> Origin:
    """Return the org's origin, or say that it is the admin console's.

    :param origin: where the connection points
    :raises Fault: for an ``-admin`` host
    """
    match = _OKTA_DOMAIN.fullmatch(origin.host)
    if match and match["org"].endswith("-admin"):
        raise misconfigured(
            f"{origin.host} is the org's admin console.",
            f"Set the Okta domain (Host) to {match['org'].removesuffix('-admin')}.{match['base']}.",
        )
    return origin


def default_workflows_origin(domain: Origin) -> Origin | None:
    """Return where an org's flows are, as far as its domain tells; None for a custom domain.

    :param domain: the org
    """
    if domain.is_loopback:
        return domain
    match = _OKTA_DOMAIN.fullmatch(domain.host)
    return Origin("https", f"{match['org']}.workflows.{match['base']}", 443) if match else None


def console_url(workflows: Origin, execution_id: str | None) -> str:
    """Return the URL of an org's Workflows console.

    Okta documents no URL of an execution, so its id goes along in the fragment, from where a person copies it into the
    search of the flow's execution history. A fragment changes no page of the console, and no browser sends it.

    :param workflows: where the flow is
    :param execution_id: the id as the flow's answer told it; None if it did not
    """
    fragment = "" if execution_id is None else f"#{execution_fragment(execution_id)}"
    return f"{workflows.url}{CONSOLE_PATH}{fragment}"


def execution_fragment(execution_id: str) -> str:
    """Return the fragment that tells a person which execution is meant.

    :param execution_id: the id as the flow's answer told it, and so of any form
    """
    return f"execution_id={quote(execution_id, safe='')}"


def require_encryption(origin: Origin, what: str, *, insecure_http: bool) -> None:
    """Refuse plain HTTP to another machine, where anyone in between could read the token.

    :param origin: the place
    :param what: what it is, for the error
    :param insecure_http: the connection's consent to it
    :raises Fault: for ``http`` off loopback without that consent
    """
    if origin.is_insecure and not insecure_http:
        raise misconfigured(
            f"{_capital(what)} is {origin.url}: the token would go over the network in clear text.",
            "Use https, or, for a local org that holds no real accounts, set insecure_http to true.",
        )


def read_flow(text: str, name: str, workflows: Origin | None) -> FlowAddress | None:
    """Read where a flow of the connection is: an alias or an invoke URL; None without a workflows host.

    :param text: the alias or the URL
    :param name: the flow's name in the connection
    :param workflows: the org's workflows host, for an alias; None if it is not known
    :raises Fault: if the text is neither
    """
    text = text.strip()
    if "/" in text:
        return _flow_at_url(text, name)
    if not _ALIAS_IN_CONNECTION.fullmatch(text):
        raise misconfigured(
            f"The flow {shown(name)} has neither an alias nor an invoke URL.",
            "Copy either from the flow's API access settings.",
        )
    return FlowAddress(name, text, workflows) if workflows else None


def find_flow(
    reference: str, flows: Mapping[str, FlowAddress], workflows: Origin, allowed: frozenset[Origin]
) -> FlowAddress:
    """Find the flow that a caller means, at a host that may receive the token.

    :param reference: a name in the connection's ``flows``, an alias, or an invoke URL
    :param flows: the connection's flows
    :param workflows: the org's workflows host
    :param allowed: the hosts that may receive the token
    :raises Fault: for an unknown name, something that is no invoke URL, or a host that is not allowed
    """
    text = reference.strip() if isinstance(reference, str) else ""
    if not text:
        raise misconfigured("No flow is named.", "Set flow to a name, an alias or an invoke URL.")
    if text in flows:
        address = flows[text]
    elif "://" in text:
        address = _flow_at_url(text, text)
    elif _ALIAS.fullmatch(text):
        address = FlowAddress(text, text, workflows)
    else:
        known = ", ".join(sorted(flows)) or "none"
        raise misconfigured(
            f"There is no flow named {shown(text)} in the connection. It knows: {known}.",
            'Use one of these names, an alias (32 hex digits) or an invoke URL, or add the name to "flows" in the'
            " connection's extra.",
        )
    require_allowed(address.origin, allowed)
    return address


def require_allowed(origin: Origin, allowed: frozenset[Origin]) -> None:
    """Refuse a host that is not on the connection's list (CWE-918).

    :param origin: the host that would receive the token
    :param allowed: the hosts that may
    :raises Fault: if it is not among them
    """
    if origin not in allowed:
        names = ", ".join(sorted(one.url for one in allowed))
        raise misconfigured(
            f"{origin.url} may not receive the org's token. Allowed: {names}.",
            f"If it is right, add {origin.netloc!r} to allowed_hosts in the connection's extra.",
        )


def _flow_at_url(text: str, name: str) -> FlowAddress:
    origin = _origin_of(text, f"the flow {shown(name)}", None)
    # Only what was understood is used: the URL that is called is built anew from it.
    parts = urlsplit(text)
    path = _INVOKE_PATH.fullmatch(parts.path)
    if path is None or parts.fragment:
        raise misconfigured(
            f"{_capital(shown(text))} is not the invoke URL of a flow: https://HOST/api/flo/ALIAS/invoke.",
            "Copy the Invoke URL from the flow's API access settings.",
        )
    if parts.query:
        raise misconfigured(
            "The invoke URL carries a query (its value is not shown: a client token may be in it).",
            "Remove everything from the question mark on. A flow secured with OAuth 2.0 needs no client token;"
            " other parameters go into query.",
        )
    return FlowAddress(name if "://" not in name else f"{origin.url}/api/flo/{path[1]}/invoke", path[1], origin)


def _origin_of(url: str, what: str, port: int | None) -> Origin:
    what = _capital(what)
    try:
        parts = urlsplit(url)
        found_port = parts.port
        host = (parts.hostname or "").rstrip(".")
        if not host.isascii():
            host = host.encode("idna").decode()
    except ValueError:
        raise misconfigured(f"{what} is not a host: {shown(url)}.", "Give it as acme.okta.com.") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise misconfigured(f"{what} begins with {shown(parts.scheme)}://.", "Only https (and http) can be used.")
    if parts.username is not None or parts.password is not None:
        raise misconfigured(f"{what} carries a user name or password (not shown).", "Remove what is before the @.")
    if not is_host(host, parts.netloc) or "\\" in url:
        raise misconfigured(f"{what} is not a host: {shown(url)}.", "Give it as acme.okta.com.")
    return Origin(parts.scheme, host.lower(), found_port or port or _DEFAULT_PORTS[parts.scheme])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def is_host(host: str, netloc: str) -> bool:
    """Return whether something is the name or the address of a host, and certainly no key.

    From here on it is quoted wherever that is of use. A line of a PEM reads like a host as far as its first slash.

    :param host: the host, without brackets
    :param netloc: the part of the URL that it is from, as it was written: the case of its letters tells a key
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
