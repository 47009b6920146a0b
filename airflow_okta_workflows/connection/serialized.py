"""Reasons why Airflow cannot read a connection that is serialized as JSON or as a URI, such as one in a variable."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import is_plain, may_hold_key, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_okta_workflows.core.errors import CoreError

MEMBERS = frozenset({"conn_type", "description", "host", "login", "password", "schema", "port", "extra"})
"""Members of a connection that is serialized as JSON."""

_MARKS = ("\ufeff", "\udcef\udcbb\udcbf", "\xef\xbb\xbf")
"""The byte order mark of UTF-8, as it is decoded in UTF-8, in ASCII and in Latin-1."""
_BEGINNING = lazy_pattern(r"\{|okta[\w .+-]{0,20}://|[A-Za-z][\w.+-]{0,40}://", re.IGNORECASE)
"""The beginning of a connection. The type may be misspelled, or have spaces."""
_QUOTES = "$\\'\"`\u2018\u2019\u201c\u201d"
_SCHEME = lazy_pattern(r"\s*([A-Za-z][\w .+-]{0,40})://")
_LONGEST_SCHEME = 30
"""Characters of a scheme that a message quotes."""
_REMOVE_REST = "OKW-1025: Remove everything before the { of the JSON or the okta-workflows:// of the URI."
_PRINT_ANEW = "OKW-1033: Correct it, or print the connection with: okta-workflows connection."
_QUERY = lazy_pattern(r"\?[\w.%-]+=")


def variable_problems(conn_id: str) -> list[CoreError]:
    """Return why Airflow cannot read a connection from its environment variable; an empty list if it can.

    :param conn_id: the connection's id
    """
    name = f"AIRFLOW_CONN_{conn_id}".upper()
    # The id may be a private key that was passed by mistake.
    if may_hold_key(str(conn_id)) or "\0" in name or not name.isprintable():
        return []
    value = os.environ.get(name)
    return [] if value is None else list(problems_of(value, name))


def lookup_problems(conn_id: str) -> list[CoreError]:
    """Return why Airflow finds no connection despite its environment variable; an empty list without a variable.

    :param conn_id: the connection's id
    """
    name = f"AIRFLOW_CONN_{conn_id}".upper()
    if name in os.environ and not may_hold_key(name):
        return [configuration_error(f"{name} is set, but Airflow cannot read a connection from it.", _PRINT_ANEW)]
    return [
        configuration_error(
            f"The variable {shown(other, 80)} is set, but Airflow reads {shown(name, 80)}.", "OKW-1032: Rename it."
        )
        for other in os.environ
        if other != name and other.upper().removeprefix("EXPORT ").strip() == name
    ]


def problems_of(value: str, source: str) -> Iterator[CoreError]:
    """Yield why Airflow cannot read a connection from a string; nothing if it can.

    :param value: the string, which contains secrets
    :param source: where it is from, for the errors, such as the name of a variable
    """
    text = value.strip()
    if not text:
        yield configuration_error(
            f"{source} is empty.", "OKW-1031: Set it to a connection, as JSON or as a URI, or remove it."
        )
        return
    if text.startswith(_MARKS):
        yield configuration_error(
            f"{source} begins with a byte order mark (BOM).", "OKW-1030: Save its file as UTF-8 without it."
        )
        text = next(text.removeprefix(mark) for mark in _MARKS if text.startswith(mark)).strip()
    if text.startswith('"') and _is_json_in_json(text):
        yield configuration_error(f"{source} is JSON that is encoded twice.", "OKW-1028: Encode the connection once.")
        return
    if (beginning := _BEGINNING.search(text)) and (before := text[: beginning.start()].strip()):
        if not before.strip(_QUOTES):
            yield configuration_error(
                f"{source} has quotes around its value.",
                "OKW-1027: Remove them: in an env file they become part of the value.",
            )
        elif re.search("[=:]|export", before):
            yield configuration_error(
                f"{source} contains a whole line for a shell or a file: its value begins with a name.",
                "OKW-1029: Set it to what follows the name and its '=' or ':', without the quotes around it.",
            )
        else:
            yield configuration_error(f"{source} has something before the connection.", _REMOVE_REST)
        text = text[beginning.start() :].strip(f" \t\r\n{_QUOTES}")
    if text.startswith("{"):
        yield from _problems_of_json(text, source)
    elif "://" in text:
        yield from _problems_of_uri(text, source)
    elif text.startswith("-----"):
        yield configuration_error(
            f"{source} is a PEM, not a connection.", "OKW-1023: Put the key into the password of a connection."
        )
    else:
        yield configuration_error(f"{source} is neither a JSON object nor a URI.", _PRINT_ANEW)


def misread_problem(schema: str) -> CoreError | None:
    """Return why Airflow read a connection without a type; None if its schema does not show why.

    Airflow reads what it takes for a URI without a scheme as a path, which becomes the schema without its first
    character.

    :param schema: the connection's schema
    """
    start = schema[:100].lower()
    if scheme := re.match(r"(kta[_ ][\w .+-]{0,20}):?//", start):
        return _underscore("The connection's URI", f"o{scheme[1]}")
    if re.match(r"\s*(\"\w+\"|'\w+')\s*:", start):
        return configuration_error(
            "The connection is JSON, but Airflow has read it as a URI.",
            "OKW-1026: Import it from a .json or .yaml file; in an .env file for import it must be a URI.",
        )
    if re.match(r"\{|xport\s|\w*=", start) or re.search(r"okta\W?workflows?\W|[=:]\s*[\"']?\{", start):
        return configuration_error(
            "The connection's text begins with a quote, a byte order mark or the name of a variable.", _REMOVE_REST
        )
    return None


def json_problem(text: str, source: str) -> CoreError | None:
    """Return why a string is not JSON, without quoting any of it; None if it is JSON.

    :param text: the string, which may contain secrets
    :param source: where it is from, for the error
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        reason, line, column = error.msg.partition(":")[0].removesuffix(" starting at"), error.lineno, error.colno
    except (ValueError, RecursionError):
        reason, line, column = "a number or its nesting is too large", 0, 0
    else:
        return None
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        place = f" (line {line}, column {column})" if line else ""
        return configuration_error(f"{source} is not valid JSON: {reason}{place}.", _PRINT_ANEW)
    return configuration_error(
        f"{source} is not valid JSON: a string contains a raw line break or tab (line {line}).",
        "OKW-1024: Write \\n for each line break of the key.",
    )


def _problems_of_json(text: str, source: str) -> Iterator[CoreError]:
    if problem := json_problem(text, source):
        yield problem
        return
    members: dict[str, Any] = json.loads(text)
    if "kty" in members:
        yield configuration_error(
            f"{source} is a JWK, not a connection.", "OKW-1023: Put the key into the password of a connection."
        )
        return
    if unknown := sorted(name for name in members if name not in MEMBERS):
        names = ", ".join(unknown) if is_plain("".join(unknown)) and len("".join(unknown)) < 50 else len(unknown)
        yield configuration_error(
            f"{source} has members that no connection has: {names}.",
            f"OKW-1022: Its members are {', '.join(sorted(MEMBERS))}. All other fields belong in extra.",
        )
    for name in ("host", "login", "password", "schema"):
        if isinstance(members.get(name), (dict, list)):
            yield configuration_error(
                f"The {name} in {source} is {_kind(members[name])}, not a string.",
                "OKW-1049: Write it as a string. A JWK may be an object in private_key of extra.",
            )
    if not isinstance(members.get("conn_type") or "", str):
        yield configuration_error(f"The conn_type in {source} is not a string.", "OKW-1021: Set it to okta_workflows.")
    try:
        int(members.get("port") or 0)
    except (ValueError, TypeError, OverflowError):
        yield configuration_error(
            f"The port in {source} is not a whole number.", "OKW-1020: Remove it, or set it to 443."
        )


def _problems_of_uri(text: str, source: str) -> Iterator[CoreError]:
    scheme = match[1] if (match := _SCHEME.match(text)) else ""
    if not re.fullmatch(r"[A-Za-z0-9+.-]*", scheme):
        yield _underscore(source, scheme if len(scheme) <= _LONGEST_SCHEME and is_plain(scheme) else "…")
    rest = text.partition("://")[2]
    if "://" in rest:
        before, _, after = rest.partition("://")
        if "://" in after or "@" in before or ":" in before:
            yield configuration_error(
                f"{source} is a URI with a second '://', which Airflow cannot read.",
                "OKW-1019: Write the host without https://, and percent-encode the values behind the '?'.",
            )
            return
        rest = after
    login = _QUERY.split(rest, maxsplit=1)[0].rpartition("@")[0]
    if raw := re.search("[/?#]", login):
        yield configuration_error(
            f"{source} is a URI with a raw {raw[0]!r} in its login or password, which ends there.",
            "OKW-1018: Percent-encode login and password: '/' as %2F, '#' as %23, '@' as %40.",
        )
        return
    try:
        urlsplit(f"x://{rest}").port  # noqa: B018  # raises
    except ValueError:
        yield configuration_error(
            f"{source} is a URI whose host or port cannot be read.",
            "OKW-1017: Write okta-workflows://CLIENT_ID:KEY@acme.okta.com/, with CLIENT_ID and KEY percent-encoded.",
        )


def _underscore(source: str, scheme: str) -> CoreError:
    return configuration_error(
        f"{source} begins with {scheme}://; a URI's scheme has no underscores and no spaces.",
        "OKW-1016: Write okta-workflows://, with a hyphen.",
    )


def _kind(value: Any) -> str:
    return "an object" if isinstance(value, dict) else "a list"


def _is_json_in_json(text: str) -> bool:
    try:
        return str(json.loads(text)).startswith(("{", '"'))
    except (ValueError, RecursionError):
        return False
