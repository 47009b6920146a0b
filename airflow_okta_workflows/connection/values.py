"""Decoding of lists and objects that forms, URIs, templates and shells store as strings."""

from __future__ import annotations

import json
import re
from typing import Any

TRUE, FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
_MOST_ENCODINGS = 3


def decoded(value: object) -> Any:
    """Return the list or the object in a string, even if it is encoded several times; any other value as it is.

    Besides JSON, this accepts Python's notation with single quotes, and quotes that a shell has escaped.

    :param value: the value of a field
    """
    for _ in range(_MOST_ENCODINGS):
        if not isinstance(value, str) or not value.strip().startswith(("{", "[", '"', "'")):
            break
        found = _loaded(value.strip())
        if found is None:
            break
        value = found
    return value


def items(value: object) -> list[str] | None:
    """Return the strings in a list, or in a string with separators; None for anything else.

    :param value: the value of a field
    """
    value = decoded(value)
    listed = value if isinstance(value, list) else [value]
    texts = [text for text in listed if isinstance(text, str)]
    if len(texts) < len(listed):
        return None
    # A list as YAML and shells print it has brackets, as the address ::1 has.
    texts = [inner[1] if (inner := re.fullmatch(r"\s*\[([^][:]*)\]\s*", text)) else text for text in texts]
    return [item for text in texts for item in re.split(r"[,;\s]+", text) if item]


def is_bare(text: str) -> bool:
    """Return whether a string is not in quotes, and neither an e-mail address nor a URL, as no id is.

    :param text: the string
    """
    return re.search(r"""[@/:"<>`]|^'|'$""", text) is None


def _loaded(text: str) -> Any:
    for form in (text, text.replace("'", '"'), text.replace('\\"', '"')):
        try:
            return json.loads(form)
        except (ValueError, RecursionError):
            continue
    return None
