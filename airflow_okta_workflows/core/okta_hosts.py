"""Okta's host names, and checks of the two in a connection: the org's domain and the host of its flows."""

from __future__ import annotations

import re

from airflow_okta_workflows.core.addresses import Origin, sentence_start
from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.patterns import lazy_pattern

_BASES = ("okta.com", "oktapreview.com", "okta-emea.com")
"""Known Okta domains. There are others, so a host outside these is not refused for that alone."""

_BASE = r"okta[a-z0-9-]*\.[a-z]{2,}"
_ORG = lazy_pattern(rf"(?P<org>[a-z0-9-]+)\.(?P<base>{_BASE})")
_WORKFLOWS = lazy_pattern(rf"(?P<org>[a-z0-9-]+)\.workflows\.(?P<base>{_BASE})")


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
    of_flows = _WORKFLOWS.fullmatch(host)
    if match := of_flows or _ORG.fullmatch(host):
        org, kind = match["org"], "host of its flows" if of_flows else "admin console"
        domain = f"{org.removesuffix('-admin')}.{match['base']}"
        if domain != host:
            raise configuration_error(
                f"{host} is not the org's domain but the {kind}.", f"OKW-1084: Set the Okta domain (Host) to {domain}."
            )
    if (meant := _meant(host)) and (match or not has_workflows_host):
        raise configuration_error(
            f"{host} looks like a typo of {meant}.", f"OKW-1084: Set the Okta domain (Host) to {meant}."
        )
    base = _base(host)
    if base and not match:
        name = host.removesuffix(f".{base}")
        one_name = name != host and "." not in name
        reason = "no org's name has a '_'" if one_name else f"it needs exactly one name before {base}"
        raise configuration_error(
            f"{host} is not an org's domain: {reason}.",
            f"OKW-1083: Set the Okta domain (Host) to the org's own, such as"
            f" {name.replace('_', '-') if one_name else 'acme'}.{base}.",
        )
    if "." not in host and ":" not in host and not is_url and not origin.is_loopback:
        name = host.removesuffix("-admin") if len(host) <= 63 and not host.startswith("0oa") else "acme"
        raise configuration_error(
            f"The Okta domain (Host) is a name without a domain: {host!r}.",
            f"OKW-1082: Write it in full, such as {name}.okta.com.",
        )


def require_workflows_host(origin: Origin, what: str = "workflows_host") -> None:
    """Raise for a host at which there are certainly no flows, so that it does not receive the token.

    :param origin: the origin of the workflows host
    :param what: its name, for the error
    :raises CoreError: for the domain of an org, or a typo
    """
    host = origin.host
    meant = _meant(host) or host
    match = _ORG.fullmatch(meant)
    if (base := _base(meant)) and not _WORKFLOWS.fullmatch(meant) and (match or meant == host):
        right = f"{match['org'].removesuffix('-admin') if match else 'acme'}.workflows.{base}"
        raise configuration_error(
            f"{sentence_start(what)} is {host}, which is not the host of flows.",
            f"OKW-1081: Set {what} to {right}.",
        )
    if _WORKFLOWS.fullmatch(meant):
        require_no_typo(origin, what)


def require_no_typo(origin: Origin, what: str) -> None:
    """Raise for a host that is a misspelled host of Okta, so that it does not receive the token.

    :param origin: the origin of the host
    :param what: its name, for the error
    :raises CoreError: for a typo
    """
    meant = _meant(origin.host)
    if meant and (_WORKFLOWS.fullmatch(meant) or _ORG.fullmatch(meant)):
        raise configuration_error(
            f"{sentence_start(what)} is {origin.host}, which looks like a typo.", f"OKW-1081: Set {what} to {meant}."
        )


def _base(host: str) -> str | None:
    return next((base for base in _BASES if f".{host}".endswith(f".{base}")), None)


def _meant(host: str) -> str | None:
    """Return a host with its misspelled Okta domain corrected; None if it misspells no Okta domain.

    A misspelling is one edit, or ``.com`` that is not there, or there twice.
    """
    if any(host.endswith(f".{base}") for base in _BASES):
        return None
    for base in _BASES:
        for wrong in (base.removesuffix(".com"), f"{base}.com"):
            if host.endswith(f".{wrong}"):
                return host.removesuffix(wrong) + base
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
