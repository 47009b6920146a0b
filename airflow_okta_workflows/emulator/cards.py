"""The request that a flow receives, and the cards with which it responds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.emulator.responses import RawResponse, json_response

if TYPE_CHECKING:
    from airflow_okta_workflows.emulator.profile import OrgRules
    from airflow_okta_workflows.emulator.rules import Observation


@dataclass(frozen=True)
class FlowRequest:
    """The request that the API Endpoint card passes to a flow.

    :param method: ``GET`` or ``POST``
    :param headers: the headers, with names in lower case and without tokens
    :param query: the query parameters without a client token; the first value of a repeated one
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
    """The Close card: an early response. The flow's function has to arrange what happens after it."""


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


@dataclass(frozen=True)
class ReturnInIfElse:
    """A Return card in a branch of If/Else, and the Return card behind the block.

    Which of them responds is a rule of the org: the one inside, unless a profile says otherwise.

    :param inside: the values of the card in the branch
    :param behind: the values of the card behind the block
    """

    inside: Mapping[str, Any]
    behind: Mapping[str, Any]


def response_of(returned: Any, execution_id: str, rules: OrgRules) -> RawResponse:
    """Return the response that is sent for the return value of a flow's function.

    :param returned: a card; a mapping, which means a Return card; or None, which means no Return card
    :param execution_id: the id of the execution
    :param rules: the rules that the org keeps
    :raises TypeError: for any other value
    """
    match returned:
        case None:
            return RawResponse(200, b"")
        case Return(values):
            return _object(200, values, rules["R1"])
        case ReturnInIfElse():
            return _object(200, getattr(returned, rules["R5"]["returned"]), rules["R1"])
        case ReturnRaw(status, body, headers):
            if body is None or isinstance(body, str):
                return RawResponse(status, (body or "").encode(), {"Content-Type": "text/plain", **headers})
            raw = _object(status, body, rules["R2"])
            return RawResponse(raw.status, raw.body, {**raw.headers, **headers})
        case ReturnError(status, message):
            return rules.response("R3", {"<message>": message}, status=status)
        case Pause(values):
            return json_response(200, {**values, "execution_id": execution_id})
        case Mapping():
            return _object(200, returned, rules["R1"])
    raise TypeError(f"a flow returns a card, a dict or None, not {type(returned).__name__}")


def _object(status: int, value: Any, rule: Observation) -> RawResponse:
    """Return the response of a card that sends JSON; the rule has the status of a card that succeeds."""
    sent = dict(value) if isinstance(value, Mapping) else value
    raw = json_response(rule["status"] if status == 200 else status, sent)
    return RawResponse(raw.status, raw.body, {"Content-Type": rule["type"]} if rule["type"] else {})
