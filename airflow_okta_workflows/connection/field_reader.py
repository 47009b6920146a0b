"""Fields of a connection by name, in each spelling of the name and of the value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from airflow_okta_workflows.connection.fields import EXTRA_FIELDS, OUTSIDE_EXTRA, field_of, is_masked, unknown_field
from airflow_okta_workflows.connection.http_guard import gives_secrets_away
from airflow_okta_workflows.connection.key_place import is_private_key, misplaced_key
from airflow_okta_workflows.connection.serialized import json_problem
from airflow_okta_workflows.connection.values import FALSE, TRUE, decoded
from airflow_okta_workflows.core.errors import CoreError, configuration_error
from airflow_okta_workflows.core.numbers import check_number
from airflow_okta_workflows.core.secret import shown

LONGEST_VALUE = 20
"""Longest value that a message quotes, in characters, where a keyword or a number is expected."""

_PLACEHOLDER = r"""(?:^|["'])(\*\*\*|\[object Object\])(?:$|\\*["'])"""
"""A string that Airflow's forms show instead of a value: its mask, and JavaScript's rendering of an object."""

T = TypeVar("T")


def placeholder_problem(value: object, what: str) -> CoreError | None:
    """Return the problem of a field in which a form has saved what it showed instead of a value; None if there is none.

    Airflow restores a masked value only under the name that it was stored under, so a renamed flow may get ``***``.

    :param value: a string, or a JSON value with strings in it
    :param what: where it is from, for the error
    """
    text = value.strip() if isinstance(value, str) else json.dumps(value, default=str)
    match = re.search(_PLACEHOLDER, text)
    if match is None:
        return None
    return configuration_error(
        f"{match[1]!r} is saved in {what}: Airflow shows that instead of a value.",
        "OKW-1080: The value is lost. Enter it again.",
    )


class FieldReader:
    """Reader of a connection's fields that collects problems and warnings.

    :param connection: the connection
    :param extra: its extra, as Airflow decodes it
    """

    def __init__(self, connection: Any, extra: Mapping[str, Any]) -> None:
        self.problems: list[CoreError] = []
        self.warnings: list[str] = []
        self.unknown: dict[str, Any] = {}
        self._connection = connection
        extra = self._object(extra)
        self._gives_secrets_away = gives_secrets_away(connection.password, extra)
        self._extra: dict[str, Any] = {}
        # The exact names come first, so that they are kept if another spelling has another value.
        for name, value in sorted(extra.items(), key=lambda item: item[0] not in EXTRA_FIELDS):
            # A form stores an empty field as "" or null.
            if value is not None and not (isinstance(value, str) and not value.strip()):
                self._take(name, value)
        self._host = str(self._field("host")).strip()
        self._login = str(self._field("login")).strip()

    @property
    def unknown_names(self) -> list[str]:
        """A sentence about each unknown name in extra."""
        return [unknown_field(name) for name in self.unknown]

    def _object(self, extra: Any) -> dict[str, Any]:
        text = self._connection.extra
        if extra == {} and isinstance(text, str) and text.strip():
            # Airflow decodes anything that is not JSON to an empty extra.
            if problem := misplaced_key("Extra") if is_private_key(text) else json_problem(text, "Extra"):
                self.problems.append(problem)
                return {}
            extra = text
        extra = decoded(extra)
        if is_private_key(extra):
            self.problems.append(misplaced_key("Extra"))
            return {}
        if not isinstance(extra, Mapping):
            kind = "a list" if isinstance(extra, list) else "a string" if isinstance(extra, str) else "a single value"
            self._report(
                f"Extra is not a JSON object but {kind}.", "OKW-1050: Write it as {...}, with names in double quotes."
            )
            return {}
        return dict(extra)

    def _take(self, name: str, value: Any) -> None:
        field = field_of(name)
        if field is None:
            self.unknown[name] = value
        elif field in self._extra and self._extra[field] != value:
            self._report(f"Extra contains {field} more than once, with different values.", "OKW-1051: Leave only one.")
        else:
            if field == "private_key" and not is_masked(name):
                self.warnings.append(
                    f"the field {shown(name)} in extra is read as private_key, but Airflow may show it in clear text:"
                    " rename it"
                )
            elif name != field and not name.startswith("extra__"):
                self.warnings.append(f"the field {shown(name)} in extra is read as {OUTSIDE_EXTRA.get(field, field)}")
            self._extra[field] = value

    def _field(self, name: str) -> Any:
        """Return a field that belongs outside extra, from the connection itself or, if empty there, from extra."""
        own, other = getattr(self._connection, name) or "", self._extra.get(name, "")
        if own and other and str(own).strip() != str(other).strip():
            self._report(
                f"The {OUTSIDE_EXTRA[name].removeprefix('the ')} is in extra, too, with another value.",
                "OKW-1052: Remove it there.",
            )
        return own or other

    def _report(self, message: str, hint: str) -> None:
        self.problems.append(configuration_error(message, hint))

    def _try(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except CoreError as error:
            self.problems.append(error.copy())
            return None

    def _text(self, name: str) -> str | None:
        value = self._extra.get(name)
        if value is None:
            return None
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            self._report(f"{name} is of type {type(value).__name__}.", "OKW-1053: Give a string.")
            return None
        return str(value).strip()

    def _boolean(self, name: str, *, default: bool) -> bool:
        value = self._extra.get(name, default)
        if isinstance(value, bool):
            return value
        text = str(value).strip().lower()
        if text not in TRUE | FALSE:
            self._report(f"{name} is {shown(value, LONGEST_VALUE)}.", "OKW-1054: Set it to true or false.")
        return text in TRUE

    def _number(self, name: str, default: float, *, least: float, most: float) -> float:
        value = self._extra.get(name, default)
        number = value
        if isinstance(value, str):
            with suppress(ValueError):
                number = float(value)
        try:
            check_number(number, name, least=least, most=most)
        except CoreError as error:
            self.problems.append(error.copy())
            return default
        return float(number)
