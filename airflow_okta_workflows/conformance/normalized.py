"""Values from an org without secrets, host names, ids, addresses and times, fit to be published.

What differs from org to org becomes a placeholder such as ``<id>``, so that the values of two orgs can be compared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.http.messages import one_line
from airflow_okta_workflows.core.secret import is_plain, redact

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_READ = 20_000
_LONGEST_SEARCHED = 2000
_LONGEST = 250
"""Characters of a string that are kept."""
_MOST_MEMBERS = 30
_DEEPEST = 6
_STATUSES = range(100, 600)
_HARMLESS = frozenset(["accepted_at_once", "expires_in", "limit", "retry_after", "seconds", "status", "statuscode"])
"""Members, in lower case, whose integers are kept; any other that is no HTTP status may be an id or a time."""
_LARGEST = 1_000_000
_SHORTEST_KNOWN = 4
_PASSES = 5
_ENDS = "… "
"""What a cut leaves at the end of a string."""

_MONTH = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAY = "(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?"
_ZONE = r"(?: ?(?:UTC|GMT|Z|[CEMP][DS]T|CES?T)\b| ?[+-]\d\d:?\d\d)?"

_PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE if placeholder != "<error>" else 0), placeholder)
    for pattern, placeholder in (
        (r"[a-z][a-z0-9+.-]{0,19}://[^\s\"'<>]+", "<url>"),
        (r"[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]+", "<email>"),
        (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>"),
        (rf"\b\d{{4}}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?{_ZONE})?", "<time>"),
        (rf"\b{_WEEKDAY}(?:\d{{1,2}}[ -]{_MONTH}|{_MONTH}\.? \d{{1,2}})\b(?:,?[ -]\d{{4}}\b)?", "<time>"),
        (r"(?<![\w/])(?:\d{1,2}/\d{1,2}/(?:\d{4}|\d\d)|\d{4}/\d{1,2}/\d{1,2})(?![\w/])", "<time>"),
        (rf"(?<![\w.:])\d{{1,2}}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[ap]m\b)?{_ZONE}(?![\w:])", "<time>"),
        (r"<time>(?: (?:at )?(?:<time>|\d{4}\b))+", "<time>"),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<ip>"),
        (r"(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?:%\w+)?(?![\w:])", "<ip>"),
        (r"\b[A-Z][A-Za-z]*(?:Error|Exception)\b", "<error>"),
    )
)
_DOTTED = re.compile(r"\b[\w-]+(?:\.[\w-]+)+\b(?::\d+\b)?")
_SCOPE = re.compile(r"okta(?:\.[a-zA-Z]{2,30}){1,4}\.(?:read|manage|self)")
_VERSION = re.compile(r"(?:TLSv)?\d{1,3}\.\d{1,3}")
_RUN = re.compile(r"[\w-]{7,}")
_NAME = re.compile(r"E\d{7}|SHA-?\d{3}|Ed25519")
"""Names of errors and algorithms, which are not ids."""
_NUMBER = re.compile(r"(?<![\w-])\d{4,}(?![\w-])")
_LONG_WORD = re.compile(r"[^\s<>\"']{16,}")


class Normalizer:
    """The replacement of what must not leave the user's machine, or differs from org to org."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._known: dict[str, str] = {}

    def hide(self, secrets: Iterable[str]) -> None:
        """Replace strings from now on, even where they are encoded.

        :param secrets: the strings, such as a token
        """
        self._secrets = (*self._secrets, *secrets)

    def learn(self, text: str, placeholder: str, *, shortest: int = _SHORTEST_KNOWN) -> None:
        """Replace a string from now on, whatever its case.

        :param text: the string, such as a host; nothing happens if it is too short to identify anything
        :param placeholder: its replacement, such as ``<domain>``
        :param shortest: the fewest characters that identify something
        """
        if len(text) >= shortest:
            self._known[text.lower()] = placeholder
            self._known = dict(sorted(self._known.items(), key=lambda item: -len(item[0])))

    def text(self, text: str) -> str:
        """Return a string on one line, with placeholders, cut to a length that people read.

        :param text: the string
        """
        text = one_line(redact(text[:_LONGEST_READ], self._secrets)[:_LONGEST_SEARCHED]).strip(_ENDS)
        for _ in range(_PASSES):
            replaced = self._replaced(text)[:_LONGEST].strip(_ENDS)
            if replaced == text:
                break
            text = replaced
        return text

    def value(self, value: Any, depth: int = 0, name: str = "") -> Any:
        """Return a JSON value with each string normalized, names of members included, and most numbers replaced.

        :param value: the value
        :param depth: how deep it is nested
        :param name: the name of the member that it is, if any
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (list, dict)) and depth >= _DEEPEST:
            return "…"
        if isinstance(value, list):
            return [self.value(item, depth + 1) for item in value[:_MOST_MEMBERS]]
        if isinstance(value, dict):
            members = list(value.items())[:_MOST_MEMBERS]
            return {self.text(name): self.value(item, depth + 1, name) for name, item in members}
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            most = _LARGEST if name.lower() in _HARMLESS else 0
            return value if isinstance(value, int) and (value in _STATUSES or abs(value) < most) else "<number>"
        return value

    def _replaced(self, text: str) -> str:
        for known, placeholder in self._known.items():
            # Not within a longer word, which would be another one.
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(known)}(?![A-Za-z0-9])", placeholder, text, flags=re.IGNORECASE)
        for pattern, placeholder in _PATTERNS:
            text = pattern.sub(placeholder, text)
        text = _DOTTED.sub(_host, text)
        text = _NUMBER.sub("<number>", text)
        text = _RUN.sub(_id, text)
        return _LONG_WORD.sub(lambda word: word[0] if is_plain(word[0]) else "<id>", text)


def _host(match: re.Match[str]) -> str:
    text = match[0]
    return text if _SCOPE.fullmatch(text) or _VERSION.fullmatch(text) else "<host>"


def _id(match: re.Match[str]) -> str:
    text = match[0]
    return "<id>" if any(char.isdigit() for char in text) and not _NAME.fullmatch(text) else text
