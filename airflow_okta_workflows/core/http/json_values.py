"""JSON from servers, parsed into values that Airflow can store."""

from __future__ import annotations

import json
import math
from typing import Any

from airflow_okta_workflows.core.http.content import UnreadableError
from airflow_okta_workflows.core.patterns import lazy_pattern

_DEEPEST = 100
"""Levels of lists and objects. Airflow serializes values recursively, with a few frames for each level."""

# NUL, which PostgreSQL cannot store, and lone surrogates, which UTF-8 cannot encode.
_NO_TEXT = lazy_pattern("[\x00\ud800-\udfff]")
_NO_TEXT_ESCAPED = lazy_pattern(r"\\u(?:0000|[dD][89a-fA-F])")


def parse_json_value(text: str) -> Any:
    """Return the value of a JSON document.

    :param text: the document, as untrusted input from a server
    :raises UnreadableError: if Airflow cannot store the value: a number is too large, or there are too many levels
    :raises ValueError: if it is not JSON
    """
    try:
        value = _DECODER.decode(text)
    except UnreadableError:
        raise
    except (ValueError, RecursionError):
        # Not chained, since a JSONDecodeError carries the whole document.
        raise ValueError("not JSON") from None
    if text.count("[") + text.count("{") > _DEEPEST:
        _require_few_levels(value)
    return _storable(value) if _NO_TEXT_ESCAPED.search(text) else value


def parse_beyond_limits(text: str) -> Any:
    """Return the value of a JSON document of which Airflow cannot store a part, to look something up in it.

    :param text: the document, as untrusted input from a server
    :raises ValueError: if it is not JSON
    """
    try:
        return _DECODER_BEYOND_LIMITS.decode(text)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None


def storable_text(text: str) -> str:
    """Return a string with U+FFFD for each character that cannot be stored: NUL and lone surrogates.

    :param text: the string
    """
    return _NO_TEXT.sub("\ufffd", text)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {storable_text(name): _storable(item) for name, item in value.items()}
    return value


def _require_few_levels(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST + 1):
        containers = [item for item in level if isinstance(item, (list, dict))]
        if not containers:
            return
        level = [item for one in containers for item in (one.values() if isinstance(one, dict) else one)]
    raise UnreadableError(f"its JSON has more than {_DEEPEST} levels")


def _integer(digits: str) -> int:
    # The range of integers in msgpack, the protocol between an Airflow task and its supervisor.
    if len(digits) > 20 or not -(2**63) <= (value := int(digits)) < 2**64:
        raise UnreadableError("its JSON has a whole number of more than 64 bits")
    return value


def _number(digits: str) -> float:
    if math.isfinite(value := float(digits)):
        return value
    raise UnreadableError("its JSON has a number that is too large for a float")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# Created once: json.loads would create it again for each document.
_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_int=_integer, parse_float=_number)
# A long number stays a string: converting it would take quadratic time.
_DECODER_BEYOND_LIMITS = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) <= 20 else digits)
