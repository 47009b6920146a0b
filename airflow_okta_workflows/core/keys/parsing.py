"""Recognition of private keys as users paste them, normalized to a PEM or a JWK.

Okta's console shows a JWK by default and offers a PEM; secret managers put JSON around it, and IT departments give out
PKCS#12. A search goes through the layers of a pasted string and collects each private key in it; there has to be
exactly one. The search is cheap. The key itself is parsed in :mod:`airflow_okta_workflows.core.keys.signing`, and only
when something has to be signed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.errors import CoreError, configuration_error
from airflow_okta_workflows.core.keys import der
from airflow_okta_workflows.core.keys.encodings import (
    base64_readings,
    base64_values,
    decode_text,
    is_java_keystore,
    readings,
    tidy,
)
from airflow_okta_workflows.core.keys.found import Found, ordinal, other, problem
from airflow_okta_workflows.core.keys.json_values import find_values
from airflow_okta_workflows.core.keys.jwk import find_in_json
from airflow_okta_workflows.core.keys.key_text import KeyText
from airflow_okta_workflows.core.keys.pem import find_in_der, find_in_pem, has_marker
from airflow_okta_workflows.core.keys.work import MAX_KEY_CHARS, Work
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import may_hold_key, shown

if TYPE_CHECKING:
    from airflow_okta_workflows.core.secret import Secret

__all__ = ["MAX_KEY_CHARS", "KeyText", "contains_private_key", "parse_key_text"]

_MOST_LAYERS = 4
"""Most nested layers of base64 and JSON: for example a secret manager's JSON, in base64, with a key in base64."""
_MOST_COMPARED = 10
"""Most keys whose numbers are compared, to find the same one in two forms."""
_SHORTEST_KEY = 64
"""Characters; the shortest private key, SEC1 of P-256 in base64, has 68."""
# The name of a JWK's member in what is left of a string without its JSON.
_CUT_JWK = lazy_pattern(r"""(?:["']|%22|&quot;|[{,]\s*)kty(?:\\*["']|%22|&quot;|\s*:)""")
_OPENSSH_PUBLIC = lazy_pattern(r"(ssh-(rsa|ed25519|dss)|ecdsa-sha2-\S{1,30}) ")
_PLACEHOLDER = lazy_pattern(r"<[^<>]*>")
_LONGEST_PLACEHOLDER = 60
_LONGEST_PATH = 500
_PATH = lazy_pattern(
    r"(?:file:|~|\.{0,2}/|\$\{?\w{1,40}\}?/|[A-Za-z]:[\\/]|\\\\)[^\r\n]*"
    r"|[^\r\n{}\"]{0,200}\.(?:pem|key|jwk|jwks|json|der|p8|pk8|p12|pfx|jks|txt|crt|cer|ppk)",
    re.IGNORECASE,
)


def parse_key_text(text: str, kid: str | None = None) -> KeyText:
    r"""Return the private key in a pasted string.

    Accepts PEM, DER or PKCS#12 in base64 (PKCS#8, PKCS#1, SEC1, encrypted or not) and JWK, with literal ``\n``,
    newlines lost or turned into spaces, other escapes, quotes, comments, certificates or public keys beside the key,
    and JSON or base64 around any of these.

    :param text: the string as it was pasted or read from a file
    :param kid: which key to take, if there are several JWKs
    :raises CoreError: unless it contains exactly one usable private key; the message says what was found instead
    """
    if len(text) > MAX_KEY_CHARS:
        raise configuration_error(
            f"The private key is {len(text)} characters long, longer than any key.", "OKW-1120: Give the key alone."
        )
    found = _search(text, Work())
    everything = [key for one in found if (key := one.key or one.unusable)]
    places = _different_keys(found)
    if len(places) > 1 and kid and len(chosen := [key for key in places if key.kid == kid]) == 1:
        places, found = {chosen[0]: ""}, []
    if len(places) > 1:
        raise _several(list(places.values()), have_kids=all(key.kid for key in places))
    # A damaged key beside a usable one is an error, because either may be meant; a certificate beside it is not.
    for one in sorted(found, key=lambda one: one.is_other):
        if one.problem and not (places and one.is_other):
            raise one.problem
    if not places:
        raise _nothing(text)
    (key,) = places
    return replace(key, beside=tuple(other for other in everything if other is not key))


def contains_private_key(text: str) -> bool:
    """Return whether a string contains a private key, in any form that :func:`parse_key_text` accepts.

    :param text: the string
    """
    found: list[Found] = []
    with suppress(CoreError):
        found = _search(text, Work()) if len(text) <= MAX_KEY_CHARS else []
    return any(one.key for one in found)


def _different_keys(found: list[Found]) -> dict[KeyText, str]:
    """Return each different private key, and its place; the same key may be there several times, and in several forms.

    :param found: what a search has found
    """
    by_text: dict[Secret, tuple[KeyText, str]] = {}
    for one in found:
        if one.key:
            by_text.setdefault(one.key.text, (one.key, one.place))
    if not 1 < len(by_text) <= _MOST_COMPARED:
        return dict(by_text.values())
    # Imported here, because its libraries are slow to import, and most strings have one key in one form.
    from airflow_okta_workflows.core.keys.signing import public_numbers

    by_numbers: dict[object, list[KeyText]] = {}
    for key, _ in by_text.values():
        by_numbers.setdefault(public_numbers(key) or key.text, []).append(key)
    different: list[KeyText] = []
    for forms in by_numbers.values():
        # One key with two kids counts as two: an assertion names one of them.
        by_kid = {key.kid: key for key in reversed(forms) if key.kid}
        different += list(by_kid.values())[::-1] or forms[:1]
    return {key: by_text[key.text][1] for key in different}


def _search(text: str, work: Work, layers: int = 0) -> list[Found]:
    """Return the keys in the first reading of a string that has any; if none has, the problems of the first reading.

    :param text: the string
    :param work: the work of the search
    :param layers: number of layers already decoded
    """
    text = tidy(text)
    first: list[Found] = []
    # Escapes belong to JSON, so JSON is read unchanged first; anything else is read fully decoded first.
    ordered = list(readings(text))
    for reading in ordered if text.startswith(("{", "[")) else reversed(ordered):
        found = _read(tidy(reading), work, layers)
        if any(one.key for one in found):
            return found if reading is text else [one.decoded_from(text) for one in found]
        first = first or found
    return first or ([_cut_jwk()] if text.startswith("{") else [])


def _read(text: str, work: Work, layers: int) -> list[Found]:
    """Return what one reading of a string has in JSON, in PEM blocks, and in base64 around them."""
    work.spend(len(text))
    values, around = find_values(text, work)
    in_pem, rest = find_in_pem(around, work) if has_marker(around) else ([], around)
    if not values and not in_pem and (whole := _other_format(text) or _read_base64(text, work, layers)):
        return whole
    found = [*in_pem, *_read_base64_values(rest, work, layers)]
    if values and layers < _MOST_LAYERS:
        found += find_in_json(values, partial(_search_member, work=work, layers=layers + 1), work)
    return [*found, _cut_jwk()] if found and _CUT_JWK.search(rest) else found


def _other_format(text: str) -> list[Found]:
    if _OPENSSH_PUBLIC.match(text):
        return [
            other(
                configuration_error(
                    "This is an OpenSSH public key.", "OKW-1118: Give the private key, as a PEM or a JWK."
                )
            )
        ]
    if text.startswith("PuTTY-User-Key-File"):
        return [
            other(
                configuration_error(
                    "This is a private key in PuTTY's own format.",
                    "OKW-1117: Convert it in PuTTYgen: Conversions, Export OpenSSH key; then: ssh-keygen -p -m PKCS8"
                    " -f COPY",
                )
            )
        ]
    return []


def _cut_jwk() -> Found:
    return problem(
        configuration_error(
            "The private key begins as a JWK but is not a whole JSON object.",
            "OKW-1119: Copy it again, from { to }.",
        )
    )


def _read_base64(text: str, work: Work, layers: int) -> list[Found]:
    datas = list(base64_readings(text))
    binary = [data for data in datas if der.is_der(data) or is_java_keystore(data) or data[:8] == b"openssh-"]
    if binary:
        data = next((data for data in binary if len(data) == der.announced_length(data)), binary[0])
        found = find_in_der(data)
    else:
        found = _search(decode_text(datas[0]), work, layers + 1) if datas and layers < _MOST_LAYERS else []
    return [one.decoded_from(text) for one in found]


def _read_base64_values(text: str, work: Work, layers: int) -> list[Found]:
    """Return the keys in parts of a string that are base64; anything else in them may be there by accident."""
    keys: list[Found] = []
    for value, data in base64_values(text):
        work.spend(len(value))
        if der.is_der(data):
            found = find_in_der(data[: der.announced_length(data)])
        else:
            found = _search(decode_text(data), work, layers + 1) if layers < _MOST_LAYERS else []
        place = f"the {ordinal(len(keys))} value in base64"
        keys += [
            replace(one.decoded_from(value), place=f"{one.place} in {place}" if one.place else place)
            for one in found
            if one.key
        ]
    return keys


def _search_member(text: str, work: Work, layers: int) -> list[Found]:
    if len(text) < _SHORTEST_KEY and "--" not in text:
        return []
    found = _search(text, work, layers)
    # A password may be valid base64 that begins like DER, so a damaged key counts only if it is a PEM.
    return found if any(one.key for one in found) or has_marker(text) else []


def _several(places: list[str], *, have_kids: bool) -> CoreError:
    named = ", ".join(places[:3]) + (" and others" if len(places) > 3 else "")
    choice = ", or set key_id to the kid of that one" if have_kids else ""
    return configuration_error(
        f"There are {len(places)} private keys: {named}.", f"OKW-1116: Leave only the one that the app uses{choice}."
    )


def _nothing(text: str) -> CoreError:
    text = tidy(text)
    if not text:
        return configuration_error(
            "The private key is empty.", "OKW-1115: Paste the PEM or the JWK of the app's private key."
        )
    if _PLACEHOLDER.fullmatch(text):
        return configuration_error(
            f"The private key is a placeholder: {shown(text, _LONGEST_PLACEHOLDER)}.",
            "OKW-1115: Paste the PEM or the JWK of the app's private key.",
        )
    if len(text) <= _LONGEST_PATH and _PATH.fullmatch(text) and not may_hold_key(text):
        return configuration_error(
            "The private key is the path of a file, not a key.",
            "OKW-1114: Remove it from there, and set key_file to it; or paste the key itself.",
        )
    return configuration_error(
        "The private key is neither a PEM (-----BEGIN PRIVATE KEY-----) nor a JWK ({...}).",
        "OKW-1113: Paste the whole key, first and last line included.",
    )
