"""Values of databases, Airflow and data libraries, and what templates make of them, as arguments of an invocation."""

from __future__ import annotations

import datetime
import json
from typing import Any

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from tests.integration.situations.stage import Act, Stage, refused, taken
from tests.integration.task_context import context
from tests.unit.core.flows.test_values import CONVERTED, REFUSED


def member(name: str) -> Act:
    """Return a form that sends a value as a member of a payload, and says what the flow received."""

    def act(stage: Stage) -> str:
        value, expected = (CONVERTED | REFUSED)[name]
        received = stage.invoke(payload={"value": value})["body"]["value"]
        assert received == expected
        return f"Sent as `{json.dumps(received)}`"

    return act


def operator(given: dict[str, Any] | None = None, **options: Any) -> Act:
    """Return a form that executes an operator, whose templates are rendered with what is given."""

    def act(stage: Stage) -> str:
        stage.connect(stage.org.connection())
        task = InvokeOktaFlowOperator(task_id="task", flow="echo", **options)
        task.render_template_fields(context() | (given or {}))
        return f"Sent as `{json.dumps(task.execute(context())['body'])}`"

    return act


def batch(payloads: Any, given: dict[str, Any] | None = None) -> Act:
    """Return a form that executes a batch operator, whose templates are rendered with what is given."""

    def act(stage: Stage) -> str:
        stage.connect(stage.org.connection())
        task = InvokeOktaFlowBatchOperator(task_id="task", flow="echo", payloads=payloads, max_rate=2000)
        task.render_template_fields(context() | (given or {}))
        return f"{len(task.execute(context()))} sent"

    return act


def headers(value: dict[str, Any]) -> Act:
    """Return a form that sends headers, and says which of them the flow received."""

    def act(stage: Stage) -> str:
        received = stage.invoke(payload={}, headers=value)["headers"]
        found = {name: received[name.lower()] for name in value if name.lower() in received}
        return "Sent: " + ", ".join(f"`{name}: {text}`" for name, text in found.items()) if found else "Left out"

    return act


def invocation(**options: Any) -> Act:
    """Return a form that invokes through the hook."""
    return lambda stage: f"Sent as `{json.dumps(stage.invoke(**options)['body'])}`"


class Frame:
    """The part of a pandas frame that a batch uses."""

    columns = ("email",)

    def itertuples(self, index: bool, name: None) -> list[tuple[str]]:
        return [("ada@example.com",), ("alan@example.com",)]


class Column:
    """The part of a pandas series that tells it from a list."""

    def __iter__(self) -> Any:
        return iter(["ada@example.com"])

    def to_dict(self) -> dict[int, str]:
        return {0: "ada@example.com"}


Column.__name__ = "Series"
PERSON = {"person": {"email": "ada@example.com", "manager": None}}
VALUES = [
    taken("A Decimal", member("Decimal"), "Sent as `1.1`"),
    refused("A Decimal with more digits than a float", member("Decimal of many digits"), "OKW-1532"),
    taken("A UUID", member("UUID"), 'Sent as `"00000000-0000-0000-0000-000000000001"`'),
    taken("A member of an Enum", member("Enum"), 'Sent as `"red"`'),
    taken("A date", member("date"), 'Sent as `"2026-01-02"`'),
    taken("A datetime with a time zone", member("datetime in UTC"), 'Sent as `"2026-01-02T03:00:00+00:00"`'),
    taken("A datetime without a time zone", member("datetime"), 'Sent as `"2026-01-02T03:00:00"`'),
    taken("A datetime of pendulum, such as `logical_date`", member("datetime of pendulum"), 'Sent as `"2026-01-02T00:00:00+01:00"`'),
    refused("A timedelta", member("timedelta"), "OKW-1532"),
    refused("Bytes", member("bytes"), "OKW-1532"),
    refused("A set", member("set"), "OKW-1532"),
    taken("A tuple or a namedtuple, such as a row of a database", member("namedtuple"), "Sent as `[1, 2.5]`"),
    taken("A dataclass, or a class of attrs", member("attrs class"), 'Sent as `{"city": "Rome"}`'),
    taken("A model of pydantic", member("model of pydantic 2"), 'Sent as `{"id": 1, "at": "2026-01-02T03:00:00", "secret": null, "url": "https://a.example/"}`'),
    taken("A number of numpy", member("scalar of numpy"), "Sent as `5`"),
    taken("A datetime64 of numpy with nanoseconds", member("datetime64 of numpy with nanoseconds"), 'Sent as `"2026-01-02T03:00:00.000000789"`'),
    taken("A record of numpy", member("record of numpy"), 'Sent as `{"id": 1, "at": "2026-01-02T03:00:00"}`'),
    refused("A longdouble of numpy", member("longdouble of numpy"), "OKW-1532"),
    refused("A dict with the keys 1 and \"1\"", member("keys 1 and '1'"), "OKW-1532"),
    refused("NaN", member("NaN"), "OKW-1532"),
    refused("NaT of pandas", member("NaT of pandas"), "OKW-1532"),
    refused("A DataFrame of pandas", member("DataFrame of pandas"), "OKW-1532"),
    taken("The XComs of a mapped task", member("XComs of a mapped task"), 'Sent as `[{"n": 1}, {"n": 2}]`'),
    taken("An XCom as it is, or a template with `| tojson`", [
        operator(payload=PERSON["person"]), operator(PERSON, payload="{{ person | tojson }}"),
    ], 'Sent as `{"email": "ada@example.com", "manager": null}`'),
    refused("A template without `| tojson`", operator(PERSON, payload="{{ person }}"), "OKW-1507"),
    refused("The same for a batch", batch("{{ people }}", {"people": [PERSON["person"]]}), "OKW-1507"),
    refused("A template whose value is None", operator({"person": None}, payload="{{ person }}"), "OKW-1508"),
    refused("A template with a name that does not exist", operator(payload="{{ person }}"), "OKW-1508"),
    taken("A DataFrame as the payloads of a batch", batch(Frame()), "2 sent"),
    refused("A Series as the payloads of a batch", batch(Column()), "OKW-1534"),
    refused("A form or XML as the payload", [invocation(payload="email=ada%40example.com"), invocation(payload="<user>ada</user>")], "OKW-1507"),
    refused("A form's or XML's content type", [
        headers({"Content-Type": value}) for value in ("application/x-www-form-urlencoded", "application/xml")
    ], "OKW-1531"),
    taken("The header `Content-Type: application/json`", headers({"Content-Type": "application/json"}), "Sent: `Content-Type: application/json`"),
    taken("A header whose value is None", headers({"X-Ticket": None}), "Left out"),
    taken("A header whose value is a number or a date", headers({"X-Count": 5, "X-Day": datetime.date(2026, 1, 2)}), "Sent: `X-Count: 5`, `X-Day: 2026-01-02`"),
    refused("A header with a letter that is not ASCII", headers({"X-Name": "José"}), "OKW-1511"),
    refused("A header with a client token", headers({"x-api-client-token": "t0ken"}), "OKW-1531"),
    taken("`timeout` as a timedelta", invocation(payload={}, timeout=datetime.timedelta(seconds=5)), "Sent as `{}`"),
    refused("`timeout` as a text", invocation(payload={}, timeout="5"), "OKW-1048"),
]  # fmt: skip
