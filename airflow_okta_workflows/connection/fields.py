"""Names of the connection's type and of its fields in extra, in each spelling that is accepted."""

from __future__ import annotations

from typing import Any

from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.get_provider_info import get_provider_info

FORM: dict[str, Any] = get_provider_info()["connection-types"][0]
"""The connection form's part of the provider metadata."""

CONN_TYPE = "okta_workflows"
EXTRA_FIELDS = frozenset({*FORM["conn-fields"], "private_key"})
OUTSIDE_EXTRA = {"host": "the Okta domain (Host)", "login": "the Client ID (Login)"}
"""Fields outside extra that users nevertheless put into extra, under the names that Okta's SDKs use."""


def _spelling(text: str) -> str:
    """Return only letters and digits, so that ``privateKey``, ``private-key`` and ``Private Key`` are the same."""
    return "".join(filter(str.isalnum, text.lower()))


_BY_SPELLING = {
    **{_spelling(name): name for name in EXTRA_FIELDS},
    # Names in Okta's SDKs, Terraform provider and documentation.
    "kid": "key_id",
    "privatekeyid": "key_id",
    "alg": "algorithm",
    "scopes": "scope",
    "clientid": "login",
    "orgurl": "host",
    "domain": "host",
}
_LONGEST_NAME = 100
_PREFIXES = ("", "extraoktaworkflows", "oktaclient", "okta")
"""Prefixes of names: none, that of older forms of Airflow (``extra__okta_workflows__``), those of Okta's SDKs."""


def is_okta_workflows(conn_type: object) -> bool:
    """Return whether a connection type is that of this provider, as its name or as its label.

    :param conn_type: the connection type
    """
    return isinstance(conn_type, str) and _spelling(conn_type) == "oktaworkflows"


def field_of(name: str) -> str | None:
    """Return the field that a name in extra refers to; None for an unknown name.

    :param name: the name
    """
    if name in EXTRA_FIELDS:
        return name
    spelling = _spelling(name)
    meant = (_BY_SPELLING.get(spelling.removeprefix(prefix)) for prefix in _PREFIXES)
    return next(filter(None, meant), None)


def is_masked(name: str) -> bool:
    """Return whether every Airflow masks a private key under this name in extra, in its form and its REST API.

    Airflow 3.3 also masks ``private-key`` and the like.

    :param name: a spelling of ``private_key``
    """
    return "private_key" in name.lower()


def unknown_field(name: str) -> str:
    """Return a sentence about an unknown name in extra, with the nearest field.

    :param name: the name
    """
    import difflib  # not needed by a connection without such a field

    spelling = _spelling(name)
    near = difflib.get_close_matches(name, EXTRA_FIELDS, n=1, cutoff=0.5) if len(name) <= _LONGEST_NAME else []
    if "key" in spelling and ("path" in spelling or "file" in spelling):
        near = ["key_file"]
    hint = f"; did you mean {near[0]!r}?" if near else f". Known: {', '.join(sorted(EXTRA_FIELDS))}."
    return f"the field {shown(name)} in extra is not known and is ignored{hint}"
