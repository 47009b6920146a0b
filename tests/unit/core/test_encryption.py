"""Sealed texts: they open with the same key for the same purpose, whole, and in no other way."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.encryption import decrypt, encrypt

KEY = secrets.token_bytes(32)


@given(st.binary(max_size=500), st.binary(max_size=50))
def test_any_data_comes_back_for_its_context(data: bytes, context: bytes) -> None:
    assert decrypt(encrypt(data, KEY, context), KEY, context) == data


def test_nothing_of_it_can_be_read_and_no_two_are_alike() -> None:
    one, other = (encrypt(b"a well-known response", KEY, b"context") for _ in range(2))

    assert one != other
    assert b"well-known" not in one + other
    assert b"context" not in one + other


@pytest.mark.parametrize(
    ("key", "context"),
    [(secrets.token_bytes(32), b"a"), (KEY, b"b"), (KEY, b""), (KEY[:16], b"a")],
    ids=["another key", "another context", "no context", "half the key"],
)
def test_another_key_or_context_does_not_open_it(key: bytes, context: bytes) -> None:
    assert decrypt(encrypt(b"data", KEY, b"a"), key, context) is None


@given(st.data())
def test_any_damage_is_found(data: st.DataObject) -> None:
    sealed = bytearray(encrypt(b"some data", KEY, b"a"))
    place, mask = data.draw(st.integers(0, len(sealed) - 1)), data.draw(st.integers(1, 255))
    sealed[place] ^= mask

    assert decrypt(bytes(sealed), KEY, b"a") is None


@pytest.mark.parametrize("length", range(37))
def test_what_is_cut_off_does_not_open(length: int) -> None:
    sealed = encrypt(b"some data", KEY, b"a")

    assert len(sealed) == 37
    assert decrypt(sealed[:length], KEY, b"a") is None
    assert decrypt(sealed + b"\0", KEY, b"a") is None
