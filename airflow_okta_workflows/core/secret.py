"""What must not be shown: secrets, what a server echoes of them, and values that could be one in the wrong field."""

from __future__ import annotations

import hmac
import re
from itertools import pairwise
from typing import Any

_LONGEST_SHOWN = 200
PART_OF_KEY = 16
"""Characters; fewer of one tell nothing, and no token is shorter."""
_SHORTEST_KEY = 43
"""Characters of the smallest private key, that of P-256, in base64url."""

# Patterns as text: re compiles them at their first use. A DAG that is parsed has no use for them.
_RUN = r"[A-Za-z0-9+/=_-]+"
_KEY_OR_TOKEN = (
    # Only where a word begins: else each part of a long row of them would be read to its end.
    rf"-----BEGIN|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.|[A-Za-z0-9+=]{{{_SHORTEST_KEY},}}"
)
_QUERY = r"[?#]|%(?:3[fF]|23)"
_PATH = r"~?/|\.\.?/"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]{0,19}://"
_HIDDEN = "***"

# The ways in which an encoder writes an ASCII character: in JSON, in a URL, in HTML.
_BY_NUMBER = (
    r"\\u00([2-7][0-9a-fA-F])|\\x([2-7][0-9a-fA-F])|%([2-7][0-9a-fA-F])"
    r"|&#[xX]0{0,4}([2-7][0-9a-fA-F]);|&#0{0,5}(\d{2,3});"
)
_BY_NAME = {
    "\\/": "/", '\\"': '"', "\\\\": "\\", "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'",
}  # fmt: skip
_NESTED = 3
"""Times that a value may be encoded within another: a query in a URL in JSON."""


class Secret:
    """A secret string that is shown only where :meth:`reveal` is called.

    ``repr``, ``str`` and formatting give ``***``; pickling, and with it most ways into a database row or a
    log, is refused.

    :param value: the secret text
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret text."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._value.encode("utf-8", "surrogatepass"), other._value.encode("utf-8", "surrogatepass")
        )

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled: pass the connection id on, and read the connection there")


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Replace each secret in a string by ``***``, also where an encoder has escaped it.

    Where only the decoded string has a secret in it, the whole string comes back decoded.

    :param text: the string, for example what a server responded
    :param secrets: the secrets that were sent to that server
    """
    secrets = tuple(filter(None, secrets))
    for _ in range(_NESTED + 1):
        form = next((form for form in _decodings(text) if any(secret in form for secret in secrets)), None)
        if form is None:
            break
        text = form
        for secret in secrets:
            text = text.replace(secret, _HIDDEN)
    return text


def redact_value(value: Any, secrets: tuple[str, ...]) -> Any:
    """Redact each string of a JSON value, names of members included, and return the value.

    :param value: the value; a list or an object is changed in place
    :param secrets: the secrets that were sent to the server that it came from
    """
    whole = [value]
    # No recursion: a server may nest its response as deep as it likes.
    waiting: list[Any] = [whole]
    while waiting:
        container = waiting.pop()
        items = list(container.items()) if isinstance(container, dict) else list(enumerate(container))
        if isinstance(container, dict):
            container.clear()
        for place, item in items:
            if isinstance(item, (dict, list)):
                waiting.append(item)
            name = redact(place, secrets) if isinstance(place, str) else place
            container[name] = redact(item, secrets) if isinstance(item, str) else item
    return whole[0]


def may_echo(text: str, secrets: tuple[str, ...]) -> bool:
    """Return whether a secret is in a string, in any encoding that :func:`redact` knows.

    :param text: the string, for example a whole JSON document
    :param secrets: the secrets
    """
    return any(secret in form for form in _decodings(text) for secret in secrets if secret)


def _decodings(text: str) -> list[str]:
    """Return a string, and what it decodes to, as far as that differs."""
    forms = [text]
    while len(forms) <= _NESTED and any(mark in forms[-1] for mark in "\\%&"):
        decoded = forms[-1]
        # The common ones by themselves, which is fast: a whole response may be full of them.
        for name, character in _BY_NAME.items():
            decoded = decoded.replace(name, character)
        decoded = re.sub(_BY_NUMBER, _decoded, decoded)
        if decoded == forms[-1]:
            break
        forms.append(decoded)
    return forms


def _decoded(escape: re.Match[str]) -> str:
    *hexadecimal, decimal = escape.groups()
    return chr(int(decimal) if decimal else int("".join(filter(None, hexadecimal)), 16))


def shown(value: object, most: int = _LONGEST_SHOWN) -> str:
    """Return a value as a message may quote it: itself if it cannot be a key, otherwise how long it is.

    Of a URL neither query, fragment nor user and password are quoted.

    :param value: what somebody has put into a field or an argument
    :param most: characters that a value of this kind has at most
    """
    text = str(value)
    public = public_part(text)
    return repr(public) if len(public) <= most and is_plain(public) else f"a value of {len(text)} characters"


def public_part(url: str) -> str:
    """Return a URL without what may be secret in it; of any other string, what would be left if it were one.

    :param url: the URL, possibly without its scheme
    """
    address = re.split(_QUERY, url, maxsplit=1)[0]
    scheme = match[0] if (match := re.match(_SCHEME, address)) else ""
    user, at, rest = address[len(scheme) :].rpartition("@")
    query = f"?{_HIDDEN}" if len(address) < len(url) else ""
    return f"{scheme}{_HIDDEN if user else ''}{at}{rest}{query}"


def is_plain(text: str) -> bool:
    """Return whether a string is certainly no secret and no part of one: words, a host, a path, an id.

    :param text: the string
    """
    if len(text) > _LONGEST_SHOWN or not text.isprintable() or may_hold_key(text):
        return False
    return not _coded_run(text, PART_OF_KEY, PART_OF_KEY)


def may_hold_key(text: str) -> bool:
    """Return whether a string is long and irregular enough to have a whole private key in it.

    :param text: the string
    """
    return re.search(_KEY_OR_TOKEN, text) is not None or _coded_run(text, _SHORTEST_KEY, PART_OF_KEY)


def without_keys(text: str) -> str:
    """Return a message with everything in it left out that could be a key.

    :param text: the message, of a library that quotes what it was given
    """
    return re.sub(r"\S+", lambda word: word[0] if is_plain(word[0]) else "…", text)


def _coded_run(text: str, least: int, least_base64: int) -> bool:
    """Return whether something in a string reads like base64: no words, but a change of kind again and again.

    :param text: the string
    :param least: characters that it has to be long
    :param least_base64: the same, where there are characters in it that no name has
    """
    # Two of three neighbours differ in base64, hardly one of four in words; a path has shorter ones, and so more.
    threshold = 2 if re.match(_PATH, text) else 3
    for run in re.findall(_RUN, text):
        enough = least_base64 if any(char in run for char in "+/=") else least
        if len(run) >= enough and run.lower() != run != run.upper():
            changes = sum(_kind(one) != _kind(other) for one, other in pairwise(run))
            if changes * threshold > len(run):
                return True
    return False


def _kind(character: str) -> str:
    return "a" if character.islower() else "A" if character.isupper() else "0" if character.isdigit() else "-"
