"""Values that JSON does not know, as databases, Airflow and data libraries give them."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import json
import subprocess
import sys
from collections import OrderedDict, UserDict, UserList, UserString, deque, namedtuple
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import attrs
import jinja2
import pendulum
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.flows.encoding import check_headers, encode_payload, encode_query
from airflow_okta_workflows.core.flows.values import VALUE_RULES

NAIVE = datetime.fromisoformat("2026-01-02T03:00:00")


class Color(enum.Enum):
    RED = "red"
    DAY = date(2026, 1, 2)


class Level(enum.StrEnum):
    HIGH = "high"


class Count(enum.IntEnum):
    TWO = 2


Row = namedtuple("Row", "id amount")


@dataclasses.dataclass
class Person:
    name: str
    born: date
    home: Person | None = None


@attrs.define
class Place:
    city: str


@attrs.define
class LazySequence(Sequence[Any]):
    """The interface of the XComs of a mapped task, of which the task's XCom argument is an attribute."""

    _xcom_arg: Any
    _items: tuple[Any, ...] = ({"n": 1}, {"n": 2})

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]


class Job(pydantic.BaseModel):
    id: int
    at: datetime
    secret: pydantic.SecretStr | None = None
    url: pydantic.AnyUrl | None = None


class OldJob:
    """The interface of a model of pydantic 1."""

    __fields__ = ("id",)

    def dict(self) -> dict[str, Any]:
        return {"id": Decimal(5)}


class Proxy:
    """The interface of a lazy proxy: it has the class of what it stands for."""

    def __init__(self, value: Any) -> None:
        self._value = value

    @property  # type: ignore[misc]  # the class is what a proxy hides
    def __class__(self) -> Any:
        return self._value.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._value, name)

    def __str__(self) -> str:
        return str(self._value)

    def __int__(self) -> int:
        return int(self._value)

    def __float__(self) -> float:
        return float(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __iter__(self) -> Any:
        return iter(self._value)

    def __getitem__(self, key: Any) -> Any:
        return self._value[key]


class DataType:
    def __init__(self, kind: str, names: tuple[str, ...] | None = None) -> None:
        self.kind = kind
        self.names = names


class Array:
    """The interface that arrays and scalars of numpy and indexes of pandas have in common."""

    dtype = DataType("f")

    def __init__(self, value: Any) -> None:
        self._value = value

    def tolist(self) -> Any:
        return self._value


class Moment(Array):
    """The interface of a datetime64 of numpy, whose ``tolist`` gives nanoseconds."""

    dtype = DataType("M")
    ndim = 0

    def __init__(self, value: Any, nanoseconds: str = "") -> None:
        super().__init__(value)
        self._nanoseconds = nanoseconds

    def astype(self, kind: str) -> Moment:
        assert kind == "datetime64[us]"
        return Moment(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moment) and self._nanoseconds == other._nanoseconds

    def __hash__(self) -> int:
        return hash(self._nanoseconds)

    def __str__(self) -> str:
        return f"{self._value:%Y-%m-%dT%H:%M:%S.%f}{self._nanoseconds}"


class Record(Array):
    """The interface of a record of a structured array of numpy, whose ``tolist`` loses the names."""

    dtype = DataType("V", ("id", "at"))
    ndim = 0

    def __getitem__(self, name: str) -> Any:
        return self._value[name]


class Records(Record):
    ndim = 1

    def __iter__(self) -> Any:
        return iter(self._value)


class LongDouble(Array):
    """The interface of a longdouble of numpy, whose ``tolist`` gives itself."""

    def tolist(self) -> Any:
        return self


class Moments(Moment):
    ndim = 1

    def __iter__(self) -> Any:
        return iter(self._value)


class Span(Moment):
    dtype = DataType("m")


class NaTType(datetime):
    """The interface of a missing moment of pandas."""


class DataFrame(Array):
    iloc: Any = None

    def to_dict(self) -> Any:
        return {}


def sent(value: Any) -> Any:
    body = encode_payload({"value": value}, "POST")
    assert body is not None
    return json.loads(body)["value"]


def refusal(payload: Any) -> str:
    with pytest.raises(CoreError) as caught:
        encode_payload(payload, "POST")
    assert len(caught.value.message) <= 120
    assert caught.value.__context__ is None
    return str(caught.value)


CONVERTED: dict[str, tuple[Any, Any]] = {
    "Decimal": (Decimal("1.10"), 1.1),
    "Decimal, a large whole number": (Decimal(12345678901234567890), 12345678901234567890),
    "Decimal, with an exponent": (Decimal("5E+3"), 5000),
    "UUID": (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "Enum": (Color.RED, "red"),
    "Enum of a date": (Color.DAY, "2026-01-02"),
    "StrEnum": (Level.HIGH, "high"),
    "IntEnum": (Count.TWO, 2),
    "date": (date(2026, 1, 2), "2026-01-02"),
    "datetime": (NAIVE, "2026-01-02T03:00:00"),
    "datetime in UTC": (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02T03:00:00+00:00"),
    "datetime with an offset": (
        datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=-5))),
        "2026-01-02T00:00:00-05:00",
    ),
    "datetime of pendulum": (pendulum.datetime(2026, 1, 2, tz="Europe/Berlin"), "2026-01-02T00:00:00+01:00"),
    "time": (time(1, 2), "01:02:00"),
    "tuple": ((1, (2,)), [1, [2]]),
    "namedtuple": (Row(1, Decimal("2.5")), [1, 2.5]),
    "deque": (deque([1]), [1]),
    "UserList of UserDict and UUID": (
        UserList([UserDict({"a": UUID(int=0)})]),
        [{"a": "00000000-0000-0000-0000-000000000000"}],
    ),
    "OrderedDict": (OrderedDict(a=1), {"a": 1}),
    "read-only mapping": (MappingProxyType({"a": 1}), {"a": 1}),
    "keys of a dict": ({"a": 1}.keys(), ["a"]),
    "values of a dict": ({"a": 1}.values(), [1]),
    "range": (range(2), [0, 1]),
    "path": (PurePosixPath("/a/b"), "/a/b"),
    "IP address": (ipaddress.ip_address("10.0.0.1"), "10.0.0.1"),
    "dataclass": (
        Person("Ada", date(1815, 12, 10), Person("Byron", date(1788, 1, 22))),
        {"name": "Ada", "born": "1815-12-10", "home": {"name": "Byron", "born": "1788-01-22", "home": None}},
    ),
    "attrs class": (Place("Rome"), {"city": "Rome"}),
    "XComs of a mapped task": (LazySequence(object()), [{"n": 1}, {"n": 2}]),
    "model of pydantic 2": (
        Job(id=1, at=NAIVE, url=pydantic.AnyUrl("https://a.example/")),
        {"id": 1, "at": "2026-01-02T03:00:00", "secret": None, "url": "https://a.example/"},
    ),
    "model of pydantic 1": (OldJob(), {"id": 5}),
    "scalar of numpy": (Array(5), 5),
    "array of numpy": (Array([[1.5], [2]]), [[1.5], [2]]),
    "datetime64 of numpy": (Moment(NAIVE), "2026-01-02T03:00:00"),
    "datetime64 of numpy with nanoseconds": (Moment(NAIVE, "789"), "2026-01-02T03:00:00.000000789"),
    "record of numpy": (Record({"id": Array(1), "at": Moment(NAIVE)}), {"id": 1, "at": "2026-01-02T03:00:00"}),
    "structured array of numpy": (Records([Record({"id": 1, "at": 2})]), [{"id": 1, "at": 2}]),
    "UserString": (UserString("text"), "text"),
    "keys that are numbers, bools and None": (
        {1: "a", None: "b", False: "c", "2": "d"},
        {"1": "a", "null": "b", "false": "c", "2": "d"},
    ),
    "array of datetime64 of numpy": (Moments([Moment(date(2026, 1, 2))]), ["2026-01-02"]),
}


@pytest.mark.parametrize(("value", "json_value"), CONVERTED.values(), ids=CONVERTED)
def test_a_value_with_one_usual_form_is_sent_in_it(value: Any, json_value: Any) -> None:
    assert sent(value) == json_value
    assert type(sent(value)) is type(json_value)
    assert sent([{"rows": (value,)}]) == [{"rows": [json_value]}]


@pytest.mark.parametrize("value", ["text", 5, 1.5, True, None, {"a": 1}, [1, 2]])
def test_a_lazy_proxy_is_sent_as_what_it_stands_for(value: Any) -> None:
    assert sent(Proxy(value)) == value
    assert type(sent(Proxy(value))) is type(value)
    assert sent([Proxy(date(2026, 1, 2))]) == ["2026-01-02"]


REFUSED: dict[str, tuple[Any, Any]] = {
    "timedelta": (timedelta(hours=1), ".total_seconds()"),
    "duration of pendulum": (pendulum.duration(hours=1), ".total_seconds()"),
    "bytes": (b"x", ".decode()"),
    "bytearray": (bytearray(b"x"), "base64"),
    "memoryview": (memoryview(b"x"), "base64"),
    "set": ({1, 2}, "sorted("),
    "frozenset": (frozenset(), "sorted("),
    "items of a dict": ({"a": 1}.items(), "dict("),
    "generator": ((n for n in [1]), "list("),
    "iterator": (map(str, [1]), "list("),
    "Fraction": (Fraction(1, 3), "float("),
    "complex": (1j, "float("),
    "Decimal of many digits": (Decimal("0.1234567890123456789012345"), "str("),
    "Decimal that no float holds": (Decimal("1E+400"), "str("),
    "Decimal of a huge exponent": (Decimal("1E+99999999"), "str("),
    "Decimal of a tiny exponent": (Decimal("1E-99999999"), "str("),
    "Decimal NaN": (Decimal("NaN"), "None"),
    "Decimal infinity": (Decimal("-Infinity"), "None"),
    "NaN": (float("nan"), "None"),
    "infinity": (float("-inf"), "None"),
    "NaN in an array of numpy": (Array([float("nan")]), "None"),
    "NaT of pandas": (NaTType(2026, 1, 1), "None"),
    "NaT of numpy": (Moment(None), "None"),
    "datetime64 of numpy in nanoseconds": (Moment(1_767_225_600_000_000_000), "None"),
    "longdouble of numpy": (LongDouble(1), "float("),
    "keys 1 and '1'": ({1: "a", "1": "b"}, "as keys"),
    "keys True and 'true' in a list of a mapping": (UserDict(a=[{True: "a", "true": "b"}]), "as keys"),
    "keys None and 'null'": ([{"null": "a", None: "b"}], "as keys"),
    "timedelta64 of numpy": (Span(5), "seconds"),
    "DataFrame of pandas": (DataFrame([1]), ".to_dict('records')"),
    "secret of pydantic": (pydantic.SecretStr("hidden"), ".get_secret_value()"),
    "model of pydantic with a secret": (
        Job(id=1, at=NAIVE, secret=pydantic.SecretStr("hidden")),
        ".get_secret_value()",
    ),
    "undefined name of a template": (jinja2.Undefined(name="x"), "template"),
    "undefined name of a strict template": (jinja2.StrictUndefined(name="x"), "template"),
    "int of 5,000 digits": ([10**5000], "string"),
    "object of another class": (object(), "Use strings"),
    "class": (Person, "Use strings"),
    "key that is a UUID": ({UUID(int=1): 1}, "as keys"),
    "key that UTF-8 cannot encode": ({"\ud800": 1}, "Remove it"),
    "key that is NaN": ({float("nan"): 1}, "None"),
}


@pytest.mark.parametrize(("value", "fix"), REFUSED.values(), ids=REFUSED)
def test_a_value_without_one_usual_form_is_refused_with_the_fix(value: Any, fix: str) -> None:
    said = refusal({"rows": [0, {"amount": value}]})

    assert "payload.rows[1].amount" in said
    assert fix in said
    assert "hidden" not in said


def test_the_place_of_a_problem_is_named_as_in_python_and_shows_no_secret() -> None:
    key = "eyJhbGciOiJSUzI1NiJ9eyJzdWIiOiIwb2ExYjJjM2Q0In0"

    assert "payload.rows[3].amount is nan." in refusal({"rows": [1, 2, 3, {"amount": float("nan")}]})
    assert "payload['first name'][0] is of type set." in refusal({"first name": [{1}]})
    assert "payload[0].a is of type bytes." in refusal([{"a": b""}])
    assert "payload is of type set." in refusal({1})
    assert key not in refusal({key: {1}})
    assert "…deep.deep" in refusal(nested(50, {1}))
    assert "payload is nested too deeply" in refusal(nested(100_000, 1))


def nested(levels: int, value: Any) -> Any:
    for _ in range(levels):
        value = {"deep": value}
    return value


def test_a_model_is_a_whole_payload_too() -> None:
    assert (
        encode_payload(Person("Ada", date(1815, 12, 10)), "POST") == b'{"name":"Ada","born":"1815-12-10","home":null}'
    )
    assert encode_payload(Job(id=1, at=NAIVE), "POST")
    assert encode_payload(Proxy('{"a": 1}'), "POST") == b'{"a":1}'

    class Reserved(pydantic.BaseModel):
        name: int = pydantic.Field(default=1)

        def model_dump(self, **options: Any) -> dict[str, Any]:
            return {"x-okta-workflows-a": 1}

    assert "reserved" in refusal(Reserved())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"), (1.5, "1.5"), (True, "true"), (False, "false"), ("a", "a"), (Level.HIGH, "high"),
        (Count.TWO, "2"), (Color.RED, "red"), (Decimal("2.50"), "2.5"), (UUID(int=0), str(UUID(int=0))),
        (date(2026, 1, 2), "2026-01-02"), (Array(7), "7"),
    ],
)  # fmt: skip
def test_headers_and_queries_take_the_same_scalars(value: Any, text: str) -> None:
    assert check_headers({"X-A": value}) == {"X-A": text}
    assert encode_query({"a": value}) == f"a={text}"


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        (b"x", "decode"), ({"a": 1}, "Use a string"), (timedelta(1), "total_seconds"), (float("nan"), "None"),
        (Decimal("Infinity"), "None"), ({1}, "sorted"), (object(), "Use strings"),
        (Person("Ada", date(1815, 12, 10)), "Use a string"),
    ],
)  # fmt: skip
def test_headers_and_queries_refuse_the_same_values(value: Any, fix: str) -> None:
    with pytest.raises(CoreError, match="The header 'X-A' is ") as in_headers:
        check_headers({"X-A": value})
    with pytest.raises(CoreError, match="The query parameter 'a' is ") as in_query:
        encode_query({"a": value})

    assert fix in str(in_headers.value)
    assert fix in str(in_query.value)


def test_a_number_that_python_does_not_print_is_refused() -> None:
    with pytest.raises(CoreError, match="too many digits"):
        check_headers({"X-A": 10**5000})


def test_a_list_is_one_query_parameter_per_item_and_no_header() -> None:
    for items in ([1, None, "b"], (1, None, "b"), UserList([1, None, "b"]), Array([1, None, "b"])):
        assert encode_query({"a": items, "c": None, "d": []}) == "a=1&a=b"
        with pytest.raises(CoreError, match="The header 'X-A' is "):
            check_headers({"X-A": items})


def test_plain_json_needs_no_further_module() -> None:
    code = (
        "import sys\n"
        "from airflow_okta_workflows.core.flows.encoding import encode_payload\n"
        "encode_payload({'a': [1, 2.5, None, True, 'x', {'b': []}]}, 'POST')\n"
        "assert 'airflow_okta_workflows.core.flows.values' not in sys.modules\n"
        "import datetime\n"
        "encode_payload({'a': datetime.date(2026, 1, 1)}, 'POST')\n"
        "print(*[name for name in ('numpy', 'pandas', 'pydantic', 'attrs', 'pendulum') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""


def test_each_rule_says_what_becomes_of_a_value_or_what_to_use_instead() -> None:
    for rule in VALUE_RULES:
        assert bool(rule.convert) is bool(rule.becomes) is not bool(rule.fix), rule.types


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.datetimes()
    | st.times() | st.timedeltas() | st.decimals() | st.uuids() | st.fractions() | st.complex_numbers()
    | st.sampled_from([*Color, *Level, Person, object()]) | st.builds(jinja2.Undefined),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.uuids(), inner) | st.tuples(inner)
    | inner.map(Proxy) | inner.map(Array) | inner.map(lambda value: Person(value, value)) | st.lists(inner).map(iter),
)  # fmt: skip


def refused(check: Any, value: Any) -> CoreError | None:
    try:
        check(value)
    except CoreError as error:
        return error
    return None


@given(VALUES)
def test_any_value_is_sent_or_refused_with_a_reason(value: Any) -> None:
    if error := refused(lambda payload: encode_payload(payload, "POST"), [value]):
        assert error.hint
        assert "payload[0]" in error.message
    for check in (check_headers, encode_query):
        error = refused(check, {"x-a": value})
        assert error is None or error.hint
