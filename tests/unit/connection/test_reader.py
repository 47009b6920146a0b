from __future__ import annotations

import contextlib
import json
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.connection.reader import parse_connection
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.exceptions import OktaConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings

JWK = generate_jwk()
ALIAS = "0123456789abcdef0123456789abcdef"


def connection(**fields: Any) -> SimpleNamespace:
    extra = fields.pop("extra", {})
    defaults: dict[str, Any] = {
        "conn_id": "okta",
        "conn_type": "okta_workflows",
        "host": "acme.okta.com",
        "login": "0oaabc",
        "password": json.dumps(JWK),
        "schema": None,
        "port": None,
    }
    return SimpleNamespace(**{**defaults, **fields}, extra=json.dumps(extra), decoded=extra)


def read(**fields: Any) -> OktaWorkflowsSettings:
    one = connection(**fields)
    return parse_connection(one, one.decoded)


def faults(**fields: Any) -> tuple[str, ...]:
    with pytest.raises(OktaConfigurationError) as caught:
        read(**fields)
    assert JWK["d"] not in str(caught.value)
    return caught.value.problems


def test_three_fields_are_enough() -> None:
    found = read(extra={"flows": {"onboard": ALIAS}})

    assert found.token_url == "https://acme.okta.com/oauth2/v1/token"
    assert found.workflows.url == "https://acme.workflows.okta.com"
    assert found.flows["onboard"].url == f"https://acme.workflows.okta.com/api/flo/{ALIAS}/invoke"
    assert found.allowed == {found.workflows}
    assert found.key_id == JWK["kid"]
    assert found.scope == "okta.workflows.invoke.manage"
    assert (found.assertion_lifetime, found.connect_timeout, found.read_timeout) == (300, 10, 65)
    assert (found.rate_limit_wait, found.max_response_bytes, found.verify) == (120, 10 * 1024 * 1024, True)


def test_every_field_is_read_as_a_form_stores_it(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    found = read(
        host="https://Login.Acme.com/",
        password=pem_of(JWK),
        extra={
            "key_id": "k1",
            "key_passphrase": " with blanks ",
            "algorithm": "es256",
            "workflows_host": "acme.workflows.okta.com",
            "flows": json.dumps({"a": ALIAS, "b": f"https://other.example/api/flo/{ALIAS}/invoke"}),
            "allowed_hosts": "one.example, two.example:8443,",
            "scope": " okta.workflows.invoke.manage  okta.users.read ",
            "assertion_lifetime": "600",
            "connect_timeout": "2.5",
            "read_timeout": 90,
            "verify": str(bundle),
            "http_proxy": "http://user:pw@proxy:3128",
            "rate_limit_wait": 0,
            "max_response_bytes": "1000",
            "insecure_http": "false",
            "key_file": "",
            "private_key": None,
        },
    )

    assert found.domain.url == "https://login.acme.com"
    assert (found.key_id, found.algorithm) == ("k1", "ES256")
    assert found.passphrase is not None
    assert found.passphrase.reveal() == " with blanks "
    assert {origin.url for origin in found.allowed} == {
        "https://acme.workflows.okta.com",
        "https://other.example",
        "https://one.example",
        "https://two.example:8443",
    }
    assert found.scope == "okta.workflows.invoke.manage okta.users.read"
    assert (found.assertion_lifetime, found.connect_timeout, found.read_timeout) == (600, 2.5, 90)
    assert found.http_proxy is not None
    assert found.http_proxy.reveal() == "http://user:pw@proxy:3128"
    assert (found.verify, found.rate_limit_wait, found.max_response_bytes) == (str(bundle), 0, 1000)


@pytest.mark.parametrize("value", [json.dumps(JWK), pem_of(JWK), JWK], ids=["jwk text", "pem", "jwk object"])
def test_the_key_may_stand_in_extra(value: Any) -> None:
    assert read(password=None, extra={"private_key": value}).signing_key.algorithm == "ES256"


def test_the_key_may_be_a_file(tmp_path: Path) -> None:
    import base64

    pem, der = tmp_path / "key.pem", tmp_path / "key.der"
    pem.write_text(pem_of(JWK))
    der.write_bytes(base64.b64decode("".join(pem_of(JWK).splitlines()[1:-1])))

    for path in (pem, der):
        assert read(password="", extra={"key_file": str(path)}).signing_key.algorithm == "ES256"


def test_every_fault_is_found_at_once() -> None:
    found = faults(
        host="acme-admin.okta.com",
        login=" ",
        password="nonsense",
        extra={
            "algorithm": "HS256",
            "flows": {"a": 5, "b": "two words", "c": "http://evil.example/api/flo/x/invoke", " ": ALIAS},
            "allowed_hosts": ["ftp://x"],
            "assertion_lifetime": 7200,
            "connect_timeout": "soon",
            "verify": "/no/such/bundle",
            "http_proxy": "socks5://user:pw@proxy",
            "insecure_http": "maybe",
            "key_id": ["x"],
        },
    )

    for sentence in (
        "acme.okta.com",
        "Client ID (Login) is missing",
        "neither a PEM",
        "HS256",
        "'a' is of type int",
        "'b' has neither",
        "'c' is http://evil.example",
        "' ' is empty",
        "'ftp'",
        "from 60 to 3600",
        "'soon'",
        "/no/such/bundle",
        "http_proxy",
        "'maybe'",
        "key_id is of type list",
    ):
        assert any(sentence in fault for fault in found), (sentence, found)
    assert not any("pw" in fault for fault in found)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"host": None}, "Okta domain (Host) is missing"),
        ({"host": "http://acme.okta.com"}, "clear text"),
        ({"host": "login.acme.com"}, "workflows_host is missing"),
        ({"schema": "ftp"}, "Schema is 'ftp'"),
        ({"login": "0oa bc"}, "no client id"),
        ({"password": None}, "private key is missing"),
        ({"extra": {"private_key": "x", "key_file": "y"}}, "more than one private key"),
        ({"password": None, "extra": {"private_key": 5}}, "private_key in extra is of type int"),
        ({"password": None, "extra": {"key_file": "/no/such/key"}}, "No such file"),
        ({"password": None, "extra": {"key_file": "/tmp"}}, "Is a directory"),
        ({"password": None, "extra": {"key_file": "a\0b"}}, "cannot be read"),
        ({"extra": {"workflows_host": "http://acme.workflows.okta.com"}}, "clear text"),
        ({"extra": {"flows": "[1"}}, "flows is not a JSON object"),
        ({"extra": {"flows": [1]}}, "flows is not a JSON object"),
        ({"extra": {"allowed_hosts": 5}}, "allowed_hosts is not a list"),
        ({"extra": {"allowed_hosts": "http://a.example"}}, "An allowed host is http://a.example: the token would"),
        ({"extra": {"allowed_hosts": ["a.example", "http://10.0.0.1:81"]}}, "http://10.0.0.1:81: the token would"),
        ({"extra": {"key_id": "x" * 101}}, "key_id has a value of 101 characters"),
        ({"extra": {"key_id": "two words"}}, "is not a kid"),
        ({"extra": {"scope": "okta.users.read x\x1b[2J"}}, "is not a scope"),
        ({"login": "x" * 101}, "it has 101 characters"),
        ({"login": "'0oa1b2c3'"}, "is not a client id"),
        ({"login": '"0oa1b2c3"'}, "is not a client id"),
        ({"login": "ada@acme.com"}, "is not a client id"),
        ({"login": "https://acme-admin.okta.com/admin/app/oidc_client/instance/0oa1b2c3"}, "is not a client id"),
        ({"login": JWK["d"]}, "The Client ID (Login) has a part of the private key in it"),
        ({"extra": {"scope": "s", "key_id": JWK["d"]}}, "key_id has a part of the private key in it"),
        ({"extra": {"flows": {"a": JWK["d"]}}}, "flows has a part of the private key in it"),
        ({"extra": {"flows": {"a\nb": ALIAS}}}, "A name in flows is a value of 3 characters"),
        ({"password": None, "extra": {"key_file": json.dumps(JWK)}}, "key_file takes the path of a file"),
        ({"password": None, "extra": {"key_file": "~no-such-user/key"}}, "there is no home directory for its ~"),
        ({"extra": {"verify": "x" * 5000}}, "a CA bundle that does not exist: a value of 5000 characters"),
        ({"extra": {"verify": "a\0b"}}, "a CA bundle that does not exist"),
        ({"extra": {"read_timeout": float("inf")}}, "read_timeout is inf"),
        ({"extra": {"read_timeout": "1e999"}}, "read_timeout is inf"),
        ({"extra": {"max_response_bytes": 0}}, "from 1 to 2,147,483,648"),
        ({"extra": {"read_timeout": True}}, "read_timeout"),
        ({"extra": {"read_timeout": "nan"}}, "read_timeout"),
        ({"extra": {"scope": {}}}, "scope is of type dict"),
        ({"extra": [1]}, "Extra is not a JSON object"),
    ],
)
def test_each_fault_has_its_sentence(fields: dict[str, Any], sentence: str) -> None:
    assert any(sentence in fault for fault in faults(**fields))


OTHER = generate_jwk()
ANYWHERE: dict[str, tuple[dict[str, Any], str]] = {
    "the description, as a PEM": ({"description": f"the key: {pem_of(OTHER)}"}, "Description"),
    "the description, as a JWK": ({"description": json.dumps(OTHER)}, "Description"),
    "an unknown member": ({"extra": {"backup": pem_of(OTHER)}}, "'backup' in extra"),
    "an unknown member, as an object": ({"extra": {"backup": {"old": [OTHER]}}}, "'backup' in extra"),
    "a known member, as an object": ({"extra": {"flows": {"a": ALIAS, "b": OTHER}}}, "flows"),
    "key_file": ({"extra": {"key_file": json.dumps(OTHER)}}, "key_file"),
    "the whole of extra": ({"extra": OTHER}, "Extra"),
}


@pytest.mark.parametrize("password", [json.dumps(JWK), ""], ids=["with a key", "without a key"])
@pytest.mark.parametrize("name", ANYWHERE)
def test_a_key_in_another_field_is_told_and_never_shown(name: str, password: str) -> None:
    fields, field = ANYWHERE[name]
    problems = faults(**fields, password=password)

    if name == "key_file" and not password:
        assert problems == (
            f"key_file has a value of {len(json.dumps(OTHER))} characters that is not a path. key_file takes the path"
            " of a file. Paste the key itself into Private key (Password). (OKW-1102)",
        )
    else:
        assert problems[0].startswith(f"{field} has a private key in it (not shown). Remove it there")
    assert not [problem for problem in problems if OTHER["d"] in problem or OTHER["x"] in problem]
    assert len(problems) <= 3


def test_an_extra_that_is_a_key_and_no_json_is_told() -> None:
    one = SimpleNamespace(**{**vars(connection()), "extra": pem_of(OTHER)})
    with pytest.raises(OktaConfigurationError) as caught:
        parse_connection(one, {})

    assert "Extra has a private key in it (not shown)." in str(caught.value)


def test_an_extra_that_airflow_could_not_read_is_a_fault() -> None:
    one = connection()
    one.extra = "{not json"

    with pytest.raises(OktaConfigurationError, match="Extra is not valid JSON"):
        parse_connection(one, {})


def test_a_connection_of_another_type_is_refused() -> None:
    with pytest.raises(OktaConfigurationError, match="of type 'http'"):
        read(conn_type="http")


def test_a_bad_key_is_found_with_the_other_faults_or_when_it_is_used() -> None:
    lines = pem_of(JWK).splitlines()
    damaged = "\n".join([lines[0], lines[1][:-8] + "AAAAAAAA", *lines[2:]])

    assert any("damaged" in fault for fault in faults(login="", password=damaged))


def test_loopback_needs_neither_flag_nor_workflows_host() -> None:
    found = read(host="http://127.0.0.1:8080")

    assert found.workflows == found.domain
    assert read(host="127.0.0.1", schema="http", port=8081).token_url == "http://127.0.0.1:8081/oauth2/v1/token"


def test_plain_http_elsewhere_is_a_warning_if_it_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = read(
            host="http://okta:8080",
            extra={
                "insecure_http": True,
                "workflows_host": "http://okta:8081",
                "allowed_hosts": ["other:81", "http://third:82", "10.0.0.1"],
                "flows": {"a": f"http://flows:83/api/flo/{ALIAS}/invoke"},
                "verify": False,
            },
        )

    assert {origin.url for origin in found.allowed} == {
        "http://okta:8081", "http://other:81", "https://other:81", "http://third:82", "https://10.0.0.1",
        "http://10.0.0.1", "http://flows:83",
    }  # fmt: skip
    for url in ("okta:8080", "okta:8081", "other:81", "third:82", "flows:83", "10.0.0.1"):
        assert f"http://{url}: tokens travel in clear text" in caplog.text
    assert "verify is false" in caplog.text


def test_no_flow_of_a_task_goes_over_plain_http_without_the_flag() -> None:
    url = f"http://acme.workflows.okta.com/api/flo/{ALIAS}/invoke"

    with pytest.raises(CoreError, match="may not receive"):
        read().find_flow(url)
    with pytest.raises(CoreError, match="may not receive"):
        read(extra={"insecure_http": True}).find_flow(url)
    allowed = read(extra={"insecure_http": True, "allowed_hosts": "http://acme.workflows.okta.com"})
    assert allowed.find_flow(url).url == url


def test_an_unknown_field_is_a_warning_that_names_the_nearest(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read(extra={"workflow_host": "x", "zzzzzz": 1})

    assert "did you mean 'workflows_host'?" in caplog.text
    assert "Known: algorithm" in caplog.text


@pytest.mark.parametrize("name", ["private_key_path", "key_path", "PrivateKeyFile", "pem-key-file"])
def test_a_name_for_the_path_of_a_key_is_near_key_file(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read(extra={name: "/opt/okta.pem"})

    assert "did you mean 'key_file'?" in caplog.text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (pem_of(JWK)[:-40], "its END line is missing"),
        (json.dumps(JWK)[:50], "not a whole JSON object"),
        ("", "is empty"),
    ],
    ids=["PEM", "JWK", "empty"],
)
def test_a_problem_of_the_key_in_a_file_names_the_file(content: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "okta.pem"
    path.write_text(content)
    (told,) = faults(password="", extra={"key_file": str(path)})

    assert problem in told
    assert f". In {str(path)!r}: " in told


@pytest.mark.parametrize("value", [["a"], {"a": "b"}, True])
def test_a_passphrase_that_is_no_string_is_refused_by_its_type(value: Any) -> None:
    (told,) = faults(extra={"key_passphrase": value})

    assert told.startswith(f"key_passphrase is of type {type(value).__name__}.")


def test_a_passphrase_may_be_a_number() -> None:
    found = read(extra={"key_passphrase": 12345})

    assert found.passphrase
    assert found.passphrase.reveal() == "12345"


def test_settings_show_no_secret_and_name_all_of_them() -> None:
    found = read(extra={"key_passphrase": "passphrase-1", "http_proxy": "http://user:pw@proxy"})

    for secret in (JWK["d"], "passphrase-1", "http://user:pw@proxy"):
        assert secret not in repr(found)
        assert secret in found.secret_forms()


def test_an_identity_is_who_may_share_a_token() -> None:
    base = read()
    others = [
        read(host="other.okta.com"),
        read(login="0oaother"),
        read(extra={"scope": "okta.users.read"}),
        read(extra={"key_id": "other"}),
        read(extra={"key_passphrase": "x"}),
        read(password=json.dumps(generate_jwk())),
    ]

    assert read(conn_id="another", extra={"read_timeout": 5}).token_cache_id == base.token_cache_id
    assert len({base.token_cache_id, *(one.token_cache_id for one in others)}) == 7


FIELDS = ["private_key", "key_id", "key_file", "key_passphrase", "algorithm", "workflows_host", "flows", "allowed_hosts",
          "scope", "assertion_lifetime", "connect_timeout", "read_timeout", "verify", "http_proxy", "rate_limit_wait",
          "max_response_bytes", "insecure_http", "other"]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["true", "http://x", "a:1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.text() | st.none(), st.text() | st.none(), st.text())
def test_any_connection_is_settings_or_one_error(
    extra: dict[str, Any], host: str | None, login: str | None, password: str
) -> None:
    # Anything but the one error would fail the test by itself.
    with contextlib.suppress(OktaConfigurationError):
        read(host=host, login=login, password=password, extra=extra)
