"""What a flow is given, and the cards by which it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_okta_workflows.emulator.responses import RawResponse, json_response


@dataclass(frozen=True)
class FlowRequest:
    """What the API Endpoint card gives a flow.

    :param method: ``GET`` or ``POST``
    :param headers: the headers, names in lower case, without the token
    :param query: the query parameters; of repeated ones the first
    :param body: the body as JSON value; None if there is none or it is not JSON
    :param text: the body as text
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
        """Return the Idempotency-Key header, by which a flow can tell a repeated invocation."""
        return self.headers.get("idempotency-key")


@dataclass(frozen=True)
class Return:
    """Answer as the Return card does: 200 and a JSON object.

    :param values: the object
    """

    values: Mapping[str, Any]


@dataclass(frozen=True)
class ReturnRaw:
    """Answer as the Return Raw card does.

    :param status: 200, or 400 to 599
    :param body: a text, or a value that is sent as JSON; None for an empty body
    :param headers: any headers
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status != 200 and not 400 <= self.status <= 599:
            raise ValueError(f"a flow answers 200 or 400 to 599, not {self.status}")


@dataclass(frozen=True)
class Close(ReturnRaw):
    """Answer early, as the Close card does; what the flow does afterwards is up to its function."""


@dataclass(frozen=True)
class ReturnError:
    """Answer as the Return Error card does: a status and a message.

    :param status: 400 to 599
    :param message: the message
    """

    status: int
    message: str


@dataclass(frozen=True)
class Pause:
    """Answer as the Pause card does: values, and the execution id by which the flow can be resumed.

    :param values: the values
    """

    values: Mapping[str, Any] = field(default_factory=dict)


def response_of(returned: Any, execution_id: str) -> RawResponse:
    """Return what goes over the wire for what a flow's function returned.

    :param returned: a card; a mapping, which is a Return card; or None, which is a flow without one
    :param execution_id: the id of the execution
    :raises TypeError: for anything else
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
