"""The request that a flow receives, and the cards with which it responds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_okta_workflows.emulator.responses import RawResponse, json_response


@dataclass(frozen=True)
class FlowRequest:
    """The request that the API Endpoint card passes to a flow.

    :param method: ``GET`` or ``POST``
    :param headers: the headers, with names in lower case and without the token
    :param query: the query parameters; the first value of a repeated one
    :param body: the body as a JSON value; None if it is empty or not JSON
    :param text: the body as a string
    :param execution_id: the id of this execution
    """

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    text: str
    execution_id: str

    @property
    def idempotency_key(self) -> str | None:
        """The Idempotency-Key header, by which a flow recognizes a repeated invocation; None without one."""
        return self.headers.get("idempotency-key")


@dataclass(frozen=True)
class Return:
    """The Return card: 200 and a JSON object.

    :param values: the object
    """

    values: Mapping[str, Any]


@dataclass(frozen=True)
class ReturnRaw:
    """The Return Raw card: a status, any body and any headers.

    :param status: 200, or 400 to 599
    :param body: a string, or a value that is sent as JSON; None for an empty body
    :param headers: the headers; they override the ``Content-Type`` that fits the body
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status != 200 and not 400 <= self.status <= 599:
            raise ValueError(f"a flow returns 200 or 400 to 599, not {self.status}")


@dataclass(frozen=True)
class Close(ReturnRaw):
    """The Close card: an early response. Whatever the flow does after it, its function has to arrange."""


@dataclass(frozen=True)
class ReturnError:
    """The Return Error card: a status and a message.

    :param status: 400 to 599
    :param message: the message
    """

    status: int
    message: str


@dataclass(frozen=True)
class Pause:
    """The Pause card: values, and the execution id with which the flow can be resumed.

    :param values: the values
    """

    values: Mapping[str, Any] = field(default_factory=dict)


def response_of(returned: Any, execution_id: str) -> RawResponse:
    """Return the response that is sent for the return value of a flow's function.

    :param returned: a card; a mapping, which means a Return card; or None, which means no Return card
    :param execution_id: the id of the execution
    :raises TypeError: for any other value
    """
    match returned:
        case None:
            return RawResponse(200, b"")
        case Return(values):
            return json_response(200, dict(values))
        case ReturnRaw(status, body, headers):
            if body is None or isinstance(body, str):
                return RawResponse(status, (body or "").encode(), {"Content-Type": "text/plain", **headers})
            raw = json_response(status, body)
            return RawResponse(status, raw.body, {**raw.headers, **headers})
        case ReturnError(status, message):
            return json_response(status, {"message": message})
        case Pause(values):
            return json_response(200, {**values, "execution_id": execution_id})
        case Mapping():
            return json_response(200, dict(returned))
    raise TypeError(f"a flow returns a card, a dict or None, not {type(returned).__name__}")
