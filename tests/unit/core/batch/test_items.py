"""What a batch is given, and what it makes of it: bodies that can be sent, and keys that stay."""

from __future__ import annotations

import json
from collections import UserDict
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.batch.items import (
    BadItem,
    BatchItem,
    bad_items_error,
    check_unchanged,
    list_rows,
    parse_items,
)
from airflow_okta_workflows.core.errors import CoreError, ErrorKind
from airflow_okta_workflows.core.flows.expressions import Expression

BATCH = str(UUID(int=1))
PEOPLE = [{"email": "ada@example.com", "n": 1}, {"email": "bob@example.com", "n": 2}]
SECRET = "s3cret-4711"


def items(payloads: Any, item_key: str | None = None, batch: str = BATCH) -> list[BatchItem]:
    parsed = list(parse_items(list_rows(payloads), batch, Expression(item_key, "item_key") if item_key else None))
    bad = [one.problem for one in parsed if isinstance(one, BadItem)]
    if bad:
        raise bad_items_error(bad[:5], len(bad), len(parsed))
    return [one for one in parsed if isinstance(one, BatchItem)]


def keys(payloads: Any, item_key: str | None = None, batch: str = BATCH) -> list[str]:
    return [item.key for item in items(payloads, item_key, batch)]


def refusal(payloads: Any, item_key: str | None = None) -> str:
    with pytest.raises(CoreError) as caught:
        items(payloads, item_key)
    assert caught.value.kind is ErrorKind.CONFIGURATION
    return str(caught.value)


# ---- what is sent


def test_items_keep_their_order_and_are_encoded() -> None:
    first, second = items(PEOPLE)

    assert (first.index, second.index) == (0, 1)
    assert (first.name, second.name) == (None, None)
    assert [item.name for item in items(PEOPLE, "n")] == [1, 2]
    assert first.body == b'{"email":"ada@example.com","n":1}'
    assert "ada" not in repr(first)


@pytest.mark.parametrize(
    "payloads",
    [
        tuple(PEOPLE),
        (person for person in PEOPLE),
        json.dumps(PEOPLE),
        json.dumps(PEOPLE, indent=2).encode(),
        [json.dumps(person) for person in PEOPLE],
        [UserDict(person) for person in PEOPLE],
    ],
    ids=["tuple", "generator", "text", "bytes", "texts", "XComs"],
)
def test_payloads_come_in_many_forms_and_are_the_same_items(payloads: Any) -> None:
    assert items(payloads) == items(PEOPLE)


@pytest.mark.parametrize(
    ("payload", "body"),
    [({}, b"{}"), ([], b"[]"), (0, b"0"), (False, b"false"), ([None], b"[null]"), ("{}", b"{}"), ('"a"', b'"a"')],
)
def test_whatever_is_json_can_be_sent(payload: Any, body: bytes) -> None:
    assert items([payload])[0].body == body


def test_nothing_to_send_is_no_fault() -> None:
    assert items([]) == []


# ---- keys


def test_keys_stay_over_the_tries_of_a_task() -> None:
    assert keys(PEOPLE) == keys(json.loads(json.dumps(PEOPLE)))
    assert keys(PEOPLE, "email") == keys(PEOPLE, "email")


def test_keys_are_told_from_each_other_by_batch_place_and_content() -> None:
    first, second = keys([{"a": 1}, {"a": 1}])
    others = [*keys([{"a": 2}]), *keys([{"a": "1"}]), *keys([{"a": 1}], batch=str(UUID(int=2)))]

    assert len({first, second, *others}) == 5
    assert all(UUID(key) for key in others)


def test_with_item_key_nothing_but_its_value_makes_the_key() -> None:
    ada, bob = keys(PEOPLE, "email")

    assert keys(list(reversed(PEOPLE)), "email") == [bob, ada]
    assert keys([{"email": "ada@example.com", "n": 7, "more": []}], "email") == [ada]
    assert keys([{"who": "ada@example.com"}], "who") == [ada]
    assert keys([{"email": "ada@example.com"}], "email", str(UUID(int=2))) != [ada]


def test_a_number_is_not_the_text_of_it() -> None:
    assert len(set(keys([{"id": 1}, {"id": "1"}, {"id": -1}, {"id": 10**30}], "id"))) == 4


@pytest.mark.parametrize(
    "payload", ['{"person": ["ada"]}', {"person": ["ada"]}, {"person": ("ada",)}, UserDict({"person": ["ada"]})]
)
def test_item_key_selects_from_what_is_sent_however_it_was_given(payload: Any) -> None:
    assert keys([payload], "person[0]") == keys([{"p": "ada"}], "p")


# ---- refusals


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (None, "null"),
        ("null", "null"),
        (SECRET, "a string that is not JSON"),
        ("{" + SECRET, "a string that is not JSON"),
        ({"a": float("nan"), "b": SECRET}, "payload.a is nan"),
        ({"a": [1, float("inf")]}, "payload.a[1] is inf"),
        ('{"a": NaN}', "payload.a is nan"),
        ({"a": {SECRET}}, "payload.a is of type set"),
        ({"a": SECRET.encode()}, "payload.a is of type bytes"),
        ({"x-okta-workflows-b": SECRET}, "reserved"),
        ('{"X-Okta-Workflows-b": 1}', "reserved"),
        ({5: SECRET}, "must be strings"),
    ],
)
def test_what_cannot_be_sent_is_named_by_its_place_and_not_shown(payload: Any, sentence: str) -> None:
    said = refusal([{}, {}, payload, {}])

    assert "\nPayload 2: " in said
    assert sentence in said
    assert "Nothing was sent.\n" in said
    assert SECRET not in said


def test_the_first_five_are_named_and_the_others_counted() -> None:
    said = refusal([{"n": n} if n % 2 else None for n in range(16)])

    assert [f"Payload {n}:" in said for n in range(0, 16, 2)] == [True] * 5 + [False] * 3
    assert "And 3 more." in said
    assert "more." not in refusal([None] * 5)


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        ({}, "gives NoneType"),
        ({"id": ""}, "gives an empty text"),
        ({"id": True}, "gives bool"),
        ({"id": 1.5}, "gives float"),
        ({"id": [SECRET]}, "gives list"),
        ({"id": {"a": SECRET}}, "gives dict"),
        ([SECRET], "gives NoneType"),
    ],
)
def test_an_item_key_gives_a_text_or_a_whole_number(payload: Any, sentence: str) -> None:
    said = refusal([{"id": 1}, payload], "id")

    assert "Payload 1: item_key 'id' " + sentence in said
    assert SECRET not in said


def test_an_item_key_that_fails_on_a_payload_says_so() -> None:
    said = refusal([{"id": SECRET}, {"id": 5}], "length(id)")

    assert "Payload 1: item_key 'length(id)' cannot be evaluated over it" in said
    assert SECRET not in said


def test_two_payloads_with_one_item_key_are_both_named() -> None:
    said = refusal([{"id": SECRET}, {"id": "b"}, {"id": SECRET}, {"id": SECRET}], "id")

    assert "Payloads 0 and 2 have the same item_key." in said
    assert "Payloads 0 and 3 have the same item_key." in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "payloads",
    [None, 5, True, {"a": SECRET}, json.dumps({"a": SECRET}), "5", '"123"', json.dumps(json.dumps(PEOPLE)),
     bytearray(b"[1]"), {"1", "2"}, frozenset({1})],
)  # fmt: skip
def test_payloads_are_a_list(payloads: Any) -> None:
    said = refusal(payloads)

    assert "not a list" in said
    assert SECRET not in said


@pytest.mark.parametrize("payloads", [SECRET, "", "[1,", b"\xff", b"", "[" * 100_000])
def test_a_text_that_is_not_json_is_refused(payloads: Any) -> None:
    said = refusal(payloads)

    assert "a string that is not JSON" in said
    assert SECRET not in said


# ---- another try


def test_items_that_are_missing_are_counted_and_refused() -> None:
    check_unchanged([])
    with pytest.raises(CoreError, match="2 that were sent are not among them") as caught:
        check_unchanged(["1", "2"])

    assert "clear the task" in caught.value.hint


# ---- anything

names = st.text(st.characters(codec="utf-8"), max_size=9)
plain = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    plain | st.none() | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
# No texts, which would be taken for JSON text, and no null.
payloads = plain | st.lists(values, max_size=3) | st.dictionaries(names, values, max_size=3)


@given(st.lists(payloads, max_size=5))
def test_any_json_list_survives(payloads: list[Any]) -> None:
    read = items(payloads)

    assert [json.loads(item.body) for item in read] == payloads
    assert [item.index for item in read] == list(range(len(payloads)))
    assert len({item.key for item in read}) == len(payloads)
    assert items(json.dumps(payloads)) == items([json.dumps(payload) for payload in payloads]) == read


@given(
    st.lists(names.filter(bool) | st.integers(), unique_by=json.dumps, max_size=5), st.randoms(use_true_random=False)
)
def test_any_item_keys_make_keys_that_follow_them(ids: list[Any], random: Any) -> None:
    known = dict(zip(map(json.dumps, ids), keys([{"id": one} for one in ids], "id"), strict=True))
    shuffled = random.sample(ids, len(ids))

    assert len(set(known.values())) == len(ids)
    assert keys([{"id": one, "n": n} for n, one in enumerate(shuffled)], "id") == [
        known[json.dumps(one)] for one in shuffled
    ]


@given(values | st.lists(values | st.binary() | st.floats() | st.dates() | st.text(), max_size=4))
def test_any_value_is_read_or_refused(payloads: Any) -> None:
    try:
        read = items(payloads)
    except CoreError:
        return
    assert len(read) == len(json.loads(payloads) if isinstance(payloads, str) else payloads)
