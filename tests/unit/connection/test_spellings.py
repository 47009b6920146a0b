"""Connections in which names and values are written otherwise than the documentation writes them."""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from airflow.providers.common.compat.sdk import redact
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.connection.http_guard import gives_secrets_away
from airflow_okta_workflows.connection.reader import parse_connection
from airflow_okta_workflows.connection.values import decoded, items
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.exceptions import OktaConfigurationError
from tests.unit.connection.test_reader import ALIAS, FIELDS, JSON, JWK, connection, faults, read


def parsed(extra: Any, text: str | None = None, **fields: Any) -> Any:
    """Return the settings for an extra that Airflow has decoded."""
    one = connection(**fields)
    one.extra = json.dumps(extra) if text is None else text
    return parse_connection(one, extra)


@pytest.mark.parametrize(
    "label", ["Okta Workflows", "okta-workflows", "OKTA_WORKFLOWS", " okta_workflows ", "OktaWorkflows"]
)
def test_the_label_of_the_type_is_the_type(label: str) -> None:
    assert read(conn_type=label).client_id == "0oaabc"


@pytest.mark.parametrize("other", ["http", "okta", "okta_workflows2", "workflows"])
def test_another_type_is_told(other: str) -> None:
    with pytest.raises(OktaConfigurationError, match=f"is of type '{other}', not 'okta_workflows'"):
        read(conn_type=other)


@pytest.mark.parametrize("missing", [None, "", " "])
def test_a_type_that_is_missing_is_told(missing: str | None) -> None:
    with pytest.raises(
        OktaConfigurationError, match=r"(?s)'okta' has no type.*Use a connection of type Okta Workflows"
    ):
        read(conn_type=missing)


@pytest.mark.parametrize("times", [1, 2])
def test_an_extra_that_is_encoded_again_is_read(times: int) -> None:
    extra: Any = {"key_id": "k1", "flows": {"hello": ALIAS}}
    for _ in range(times):
        extra = json.dumps(extra)

    settings = parsed(extra)
    assert (settings.key_id, list(settings.flows)) == ("k1", ["hello"])


@pytest.mark.parametrize(
    ("extra", "text", "sentence"),
    [
        ([], None, "not a JSON object but a list"),
        ([{"key_id": "x"}], None, "not a JSON object but a list"),
        ("key_id=x", None, "not a JSON object but a string"),
        (5, None, "not a JSON object but a single value"),
        ({}, "{'key_id': 'x'}", "not valid JSON: Expecting property name"),
        ({}, '{"key_id": "x"', "not valid JSON: Expecting ',' delimiter (line 1, column 15)"),
        ({}, '{"private_key": "-----BEGIN\nabc"}', "a raw line break or tab (line 1)"),
        ({}, "[" * 100_000, "not valid JSON"),
    ],
)
def test_an_extra_that_is_no_object_says_what_it_is(extra: Any, text: str | None, sentence: str) -> None:
    with pytest.raises(OktaConfigurationError) as caught:
        parsed(extra, text, login="")

    assert caught.value.problems[0].startswith("Extra is not ")
    assert sentence in caught.value.problems[0]
    assert "Client ID" in caught.value.problems[1]


@pytest.mark.parametrize(
    ("name", "value", "field", "found"),
    [
        ("extra__okta_workflows__key_id", "k1", "key_id", "k1"),
        ("extra__okta_workflows__flows", json.dumps({"a": ALIAS}), "flows", ["a"]),
        ("keyId", "k1", "key_id", "k1"),
        ("kid", "k1", "key_id", "k1"),
        ("private_key_id", "k1", "key_id", "k1"),
        ("Key ID", "k1", "key_id", "k1"),
        ("key-id", "k1", "key_id", "k1"),
        ("OKTA_CLIENT_KEYID", "k1", "key_id", "k1"),
        ("scopes", ["okta.a", "okta.b"], "scope", "okta.a okta.b"),
        ("scopes", "okta.a,okta.b", "scope", "okta.a okta.b"),
        ("SCOPE", "['okta.a', 'okta.b']", "scope", "okta.a okta.b"),
        ("scope", "[okta.a, okta.b]", "scope", "okta.a okta.b"),
        ("scope", " [okta.a] ", "scope", "okta.a"),
        ("readTimeout", "90", "read_timeout", 90),
        ("alg", "es256", "algorithm", "ES256"),
        ("workflowsHost", "flows.acme.com", "workflows", "https://flows.acme.com"),
    ],
)
def test_another_name_of_a_field_is_read(name: str, value: Any, field: str, found: Any) -> None:
    result = getattr(read(extra={name: value}), field)

    assert (result.url if field == "workflows" else list(result) if field == "flows" else result) == found


def test_the_names_of_oktas_sdks_make_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    extra = {"orgUrl": "https://acme.okta.com", "clientId": "0oaabc", "privateKey": pem_of(JWK), "scopes": ["okta.a"]}
    with caplog.at_level(logging.WARNING):
        settings = read(host=None, login=None, password=None, extra=extra)

    assert (settings.token_url, settings.client_id, settings.scope) == (
        "https://acme.okta.com/oauth2/v1/token", "0oaabc", "okta.a",
    )  # fmt: skip
    assert settings.signing_key.algorithm == "ES256"
    for name in extra:
        assert f"'{name}' in extra is read as" in caplog.text


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("private_key", False),
        ("extra__okta_workflows__private_key", False),
        # Airflow before 3.3 shows these.
        ("private-key", True),
        ("Private Key", True),
        ("okta.client.private.key", True),
        ("privateKey", True),
        ("oktaClientPrivateKey", True),
    ],
)
def test_a_name_under_which_airflow_may_show_the_key_is_a_warning(name: str, warned: bool) -> None:
    settings = read(password=None, extra={"insecure_http": False, name: JWK})

    assert any("Airflow may show it in clear text" in warning for warning in settings.warnings) is warned
    assert warned or JWK["d"] not in str(redact({name: JWK}))


@pytest.mark.parametrize("placeholder", ["***", "[object Object]"])
@pytest.mark.parametrize(
    ("field", "rendered"),
    [
        ("password", "{0}"),
        ("password", '{{"kty": "EC", "d": "{0}"}}'),
        ("private_key", "{0}"),
        ("private_key", {"kty": "{0}", "d": "{0}"}),
        ("private_key", {"keys": [{"kty": "EC", "d": "{0}"}]}),
        ("key_passphrase", "{0}"),
        ("http_proxy", "{0}"),
        ("flows", "{0}"),
        ("flows", {"reset": "{0}"}),
        ("flows", '{{"reset": "{0}"}}'),
    ],
)
def test_what_a_form_showed_instead_of_a_value_is_told_as_that(field: str, rendered: Any, placeholder: str) -> None:
    value = _filled(rendered, placeholder)
    fields: dict[str, Any] = {"extra": {field: value}}
    if field == "password":
        fields = {"password": value}
    elif field == "private_key":
        fields["password"] = None
    with pytest.raises(OktaConfigurationError) as caught:
        read(**fields)

    place = {"password": "the Private key (Password)", "private_key": "private_key in extra"}.get(field, field)
    if field == "flows" and rendered != "{0}":
        place = "the flow 'reset'"
    assert f"'{placeholder}' is saved in {place}: Airflow shows that instead of a value." in str(caught.value)
    assert "What to change (OKW-1080): The value is lost. Enter it again." in str(caught.value)


def _filled(value: Any, placeholder: str) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, placeholder) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, placeholder) for one in value]
    return value.format(placeholder)


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({"key_id": "a", "kid": "b"}, "key_id more than once"),
        ({"kid": "a", "keyId": "b"}, "key_id more than once"),
        ({"private_key": pem_of(JWK), "privateKey": "x"}, "private_key more than once"),
        ({"privateKey": pem_of(JWK)}, "more than one private key"),
        ({"clientId": "0oaother"}, "Client ID (Login) is in extra, too"),
        ({"orgUrl": "https://other.okta.com"}, "Okta domain (Host) is in extra, too"),
    ],
)
def test_two_values_of_one_field_are_told(extra: dict[str, Any], sentence: str) -> None:
    assert any(sentence in fault for fault in faults(extra=extra))


def test_one_value_under_two_names_is_one_value() -> None:
    settings = read(extra={"key_id": "a", "kid": "a", "clientId": "0oaabc", "extra__okta_workflows__key_id": "a"})

    assert settings.key_id == "a"


def test_unknown_names_are_told_beside_the_problems() -> None:
    found = faults(password=None, extra={"private_keys": "x", "zzzzzz": 1})

    assert any("The private key is missing" in fault for fault in found)
    assert any("'private_keys' in extra is not known" in fault and "mean 'private_key'" in fault for fault in found)
    assert any("'zzzzzz' in extra is not known" in fault for fault in found)


def test_a_key_under_another_name_is_guarded_as_one() -> None:
    assert gives_secrets_away(None, {"privateKey": JWK})
    assert gives_secrets_away(None, {"extra__okta_workflows__private_key": "x"})
    assert not gives_secrets_away(None, {"insecure_http": False, "privateKey": JWK})
    assert not gives_secrets_away(None, {"keyId": "k1", "clientId": "0oaabc"})


HOSTS = {"https://a.example", "https://b.example:8443"}


@pytest.mark.parametrize(
    "value",
    [
        ["a.example", "b.example:8443"],
        ["a.example, b.example:8443"],
        "a.example,b.example:8443",
        "a.example; b.example:8443",
        "a.example\nb.example:8443\n",
        '["a.example", "b.example:8443"]',
        "['a.example', 'b.example:8443']",
        json.dumps(json.dumps(["a.example", "b.example:8443"])),
        '[\\"a.example\\", \\"b.example:8443\\"]',
        '"a.example,b.example:8443"',
    ],
)
def test_a_list_of_hosts_is_read_in_each_form(value: Any) -> None:
    allowed = read(extra={"allowed_hosts": value}).allowed

    assert {origin.url for origin in allowed} == {*HOSTS, "https://acme.workflows.okta.com"}


@pytest.mark.parametrize("value", [{"a.example": True}, [1], [["a.example"]], True, 5, '{"a": 1}'])
def test_what_is_no_list_of_hosts_is_told(value: Any) -> None:
    assert any("allowed_hosts is not a list" in fault for fault in faults(extra={"allowed_hosts": value}))


@pytest.mark.parametrize("encode", [json.dumps, str, lambda value: json.dumps(json.dumps(value)), dict])
def test_flows_are_read_in_each_form(encode: Any) -> None:
    flows = {"hello": ALIAS, "bye": f"acme.workflows.okta.com/api/flo/{ALIAS}/invoke", "hi": f"/api/flo/{ALIAS}/invoke"}
    url = f"https://acme.workflows.okta.com/api/flo/{ALIAS}/invoke"

    assert {name: flow.url for name, flow in read(extra={"flows": encode(flows)}).flows.items()} == dict.fromkeys(
        flows, url
    )


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("247234", "The flow 'hello' is given by its number"),
        ("https://acme.workflows.okta.com/app/folders/5/flows/247234", "'hello' is given as a page"),
        (f"https://acme.workflows.okta.com/api/flo/{ALIAS}/invoke?clientToken=s3cret", "has a query"),
        (f"/api/flo/{ALIAS}/invoke?clientToken=s3cret", "has a query"),
    ],
)
def test_a_flow_that_is_given_otherwise_says_what_is_needed(target: str, sentence: str) -> None:
    found = faults(extra={"flows": {"hello": target}})

    assert any(sentence in fault for fault in found)
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    ("extra", "field", "value"),
    [
        ({"insecure_http": "no"}, "verify", True),
        ({"verify": "False"}, "verify", False),
        ({"verify": "0"}, "verify", False),
        ({"verify": 0}, "verify", False),
        ({"verify": "TRUE"}, "verify", True),
        ({"read_timeout": " 300 "}, "read_timeout", 300),
        ({"assertion_lifetime": "300"}, "assertion_lifetime", 300),
        ({"http_proxy": "proxy:3128"}, "verify", True),
    ],
)
def test_numbers_and_booleans_may_be_strings(extra: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(read(extra=extra), field) == value


@pytest.mark.parametrize("spoil", [str, lambda text: text.replace("\n", "\\n"), lambda text: text.replace("\n", " ")])
def test_the_text_of_a_certificate_is_told_and_not_quoted(spoil: Any) -> None:
    (fault,) = faults(extra={"verify": spoil(trustme.CA().cert_pem.bytes().decode())})

    assert fault.startswith("verify contains the text of a certificate, not a path.")
    assert len(fault) < 250


def test_the_path_of_a_bundle_may_begin_with_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ca.pem").write_text("")

    for text in ("~/ca.pem", f'"{tmp_path}/ca.pem"'):
        assert read(extra={"verify": text}).verify == f"{tmp_path}/ca.pem"
    assert any("does not exist: '~/other.pem'" in fault for fault in faults(extra={"verify": "~/other.pem"}))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"host": "acme.workflows.okta.com"}, "Set the Okta domain (Host) to acme.okta.com"),
        (
            {"host": "acme.workflows.okta.com", "extra": {"workflows_host": "acme.workflows.okta.com"}},
            "to acme.okta.com",
        ),
        ({"host": "acme"}, "a name without a domain: 'acme'"),
        ({"host": "acme.otka.com"}, "looks like a typo of acme.okta.com"),
        ({"host": "acme.okta.co"}, "looks like a typo of acme.okta.com"),
        ({"host": "acme.okta.com:0"}, "has port 0"),
        ({"port": 0}, "Port is 0"),
        ({"port": 99_999}, "Port is 99999"),
        ({"port": -1}, "Port is -1"),
        ({"schema": "cd+ef@acme.okta.com"}, "percent-encode the key"),
        ({"extra": {"workflows_host": "acme.okta.com"}}, "Set workflows_host to acme.workflows.okta.com"),
        ({"extra": {"workflows_host": "acme.workflows.okta.com:0"}}, "has port 0"),
    ],
)
def test_a_host_that_is_not_the_orgs_leads_to_it(fields: dict[str, Any], sentence: str) -> None:
    assert any(sentence in fault for fault in faults(**fields))


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        ("https://acme.okta.com/oauth2/default", True),
        ("acme.okta.com/oauth2/aus1b2c3", True),
        ("https://acme.okta.com/app/UserHome", True),
        ("https://acme.okta.com/oauth2/v1/token", False),
        ("https://acme.okta.com/", False),
        ("acme.okta.com.", False),
    ],
)
def test_a_path_behind_the_domain_is_dropped_with_a_warning(host: str, warned: bool) -> None:
    settings = read(host=host)

    assert settings.token_url == "https://acme.okta.com/oauth2/v1/token"
    assert any("only the org's own authorization server" in one for one in settings.warnings) is warned


def test_a_bare_name_with_a_scheme_or_port_is_a_host_of_a_test_network() -> None:
    for fields in ({"host": "https://okta"}, {"host": "okta:8443"}, {"host": "okta", "port": 8443}):
        assert read(**fields, extra={"workflows_host": "https://okta"}).domain.host == "okta"


SPELLED = st.sampled_from(["extra__okta_workflows__", "", "okta_"]).flatmap(
    lambda prefix: st.sampled_from([*FIELDS, "kid", "keyId", "privateKey", "clientId", "orgUrl", "scopes"]).map(
        prefix.__add__
    )
)
LISTS = st.recursive(JSON, lambda inner: inner.map(json.dumps) | inner.map(str), max_leaves=3)


@given(
    st.dictionaries(SPELLED | st.text(max_size=8), LISTS),
    st.text("acmeokt.-:/@[]0https", max_size=30) | st.text() | st.none(),
    st.text() | st.integers() | st.none(),
)
def test_any_extra_is_settings_or_one_error(extra: dict[str, Any], host: str | None, port: Any) -> None:
    for value in (extra, json.dumps(extra)):
        with suppress(OktaConfigurationError):
            parsed(value, host=host, port=port)


@given(LISTS)
def test_any_value_is_decoded_and_split(value: Any) -> None:
    assert decoded(decoded(value)) is not None or value is None
    found = items(value)
    assert found is None or all(isinstance(item, str) and item for item in found)


@pytest.mark.parametrize("text", ["[" * 10**6, '"' * 10**6, "'" * 10**6, "\\" * 10**6, '["a",' * 10**5, "a," * 10**6])
def test_a_long_value_takes_linear_time(text: str) -> None:
    begun = time.perf_counter()
    items(text)
    with suppress(OktaConfigurationError):
        parsed(text, text)

    assert time.perf_counter() - begun < 10


def test_no_problem_quotes_a_key() -> None:
    other = generate_jwk()["d"]
    places = [*FIELDS, "privateKey", "clientId", "orgUrl", "zzz", other]
    for name in places:
        with suppress(OktaConfigurationError):
            parsed({name: other, "algorithm": "none"})
            raise AssertionError("algorithm is wrong")
        found = faults(extra={name: other, "algorithm": "none"})
        assert other not in str(found)
