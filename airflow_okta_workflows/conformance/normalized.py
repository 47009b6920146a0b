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
_LARGEST = 1_000_000
"""A larger number may be an id or a time."""
_SHORTEST_KNOWN = 4
_PASSES = 5
_ENDS = "… "
"""What a cut leaves at the end of a string."""

_PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE if placeholder != "<error>" else 0), placeholder)
    for pattern, placeholder in (
        (r"[a-z][a-z0-9+.-]{0,19}://[^\s\"'<>]+", "<url>"),
        (r"[^\s@<>\"'(),;:]+@[^\s@<>\"'(),;:]+", "<email>"),
        (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>"),
        (r"\b[a-z]{3}, \d\d [a-z]{3} \d{4} \d\d:\d\d:\d\d(?: GMT)?", "<time>"),
        (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", "<time>"),
        (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<ip>"),
        (r"(?<![\w:])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}(?![\w:])", "<ip>"),
        (r"\b[A-Z][A-Za-z]*(?:Error|Exception)\b", "<error>"),
    )
)
_DOTTED = re.compile(r"\b[a-z0-9_-]+(?:\.[a-z0-9_-]+)+\b(?::\d+\b)?", re.IGNORECASE)
_SCOPE = re.compile(r"okta(?:\.[a-zA-Z]{2,30}){1,4}\.(?:read|manage|self)")
_VERSION = re.compile(r"(?:TLSv)?\d{1,3}\.\d{1,3}")
_RUN = re.compile(r"[A-Za-z0-9_-]{10,}")
_NUMBER = re.compile(r"(?<![\w-])\d{6,}(?![\w-])")
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

    def learn(self, text: str, placeholder: str) -> None:
        """Replace a string from now on, whatever its case.

        :param text: the string, such as a host; nothing happens if it is too short to identify anything
        :param placeholder: its replacement, such as ``<domain>``
        """
        if len(text) >= _SHORTEST_KNOWN:
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

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return a JSON value with each string normalized, names of members included, and long numbers replaced.

        :param value: the value
        :param depth: how deep it is nested
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (list, dict)) and depth >= _DEEPEST:
            return "…"
        if isinstance(value, list):
            return [self.value(item, depth + 1) for item in value[:_MOST_MEMBERS]]
        if isinstance(value, dict):
            members = list(value.items())[:_MOST_MEMBERS]
            return {self.text(name): self.value(item, depth + 1) for name, item in members}
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return value if isinstance(value, int) and abs(value) < _LARGEST else "<number>"
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
    return "<id>" if any(char.isdigit() for char in text) else text
