"""JMESPath expressions over a response's body: ``success_when``, ``failure_when`` and ``result``."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Any

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.flows.expression_checks import check_expression, evaluation_problem
from airflow_okta_workflows.core.flows.members import (
    MemberPath,
    describe_members,
    has_any,
    member_paths,
    unmet_by,
)
from airflow_okta_workflows.core.patterns import lazy_pattern
from airflow_okta_workflows.core.secret import is_plain, without_keys

_TEMPLATE = lazy_pattern(r"\{[{%]")
_NO_TEMPLATE = (
    "OKW-1521: It is not rendered: write the value out, or judge the response in a response_check or a later task."
)


def has_template(text: str) -> bool:
    """Return whether a string contains a Jinja template.

    :param text: the string, as it is when the DAG is parsed
    """
    return _TEMPLATE.search(text) is not None


class ExpressionError(Exception):
    """An expression cannot be evaluated over this body, such as ``length(@)`` over a number."""


class Expression:
    """One compiled JMESPath expression.

    :param text: the expression (https://jmespath.org/specification.html)
    :param parameter: the parameter that it was passed as, for error messages
    :raises CoreError: if it is not a valid JMESPath expression
    """

    def __init__(self, text: str, parameter: str) -> None:
        self.text = text
        self.parameter = parameter
        if not isinstance(text, str):
            raise configuration_error(
                f"{parameter} is of type {type(text).__name__}, not a string.", "OKW-1520: Give a JMESPath expression."
            )
        self._compiled, self._paths, self._name, self._string = _compile(text, parameter)

    def search(self, body: Any) -> Any:
        """Return what the expression selects; None if the body has no such element.

        :param body: the response's body
        :raises ExpressionError: if it cannot be evaluated over this body
        """
        if self._name is not None and self._string is None and type(body) is dict:
            return body.get(self._name)
        try:
            return self._compiled.search(body)
        except (TypeError, ValueError, AttributeError, RecursionError) as error:  # a JMESPathError is a ValueError
            # Not chained: the message of a JMESPath error quotes the body, which may contain personal data.
            problem = evaluation_problem(error)
        found = ", and ".join(filter(None, (problem, self.describe(body))))
        raise ExpressionError(f"{self.parameter} {_quoted(self.text)} cannot be evaluated over the response: {found}")

    def is_true(self, body: Any) -> bool:
        """Return whether the expression is true: neither null nor false nor an empty string, list or object.

        :param body: the response's body
        :raises ExpressionError: if it cannot be evaluated over this body
        """
        if self._name is not None and self._string is not None and type(body) is dict:
            return bool(body.get(self._name) == self._string)
        value = self.search(body)
        return value is not None and value is not False and value not in ("", [], {})

    def can_see(self, body: Any) -> bool:
        """Return whether a body has a member that the expression looks at.

        :param body: the response's body
        """
        return has_any(body, self._paths)

    def blindness(self, body: Any, content_type: str = "") -> str:
        """Return why the expression cannot be true, or selects nothing, for bodies like this: a sentence.

        It is empty if the body has what the expression looks at, and for an element that need not be there yet.

        :param body: the response's body
        :param content_type: the response's content type
        """
        problem = unmet_by(self._compiled.parsed, body, content_type)
        return f"{self.parameter} {_quoted(self.text)} {problem}." if problem else ""

    def describe(self, body: Any, content_type: str = "") -> str:
        """Return what the body has where the expression looks: "status is 'PENDING'".

        :param body: the response's body
        :param content_type: the response's content type
        """
        return describe_members(body, self._paths, content_type)


def compile_optional(text: str | None, parameter: str) -> Expression | None:
    """Compile an optional expression.

    :param text: the expression, or None for none
    :param parameter: the parameter that it was passed as, for error messages
    :raises CoreError: if it is not a valid JMESPath expression
    """
    return None if text is None else Expression(text, parameter)


def _quoted(text: str) -> str:
    """Return an expression as a message quotes it: its ``?`` begins a filter, and no query that may be secret."""
    return repr(text) if len(text) <= 60 and is_plain(text) else f"of {len(text)} characters"


@lru_cache(maxsize=256)
def _compile(text: str, parameter: str) -> tuple[Any, tuple[MemberPath, ...], str | None, str | None]:
    import jmespath
    from jmespath.exceptions import JMESPathError

    if has_template(text):
        raise configuration_error(f"{parameter} has a Jinja template: {_quoted(text)}.", _NO_TEMPLATE)
    reason = ""
    try:
        with warnings.catch_warnings():
            # `SUCCEEDED` is still read as a string, but with a warning.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            compiled = jmespath.compile(text)
            check_expression(compiled.parsed, text, parameter)
        return compiled, member_paths(compiled.parsed), *_simple_form(compiled.parsed)
    except (JMESPathError, RecursionError, ValueError) as error:
        reason = without_keys(str(error).splitlines()[0]).removesuffix(":") if str(error) else type(error).__name__
    raise configuration_error(
        f"{parameter} is not a JMESPath expression: {_quoted(text)} ({reason}).",
        "OKW-1519: Write strings in single quotes, and numbers in backticks: status == 'SUCCEEDED' && count > `5`.",
    )


def _simple_form(parsed: Any) -> tuple[str | None, str | None]:
    """Return the member and the string of an expression such as ``status == 'SUCCEEDED'``, or the member of ``email``.

    These are the usual ones. A sensor and a batch evaluate the same one thousands of times, and over an object they
    need no interpreter.

    :return: the name of the member, None for any other expression; and the string, None without a comparison
    """
    match parsed:
        case {"type": "field", "value": name}:
            return name, None
        case {
            "type": "comparator",
            "value": "eq",
            "children": [{"type": "field", "value": name}, {"type": "literal", "value": str(string)}],
        }:
            return name, string
    return None, None
