"""What is published of an org's responses has lost whatever tells whose org it is, and stays comparable."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.conformance.normalized import Normalizer
from airflow_okta_workflows.emulator.rules import RULES

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2FjbWUifQ.c2lnbmF0dXJlX29mX3RoaXM"


def normalizer() -> Normalizer:
    made = Normalizer()
    made.hide([TOKEN])
    made.learn("https://acme.okta.com", "<domain>")
    made.learn("acme.okta.com", "<domain>")
    made.learn("acme", "<org>")
    made.learn("0oa1b2c3d4e5f6g7h8i9", "<client>")
    made.learn("abc", "<short>")
    return made


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("The client_assertion token is expired.", "The client_assertion token is expired."),
        ("ask ada.lovelace+x@example.org now", "ask <email> now"),
        ("https://acme.okta.com/oauth2/v1/token", "<domain>/oauth2/v1/token"),
        ("at HTTPS://ACME.okta.com", "at <domain>"),
        ("ACME's org, and Acmeville", "<org>'s org, and Acmeville"),
        ("see https://help.example.com/a?b=c.", "see <url>"),
        ("host login.example.com:8443 and 10.1.2.3:80", "host <host> and <ip>"),
        ("from fe80:0:0:0:1:2:3:4 or 2001:db8::1:2", "from <ip> or <ip>"),
        ("client 0oa1b2c3d4e5f6g7h8i9", "client <client>"),
        ("errorId oaeQ3kTz8VbRSeh9wKjLmNpQr", "errorId <id>"),
        ("run 01234567-89ab-cdef-0123-456789abcdef", "run <id>"),
        ("at 2026-11-27T14:07:34.123Z, Fri, 27 Nov 2026 14:07:34 GMT", "at <time>, <time>"),
        ("at Nov 28, 2026 14:07:34; Sat Nov 28 01:20:48 UTC 2026", "at <time>; <time>"),
        ("at 11/28/2026 1:45 PM; 28 November 2026 at 9:05; 2026/11/28 01:02", "at <time>; <time>; <time>"),
        ("at 2026-11-27 14:07:34 UTC; Friday, 27-Nov-2026 14:07:34 +0100; 14:07", "at <time>; <time>; <time>"),
        ("from fe80::1, ::1, fe80::1%eth0 or 2600:1f18::", "from <ip>, <ip>, <ip> or <ip>"),
        ("14:07 first, 14:07 PDT", "<time> first, <time>"),
        ("from [::1]:3128", "from [<ip>]:<number>"),
        ("at b\u00fccher.example.com", "at <host>"),
        ("number 1790000000, flow 4821", "number <number>, flow <number>"),
        ("ref 3f9a8b7c, request 9xK2mQ1p, flow_48213", "ref <id>, request <id>, <id>"),
        ("E0000047, OAuth 2.0, RS256, SHA-256, Ed25519", "E0000047, OAuth 2.0, RS256, SHA-256, Ed25519"),
        ("status 404 after 60 s", "status 404 after 60 s"),
        ("scope okta.workflows.invoke.manage", "scope okta.workflows.invoke.manage"),
        ("java JSONDecodeError", "java <error>"),
        (f"Bearer {TOKEN}", "Bearer ***"),
        (f"Bearer {TOKEN.replace('.', '%2e')}", "Bearer ***"),
        ("abc\r\ndef\x00", "abc def"),
        ("", ""),
    ],
)
def test_what_is_kept_of_a_string(text: str, kept: str) -> None:
    assert normalizer().text(text) == kept


def test_a_long_string_is_cut_after_it_is_searched() -> None:
    text = normalizer().text("a " * 120 + TOKEN + " b" * 5000)

    assert len(text) <= 250
    assert "eyJ" not in text


def test_a_value_keeps_its_form() -> None:
    deep = [[[[[[[1]]]]]]]
    value = {"a": [404, True, None, 2.5, 12_345_678], "ada@example.com": "x", "deep": deep, "many": list(range(100))}
    kept = normalizer().value(value)

    assert kept["a"] == [404, True, None, "<number>", "<number>"]
    assert kept["<email>"] == "x"
    assert "…" in json.dumps(kept["deep"], ensure_ascii=False)
    assert len(kept["many"]) == 30


def test_an_integer_is_kept_only_if_it_is_no_id() -> None:
    value = {"orgId": 48213, "flo": {"id": 7}, "expires_in": 3600, "statusCode": 42, "code": 503, "limit": 10**9}

    assert normalizer().value(value) == {
        "orgId": "<number>",
        "flo": {"id": "<number>"},
        "expires_in": 3600,
        "statusCode": 42,
        "code": 503,
        "limit": "<number>",
    }


@pytest.mark.parametrize("rule", RULES)
def test_the_expected_observations_are_normalized_already(rule: str) -> None:
    expected = RULES[rule].expected

    assert Normalizer().value(expected) == expected


_PIECES = st.sampled_from(
    [
        *("acme", "acme.okta.com", "0oa1b2c3d4e5f6g7h8i9", "ada@example.com", "https://x.example/", "10.0.0.1"),
        *("TypeError", "2026-11-27", "<id>", "<", ">", "%41", "\\u0041", "…", ":", "@", ".", "-", " ", "a1b2c3d4e5f6"),
        *("Nov 28", "14:07:34", "PM", "11/28/2026", "::1", "fe80", "4821", "E0000047", "UTC", "/", ","),
    ]
)


@given(st.lists(st.one_of(_PIECES, st.text(max_size=20)), max_size=12).map("".join))
def test_a_normalized_string_stays_as_it_is(text: str) -> None:
    once = normalizer().text(text)

    assert normalizer().text(once) == once


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_secret_gets_through(before: str, after: str) -> None:
    text = normalizer().text(f"{before} {TOKEN} acme.okta.com 0oa1b2c3d4e5f6g7h8i9 {after}")

    for secret in (TOKEN, TOKEN[:20], "acme", "0oa1b2"):
        assert secret not in text.replace(before, "").replace(after, "") or secret in before + after


@given(st.text(alphabet="ab1.:@-/ ", max_size=20_000))
def test_no_string_takes_long(text: str) -> None:
    normalizer().text(text)
