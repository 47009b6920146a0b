"""Okta's host names, and checks of the two in a connection: the org's domain and the host of its flows."""

from __future__ import annotations

import re

from airflow_okta_workflows.core.addresses import Origin
from airflow_okta_workflows.core.errors import configuration_error

_BASES = ("okta.com", "oktapreview.com", "okta-emea.com")
"""Known Okta domains. There are others, so a host outside these is not refused for that alone."""

_BASE = r"okta[a-z0-9-]*\.[a-z]{2,}"
_ORG = re.compile(rf"(?P<org>[a-z0-9-]+)\.(?P<base>{_BASE})")
_WORKFLOWS = re.compile(rf"(?P<org>[a-z0-9-]+)\.workflows\.(?P<base>{_BASE})")


def default_workflows_origin(domain: Origin) -> Origin | None:
    """Return the workflows host of an org, derived from its domain; None for a custom domain.

    :param domain: the org's origin
    """
    if domain.is_loopback:
        return domain
    match = _ORG.fullmatch(domain.host)
    return Origin("https", f"{match['org']}.workflows.{match['base']}", 443) if match else None


def require_org(origin: Origin, *, is_url: bool, has_workflows_host: bool) -> None:
    """Raise for a host that is certainly not an org's domain.

    :param origin: the origin of the Okta domain
    :param is_url: whether the user wrote it with a scheme or a port, as for a host without a domain in a test network
    :param has_workflows_host: whether the connection names its workflows host, as it must with a custom domain
    :raises CoreError: for the host of the admin console or of the flows, a bare name, or a typo
    """
    host = origin.host
    if match := _WORKFLOWS.fullmatch(host) or _ORG.fullmatch(host):
        org, kind = match["org"], "host of its flows" if match.re is _WORKFLOWS else "admin console"
        domain = f"{org.removesuffix('-admin')}.{match['base']}"
        if domain != host:
            raise configuration_error(
                f"{host} is not the org's domain but the {kind}.", f"OKW-1084: Set the Okta domain (Host) to {domain}."
            )
    if (meant := _meant(host)) and (match or not has_workflows_host):
        raise configuration_error(
            f"{host} looks like a typo of {meant}.", f"OKW-1084: Set the Okta domain (Host) to {meant}."
        )
    base = next((base for base in _BASES if f".{host}".endswith(f".{base}")), None)
    if base and not match:
        raise configuration_error(
            f"{host} is not an org's domain: it needs exactly one name before {base}.",
            f"OKW-1083: Set the Okta domain (Host) to the org's own, such as acme.{base}.",
        )
    if "." not in host and ":" not in host and not is_url and not origin.is_loopback:
        raise configuration_error(
            f"The Okta domain (Host) is a name without a domain: {host!r}.",
            f"OKW-1082: Write it in full, such as {host if len(host) <= 63 else 'acme'}.okta.com.",
        )


def require_workflows_host(origin: Origin) -> None:
    """Raise for a workflows host at which there are certainly no flows.

    :param origin: the origin of the workflows host
    :raises CoreError: for the domain of an org, or a typo
    """
    host = origin.host
    meant = _meant(host) or host
    match = _ORG.fullmatch(meant)
    if match and match["base"] in _BASES:
        right = f"{match['org'].removesuffix('-admin')}.workflows.{match['base']}"
        raise configuration_error(
            f"workflows_host is {host}, which is not the host of flows.", f"OKW-1081: Set workflows_host to {right}."
        )
    if meant != host and _WORKFLOWS.fullmatch(meant):
        raise configuration_error(
            f"workflows_host {host} looks like a typo.", f"OKW-1081: Set workflows_host to {meant}."
        )


def _meant(host: str) -> str | None:
    """Return a host with its misspelled Okta domain corrected (one edit); None if it misspells no Okta domain."""
    if any(host.endswith(f".{base}") for base in _BASES):
        return None
    for dot in re.finditer(r"\.", host):
        for base in _BASES:
            if _is_one_edit(host[dot.end() :], base):
                return host[: dot.end()] + base
    return None


def _is_one_edit(text: str, word: str) -> bool:
    """Return whether one character is missing, added, replaced, or swapped with its neighbor."""
    if text == word or abs(len(text) - len(word)) > 1:
        return False
    start = next((at for at, (one, other) in enumerate(zip(text, word, strict=False)) if one != other), None)
    if start is None:
        return True
    rest, right = text[start:], word[start:]
    return rest[1:] in (right, right[1:]) or rest == right[1:] or right == rest[1::-1] + rest[2:]
