"""Conversion of values from databases, Airflow and data libraries to JSON for a payload.

The rules check only the classes of values, so that numpy, pandas and pydantic are not imported. A value is converted
with ``str`` only if the string is its only usual form.
"""

from __future__ import annotations

import json
import math
from collections import UserString
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, Set, ValuesView
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from numbers import Number
from pathlib import PurePath
from typing import Any, NamedTuple
from uuid import UUID

from airflow_okta_workflows.core.secret import shown

USE_JSON = "Use strings, numbers, true, false, null, lists and dicts."

_NONE = type(None)
_SCALARS = (_NONE, bool, int, float, str)
_AS_TEXT = (UUID, PurePath, IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)
_MOST_BITS = 14_000
"""Most bits of an int that Python converts to digits: its limit is 4,300 digits."""
_LARGEST_DECIMAL = 308
"""Exponent of the largest float."""
_DEEPEST = 900
"""Most levels of nested lists and dicts; json fails at about a thousand, from Python 3.12 on at about ten thousand."""
_LONGEST_PATH = 60


class NoJsonFormError(ValueError):
    """Error for a value that has no JSON form, or more than one.

    :param what: a phrase about the value, such as "is of type timedelta", without the value
    :param fix: what to change: a sentence
    """

    def __init__(self, what: str, fix: str = USE_JSON) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


class ValueRule(NamedTuple):
    """Rule for the conversion or refusal of values of some types."""

    types: str
    """The types, for the documentation."""
    becomes: str
    """What a value becomes; empty if it is refused."""
    fix: str
    """What to use instead: a sentence; empty if it is converted."""
    matches: Callable[[type], bool]
    """Function that returns whether the rule applies to a class."""
    convert: Callable[[Any], Any] | None
    """Function that converts a value one step nearer to JSON; None if values are refused."""


def _has(*names: str) -> Callable[[type], bool]:
    return lambda kind: all(hasattr(kind, name) for name in names)


def _is(*kinds: type) -> Callable[[type], bool]:
    return lambda kind: issubclass(kind, kinds)


def _unwrapped(value: Any) -> Any:
    scalars: tuple[type, ...] = (bool, int, float, str)
    kind = next((scalar for scalar in scalars if issubclass(value.__class__, scalar)), None)
    return kind(value) if kind else None


def _number(value: Decimal) -> int | float:
    if not value.is_finite():
        raise NoJsonFormError(f"is {value}", "Use None for a missing number.")
    if value.adjusted() <= _LARGEST_DECIMAL:
        if value == value.to_integral_value():
            return int(value)
        if Decimal(repr(number := float(value))) == value:
            return number
    raise NoJsonFormError("is a Decimal with too many digits", "Use str(…) to keep all digits, or float(…).")


def _elements(value: Any) -> Any:
    kind, names = getattr(value.dtype, "kind", ""), getattr(value.dtype, "names", None)
    # numpy's tolist() would return a time in nanoseconds as an int, a missing one as None, and a record without names.
    if not names and kind not in ("M", "m"):
        found = value.tolist()
        if found.__class__ is value.__class__:
            raise NoJsonFormError(
                f"is of type {value.__class__.__name__}", "Use float(…), or str(…) to keep all digits."
            )
        return found
    if getattr(value, "ndim", 0):
        return list(value)
    if names:
        return {name: value[name] for name in names}
    if kind == "m":
        raise NoJsonFormError("is of type timedelta64", "Use a number of seconds.")
    rounded = value.astype("datetime64[us]")
    moment = rounded.tolist()
    if not hasattr(moment, "isoformat"):
        raise NoJsonFormError("is a datetime64 that is not a date", "Use None for a missing date.")
    return moment if rounded == value else str(value)


def _model(value: Any) -> Any:
    return value.model_dump() if hasattr(value.__class__, "model_dump") else value.dict()


def _members(value: Any) -> dict[str, Any]:
    names = getattr(value, "__dataclass_fields__", None) or [one.name for one in value.__attrs_attrs__]
    return {name: getattr(value, name) for name in names}


VALUE_RULES = (
    ValueRule("a lazy proxy of None, a bool, an int, a float or a str", "the value", "", _is(*_SCALARS), _unwrapped),
    ValueRule(
        "timedelta, and those of pendulum and pandas",
        "",
        "Convert it with .total_seconds().",
        _is(timedelta),
        None,
    ),
    ValueRule(
        "NaT and NA of pandas",
        "",
        "Use None for a missing value.",
        lambda kind: kind.__name__ in ("NaTType", "NAType"),
        None,
    ),
    ValueRule(
        "date, datetime, time, and those of pendulum and pandas",
        "a string in ISO 8601, with an offset if it has a time zone",
        "",
        _has("isoformat"),
        lambda value: value.isoformat(),
    ),
    ValueRule("Enum", "its value", "", _is(Enum), lambda value: value.value),
    ValueRule("UUID, path, IP address or network", "a string", "", _is(*_AS_TEXT), str),
    ValueRule(
        "Decimal", "a number; refused if it is infinite, NaN or has more digits than a float", "", _is(Decimal), _number
    ),
    ValueRule(
        "bytes, bytearray, memoryview",
        "",
        "Convert it with .decode() for a string, or base64.b64encode(…).decode().",
        _is(bytes, bytearray, memoryview),
        None,
    ),
    ValueRule(
        "Series and DataFrame of pandas",
        "",
        "Convert it with .to_dict() of a row, .tolist() of a column, .to_dict('records') of a frame.",
        _has("iloc", "to_dict"),
        None,
    ),
    ValueRule(
        "scalars and arrays of numpy, indexes of pandas",
        "the value, or a list; a record an object of its fields; a datetime64 a string in ISO 8601 with all its digits;"
        " longdouble is refused",
        "",
        _has("tolist", "dtype"),
        _elements,
    ),
    ValueRule("Fraction, complex", "", "Use float(…) or str(…).", _is(Number), None),
    ValueRule("Mapping", "an object", "", _is(Mapping), dict),
    ValueRule("UserString", "a string", "", _is(UserString), str),
    ValueRule(
        "tuple, Sequence (lazy XComs too), deque, keys and values of a dict",
        "a list",
        "",
        _is(Sequence, KeysView, ValuesView),
        list,
    ),
    ValueRule(
        "model of pydantic 1 or 2",
        "an object of its fields, each by these rules",
        "",
        lambda kind: hasattr(kind, "model_dump") or (hasattr(kind, "__fields__") and hasattr(kind, "dict")),
        _model,
    ),
    ValueRule(
        "dataclass, attrs class",
        "an object of its fields, each by these rules",
        "",
        lambda kind: hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__attrs_attrs__"),
        _members,
    ),
    ValueRule("iterator, generator, items of a dict", "", "Use list(…), or dict(…).", _is(Iterator, ItemsView), None),
    ValueRule(
        "set, frozenset",
        "",
        "Use sorted(…): a set has no order, and each try has to send the same.",
        _is(Set),
        None,
    ),
    ValueRule("URL of pydantic 2", "a string", "", _has("unicode_string"), lambda value: value.unicode_string()),
    ValueRule("secret of pydantic", "", "Convert it with .get_secret_value().", _has("get_secret_value"), None),
    ValueRule(
        "Undefined of Jinja",
        "",
        "Correct the template: it names something that does not exist.",
        lambda kind: any(base.__name__ == "Undefined" for base in kind.__mro__),
        None,
    ),
)
"""Rules for values of types that JSON does not have; the first that matches applies. A subclass of a type that JSON
has is converted as that type: a namedtuple to a list, an ``IntEnum`` to a number. Types without a rule are refused."""


@lru_cache(maxsize=512)
def _rule(kind: type) -> ValueRule | None:
    return next((rule for rule in VALUE_RULES if rule.matches(kind)), None)


def json_form(value: Any) -> Any:
    """Convert a value one step nearer to JSON; the values within the result may still have to be converted.

    :param value: a value of a type that JSON does not have
    :raises NoJsonFormError: if there is no rule that converts it
    """
    kind = value.__class__  # for a lazy proxy, the class of its value, unlike type(value)
    rule = _rule(kind)
    if rule is None or rule.convert is None:
        raise NoJsonFormError(f"is of type {kind.__name__}", rule.fix if rule else USE_JSON)
    return rule.convert(value)


def repeated_key(value: dict[Any, Any]) -> str | None:
    """Return a name that two keys of a dict have in JSON, such as 1 and ``"1"``; None if there is none.

    :param value: the dict
    """
    names: set[str] = set()
    for key in value:
        name = key if isinstance(key, str) else next(iter(json.loads(json.dumps({key: 0}))))
        if name in names:
            return name
        names.add(name)
    return None


def text_form(value: Any) -> str | None:
    """Return a scalar as a string for a header or a query; None for None.

    :param value: a string, a number, a bool, None, or a value that becomes one of these
    :raises NoJsonFormError: for anything else
    """
    for _ in range(_DEEPEST):
        # str() would return the name of an enum's member.
        kind = type(value)
        if value is None or kind is bool:
            return value if value is None else str(value).lower()
        if issubclass(kind, str):
            return str.__str__(value)
        if issubclass(kind, (int, float)):
            _check_number(value)
            return int.__repr__(value) if issubclass(kind, int) else float.__repr__(value)
        if issubclass(kind, (dict, list, tuple)):
            break
        value = json_form(value)
    raise NoJsonFormError(f"is of type {type(value).__name__}", "Use a string, a number, true or false.")


def find_problem(value: Any, name: str) -> NoJsonFormError:
    """Return the first reason why a value cannot be JSON, with its place: "payload.rows[3] is of type timedelta".

    :param value: the value, for which ``json.dumps`` raised
    :param name: the name of the whole value
    """
    # Not recursive, since the problem may be that the value is nested too deeply, or contains itself.
    waiting: list[tuple[Any, _Place, int]] = [(value, (None, name), 0)]
    while waiting:
        value, place, depth = waiting.pop()
        if depth > _DEEPEST:
            return NoJsonFormError(f"{name} is nested too deeply", "Use fewer levels; a value must not contain itself.")
        try:
            children = _children(value)
        except NoJsonFormError as problem:
            return NoJsonFormError(f"{_path(place)} {problem.what}", problem.fix)
        waiting.extend((child, (place, step) if step else place, depth + 1) for step, child in reversed(children))
    return NoJsonFormError(f"{name} cannot be encoded")


_Place = tuple[Any, str]
"""Place of the container, and the step from there."""


def _children(value: Any) -> list[tuple[str, Any]]:
    kind = type(value)
    if value is None or kind is bool:
        return []
    if issubclass(kind, str):
        _check_text(value)
        return []
    if issubclass(kind, (int, float)):
        _check_number(value)
        return []
    if issubclass(kind, dict):
        children = [(_step(key), item) for key, item in value.items()]
        if twice := repeated_key(value):
            raise NoJsonFormError(f"has two keys that are {shown(twice, 40)} in JSON", "Use strings as keys: str(…).")
        return children
    if issubclass(kind, (list, tuple)):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    return [("", json_form(value))]


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NoJsonFormError("has a character that UTF-8 cannot encode", "Remove it.") from None


def _check_number(number: float) -> None:
    if isinstance(number, int):
        if number.bit_length() > _MOST_BITS:
            raise NoJsonFormError("is a number of too many digits", "Use a string.")
    elif not math.isfinite(number):
        raise NoJsonFormError(f"is {float.__repr__(number)}", "Use None for a missing number.")


def _step(key: object) -> str:
    if isinstance(key, str):
        _check_text(key)
        return f".{key}" if key.isidentifier() and shown(key) == repr(key) else f"[{shown(key)}]"
    if not isinstance(key, (int, float, _NONE)):
        kind = type(key)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        raise NoJsonFormError(f"has a key of type {module}{kind.__name__}", "Use strings as keys: str(…).")
    if isinstance(key, (int, float)):
        _check_number(key)
    return f"[{key}]"


def _path(place: _Place) -> str:
    steps = []
    link: Any = place
    while link:
        link, step = link
        steps.append(step)
    path = "".join(reversed(steps))
    return path if len(path) <= _LONGEST_PATH else "…" + path[1 - _LONGEST_PATH :]
