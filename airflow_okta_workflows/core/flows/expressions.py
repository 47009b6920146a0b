"""JMESPath expressions over a response's body: ``success_when``, ``failure_when`` and ``result``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.secret import shown, without_keys


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
                f"{parameter} is not a text but {type(text).__name__}.", "Give a JMESPath expression."
            )
        self._compiled = _compile(text, parameter)

    def search(self, body: Any) -> Any:
        """Return what the expression selects; None if the body has no such element.

        :param body: the response's body
        :raises ExpressionError: if it cannot be evaluated over this body
        """
        from jmespath.exceptions import JMESPathError

        reason = None
        try:
            return self._compiled.search(body)
        except (JMESPathError, TypeError, ValueError, AttributeError, RecursionError) as error:
            # The message of a JMESPath error quotes the body, which may contain personal data.
            reason = type(error).__name__
        raise ExpressionError(f"{self.parameter} {shown(self.text)} cannot be evaluated over the response ({reason}).")

    def is_true(self, body: Any) -> bool:
        """Return whether the expression is true: neither null nor false nor an empty string, list or object.

        :param body: the response's body
        :raises ExpressionError: if it cannot be evaluated over this body
        """
        value = self.search(body)
        return value is not None and value is not False and value not in ("", [], {})


def compile_optional(text: str | None, parameter: str) -> Expression | None:
    """Compile an optional expression.

    :param text: the expression, or None for none
    :param parameter: the parameter that it was passed as, for error messages
    :raises CoreError: if it is not a valid JMESPath expression
    """
    return None if text is None else Expression(text, parameter)


@lru_cache(maxsize=256)
def _compile(text: str, parameter: str) -> Any:
    import jmespath
    from jmespath.exceptions import JMESPathError

    reason = ""
    try:
        return jmespath.compile(text)
    except (JMESPathError, RecursionError, ValueError, Warning) as error:  # a warning, where filters make it an error
        reason = without_keys(str(error).splitlines()[0]) if str(error) else type(error).__name__
    raise configuration_error(
        f"{parameter} is not a JMESPath expression: {shown(text)} ({reason}).",
        "Texts inside stand in single quotes: status == 'SUCCEEDED'.",
    )
