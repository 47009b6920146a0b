"""Recognition of private keys as users paste them, normalized to a PEM or a JWK.

Okta's console shows a JWK by default and offers a PEM; secret managers put JSON around it, and IT departments give out
PKCS#12. A search goes through the layers of a pasted string and collects each private key in it; there has to be
exactly one. The search is cheap. The key itself is parsed in :mod:`airflow_okta_workflows.core.keys.signing`, and only
when something has to be signed.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.keys import der
from airflow_okta_workflows.core.keys.encodings import base64_readings, decode_text, is_java_keystore, readings, tidy
from airflow_okta_workflows.core.keys.found import Found, other, problem
from airflow_okta_workflows.core.keys.jwk import find_in_json, load_json
from airflow_okta_workflows.core.keys.key_text import KeyText
from airflow_okta_workflows.core.keys.pem import find_in_der, find_in_pem, has_marker
from airflow_okta_workflows.core.secret import may_hold_key

if TYPE_CHECKING:
    from airflow_okta_workflows.core.errors import CoreError

__all__ = ["MAX_KEY_CHARS", "KeyText", "contains_private_key", "parse_key_text"]

MAX_KEY_CHARS = 100_000
"""Maximum length of a pasted key in characters; a longer string is not a key."""
_MOST_LAYERS = 4
"""Most nested layers of base64 and JSON: for example a secret manager's JSON, in base64, with a key in base64."""
_OPENSSH_PUBLIC = re.compile(r"(ssh-(rsa|ed25519|dss)|ecdsa-sha2-\S{1,30}) ")
_LONGEST_PATH = 500
_PATH = re.compile(
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
    found = _search(text)
    # The same key may be there several times.
    places = {key: one.place for one in reversed(found) if (key := one.key)}
    keys = list({key.text: key for key in places}.values())
    if len(keys) > 1 and kid:
        keys = [key for key in keys if key.kid == kid] or keys
        found = [] if len(keys) == 1 else found
    if len(keys) > 1:
        raise _several([places[key] for key in reversed(keys)], have_kids=all(key.kid for key in keys))
    # A damaged key beside a usable one is an error, because either may be meant; a certificate beside it is not.
    for one in sorted(found, key=lambda one: one.is_other):
        if one.problem and not (keys and one.is_other):
            raise one.problem
    if not keys:
        raise _nothing(text)
    return keys[0]


def contains_private_key(text: str) -> bool:
    """Return whether a string contains a private key, in any form that :func:`parse_key_text` accepts.

    :param text: the string
    """
    return len(text) <= MAX_KEY_CHARS and any(one.key for one in _search(text))


def _search(text: str, layers: int = 0) -> list[Found]:
    """Return the keys in the first reading of a string that has any; if none has, the problems of the first reading.

    :param text: the string
    :param layers: number of layers already decoded
    """
    text = tidy(text)
    first: list[Found] = []
    # Escapes belong to JSON, so JSON is read unchanged first; anything else is read fully decoded first.
    ordered = list(readings(text))
    for reading in ordered if text.startswith(("{", "[")) else reversed(ordered):
        found = _read(tidy(reading), layers)
        if any(one.key for one in found):
            return found if reading is text else [_with_layer(one, text) for one in found]
        first = first or found
    if not first and text.startswith("{"):
        return [
            problem(
                configuration_error(
                    "The private key begins as a JWK but is not a whole JSON object.",
                    "OKW-1119: Copy it again, from { to }.",
                )
            )
        ]
    return first


def _read(text: str, layers: int) -> list[Found]:
    is_json = text.startswith(("{", "["))
    if not is_json and has_marker(text):
        return find_in_pem(text)
    if not is_json and _OPENSSH_PUBLIC.match(text):
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
    if values := load_json(text[text.find("{") :] if "{" in text and not is_json else text):
        return find_in_json(values, partial(_search_member, layers=layers + 1)) if layers < _MOST_LAYERS else []
    if is_json:
        return find_in_pem(text) if has_marker(text) else []
    return _read_base64(text, layers)


def _read_base64(text: str, layers: int) -> list[Found]:
    datas = list(base64_readings(text))
    binary = [data for data in datas if der.is_der(data) or is_java_keystore(data) or data[:8] == b"openssh-"]
    if binary:
        data = next((data for data in binary if len(data) == der.announced_length(data)), binary[0])
        found = find_in_der(data)
    else:
        found = _search(decode_text(datas[0]), layers + 1) if datas and layers < _MOST_LAYERS else []
    return [_with_layer(one, text) for one in found]


def _search_member(text: str, layers: int) -> list[Found]:
    found = _search(text, layers)
    # A password may be valid base64 that begins like DER, so a damaged key counts only if it is a PEM.
    return found if any(one.key for one in found) or has_marker(text) else []


def _with_layer(found: Found, text: str) -> Found:
    """Return a result whose key is also masked in the form of the string that it was decoded from."""
    return replace(found, key=found.key.decoded_from(text)) if found.key else found


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
    if len(text) <= _LONGEST_PATH and _PATH.fullmatch(text) and not may_hold_key(text):
        return configuration_error(
            "The private key is the path of a file, not a key.",
            "OKW-1114: Remove it from there, and set key_file to it; or paste the key itself.",
        )
    return configuration_error(
        "The private key is neither a PEM (-----BEGIN PRIVATE KEY-----) nor a JWK ({...}).",
        "OKW-1113: Paste the whole key, first and last line included.",
    )
