"""Redaction of secrets: values marked as such, their echoes in responses, and values that may be a misplaced key."""

from __future__ import annotations

import hmac
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_SHOWN = 200
_LONGEST_READ = 20_000
_LONGEST_LINE = 500
PART_OF_KEY = 16
"""Characters; a shorter part of a key reveals nothing, and no token is shorter."""
_SHORTEST_KEY = 43
"""Characters of the smallest private key, that of P-256, in base64url."""

# Patterns are strings, which re compiles at their first use, because parsing a DAG does not need them.
_RUN = r"[A-Za-z0-9+/=_-]+"
_PLAIN_RUN = r"[A-Za-z]?[a-z/_=-]*"
_KEY_OR_TOKEN = (
    # A JWT matches only at the start of a word; otherwise a long run of eyJ would take quadratic time.
    rf"-----BEGIN|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.|[A-Za-z0-9+=]{{{_SHORTEST_KEY},}}"
)
_QUERY = r"[?#]|%(?:3[fF]|23)"
_PATH = r"~?/|\.\.?/"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]{0,19}://"
_HIDDEN = "***"

# Escapes of ASCII characters in JSON, URLs and HTML.
_BY_NUMBER = (
    r"\\u00([2-7][0-9a-fA-F])|\\x([2-7][0-9a-fA-F])|%([2-7][0-9a-fA-F])"
    r"|&#[xX]0{0,4}([2-7][0-9a-fA-F]);|&#0{0,5}(\d{2,3});"
)
_BY_NAME = {
    "\\/": "/", '\\"': '"', "\\\\": "\\", "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'",
}  # fmt: skip
_NESTED = 3
"""Levels of encoding to undo, for a value such as a query in a URL in JSON."""


class Secret:
    """A secret string that is shown only where :meth:`reveal` is called.

    ``repr``, ``str`` and formatting give ``***``. Pickling raises a :class:`TypeError`, which closes most ways into a
    database row or a log.

    :param value: the secret string
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret string."""
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
    """Return a string with each secret replaced by ``***``, even if an encoder has escaped it.

    If only the decoded string contains a secret, the whole string is returned decoded.

    :param text: the string, for example a server's response
    :param secrets: the secrets that were sent to that server
    """
    secrets = tuple(filter(None, secrets))
    # Most headers of most responses: a batch has a hundred thousand responses.
    if "\\" not in text and "%" not in text and "&" not in text and not any(secret in text for secret in secrets):
        return text
    for _ in range(_NESTED + 1):
        form = next((form for form in _decodings(text) if any(secret in form for secret in secrets)), None)
        if form is None:
            break
        text = form
        for secret in secrets:
            text = text.replace(secret, _HIDDEN)
    return text


def redact_value(value: Any, secrets: tuple[str, ...]) -> Any:
    """Redact each string in a JSON value, including member names, and return the value.

    :param value: the value; a list or an object is changed in place
    :param secrets: the secrets that were sent to the server that returned the value
    """
    whole = [value]
    # No recursion, since a response may be nested to any depth.
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
    """Return whether a string contains a secret, in any encoding that :func:`redact` knows.

    :param text: the string, for example a whole JSON document
    :param secrets: the secrets
    """
    # Loops, since a generator takes twice as long for what most responses are: nothing to decode and one secret.
    for form in _decodings(text):
        for secret in secrets:
            if secret and secret in form:
                return True
    return False


def _decodings(text: str) -> list[str]:
    """Return a string and what it decodes to, level by level."""
    forms = [text]
    while len(forms) <= _NESTED and ("%" in forms[-1] or "&" in forms[-1] or "\\" in forms[-1]):
        decoded = forms[-1]
        # The common escapes have their own replacements, which are fast: a response may be full of them.
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
    """Return a value as a message may quote it: the value if it cannot be a key, otherwise only its length.

    The query, fragment, user and password of a URL are not quoted.

    :param value: the value of a field or an argument
    :param most: maximum length in characters; a longer value is not quoted
    """
    text = str(value)
    public = public_part(text)
    return repr(public) if len(public) <= most and is_plain(public) else f"a value of {len(text)} characters"


def public_part(url: str) -> str:
    """Return a URL with the parts that may be secret replaced or removed; any other string is treated as a URL.

    :param url: the URL, possibly without its scheme
    """
    address = re.split(_QUERY, url, maxsplit=1)[0]
    scheme = match[0] if (match := re.match(_SCHEME, address)) else ""
    user, at, rest = address[len(scheme) :].rpartition("@")
    query = f"?{_HIDDEN}" if len(address) < len(url) else ""
    return f"{scheme}{_HIDDEN if user else ''}{at}{rest}{query}"


def is_plain(text: str) -> bool:
    """Return whether a string certainly is no secret and no part of one, such as words, a host, a path or an id.

    :param text: the string
    """
    if len(text) > _LONGEST_SHOWN or not text.isprintable() or may_hold_key(text):
        return False
    return not _coded_run(text, PART_OF_KEY, PART_OF_KEY)


def may_hold_key(text: str) -> bool:
    """Return whether a string is long and irregular enough to contain a whole private key or a JWT.

    :param text: the string
    """
    return re.search(_KEY_OR_TOKEN, text) is not None or _coded_run(text, _SHORTEST_KEY, PART_OF_KEY)


def without_keys(text: str) -> str:
    """Return a message with each word that could be part of a key replaced by ``…``.

    Beside such a word, each one that may be another part of the same key is replaced: the last line of a PEM may be
    short, and look like a name by chance.

    :param text: the message of a library that quotes its input
    """
    words = set(re.findall(r"\S+", text))
    hidden = {word for word in words if not is_plain(word)}
    if hidden:
        hidden |= set(filter(_may_be_part_of_key, words))
    return re.sub(r"\S+", lambda word: "…" if word[0] in hidden else word[0], text)


def first_line(problem: object, clean: Callable[[str], str]) -> str:
    """Return the first line of an exception's message, redacted.

    :param problem: the exception, or the message itself
    :param clean: redacts a string
    """
    try:
        text = str(problem)
    except Exception:  # the class is a user's own, and so is its __str__
        return ""
    # Redacted before it is cut, because a part of a secret is not recognized. Bounded, because redaction takes time.
    return next(iter(clean(text.strip()[:_LONGEST_READ]).strip().splitlines()), "")[:_LONGEST_LINE]


def error_reason(error: Exception) -> tuple[str, str]:
    """Return why a file cannot be used, and what the error says, redacted, unless the reason is in the system's words.

    :param error: the error of the operating system, or of a library for file systems or compressed data
    """
    if reason := getattr(error, "strerror", None):
        return reason, ""
    kind = type(error)
    # With the module, since some are only called "error".
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return name, f"The error says: {error_says(error)}"


def error_says(error: Exception) -> str:
    """Return the first line of an error of a library, without what may be a key, cut to a length for a log line.

    :param error: the error
    """
    return first_line(error, without_keys)[:300]


def _may_be_part_of_key(word: str) -> bool:
    """Return whether a word has a run of base64 that is long enough to reveal something and is no plain word."""
    return any(len(run) >= PART_OF_KEY and not re.fullmatch(_PLAIN_RUN, run) for run in re.findall(_RUN, word))


def _coded_run(text: str, least: int, least_base64: int) -> bool:
    """Return whether part of a string looks like base64, with frequent changes between kinds of characters.

    :param text: the string
    :param least: minimum length of the part, in characters
    :param least_base64: minimum length if the part contains ``+``, ``/`` or ``=``, which names do not
    """
    # Neighboring characters differ in kind in two of three cases in base64, but hardly in one of four in words. A path
    # has shorter words and so more changes, which is why its threshold is a half instead of a third.
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
