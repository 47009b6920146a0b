from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_okta_workflows.core.addresses import (
    FlowAddress,
    Origin,
    console_url,
    find_flow,
    is_host,
    parse_flow,
    parse_origin,
    require_allowed,
    require_encryption,
    sentence_start,
)
from airflow_okta_workflows.core.errors import CoreError

WORKFLOWS = Origin("https", "acme.workflows.okta.com", 443)
ALIAS = "0123456789abcdef0123456789abcdef"
FLOWS = {"onboard": FlowAddress("onboard", ALIAS, WORKFLOWS)}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("acme.okta.com", "https://acme.okta.com"),
        ("ACME.Okta.com", "https://acme.okta.com"),
        ("https://acme.okta.com/", "https://acme.okta.com"),
        ("HTTPS://acme.okta.com/oauth2/default?x=1", "https://acme.okta.com"),
        ("acme.okta.com.", "https://acme.okta.com"),
        ("acme.okta.com:443", "https://acme.okta.com"),
        ("acme.okta.com:8443", "https://acme.okta.com:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost:8080/", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://okta:8080", "http://okta:8080"),
        ("münchen.example", "https://xn--mnchen-3ya.example"),
    ],
)
def test_a_host_is_read_in_each_form(text: str, url: str) -> None:
    assert parse_origin(text, "the domain").url == url


@pytest.mark.parametrize(
    "text",
    ["", "https://", "acme okta.com", "acme.okta.com:0", "https://acme.okta.com:00", "ftp://acme.okta.com", "https://user:pw@acme.okta.com", "acme.okta.com:99999",
     "https://a\\@b", "https://acme.okta.com/\\evil.example", "https://[::1", "-acme.okta.com", "a" * 300, "https://acme..com", "https://[zz]:1", "http://[1::2::3]"],
)  # fmt: skip
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(CoreError) as caught:
        parse_origin(text, "the domain")

    assert "pw" not in str(caught.value)
    assert caught.value.message.startswith("The domain ")
    assert "None" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("https:/acme.okta.com", "https:/"),
        ("https//acme.okta.com", "https//"),
        ("https:acme.okta.com", "https:"),
        ("//acme.okta.com", "//"),
        ("HTTPS:///acme.okta.com", "HTTPS:///"),
        ("https://https://acme.okta.com", "https://https://"),
        ("https://http:/acme.okta.com", "https://http:/"),
    ],
)
def test_a_scheme_that_is_mangled_is_told(text: str, told: str) -> None:
    with pytest.raises(CoreError) as caught:
        parse_origin(text, "the Okta domain (Host)")

    assert caught.value.message == f"The Okta domain (Host) begins with {told!r}."
    assert caught.value.hint == "OKW-1260: Write https:// once before the host."


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("'acme.okta.com'", "https://acme.okta.com"),
        ('"https://acme.okta.com/"', "https://acme.okta.com"),
        (" <acme.okta.com> ", "https://acme.okta.com"),
        ("http:8080", "https://http:8080"),
        ("https.acme.com", "https://https.acme.com"),
        ("https://https.acme.com", "https://https.acme.com"),
        ("https://https:8443/", "https://https:8443"),
    ],
)
def test_quotes_around_a_host_are_dropped_and_a_host_may_be_named_like_a_scheme(text: str, url: str) -> None:
    assert parse_origin(text, "the host").url == url


@pytest.mark.parametrize("around", ["'%s'", '"%s"', "<%s>", "`%s`", " '%s' ", "\u201c%s\u201d"])
def test_a_flow_with_quotes_or_brackets_around_it_is_read(around: str) -> None:
    url = f"{WORKFLOWS.url}/api/flo/{ALIAS}/invoke"

    for text in (around % url, around % ALIAS):
        assert find_flow(text, FLOWS, WORKFLOWS, frozenset({WORKFLOWS})).url == url
        assert (flow := parse_flow(text, "hello", WORKFLOWS))
        assert flow.url == url


@pytest.mark.parametrize("around", ["POST %s", "curl -X POST %s", "curl '%s'", "%s -d {}"])
def test_words_around_a_url_are_told(around: str) -> None:
    with pytest.raises(CoreError, match=r"'hello' has something before or after its URL(?s:.*)OKW-1261"):
        parse_flow(around % f"{WORKFLOWS.url}/api/flo/{ALIAS}/invoke", "hello", WORKFLOWS)


@pytest.mark.parametrize(("text", "told"), [("https://[::1", "'https://[::1'"), ("acme..com", "'https://acme..com'")])
def test_what_is_no_host_is_quoted(text: str, told: str) -> None:
    with pytest.raises(CoreError) as caught:
        parse_origin(text, "the domain")

    assert caught.value.message == f"The domain is not a host: {told}."


@pytest.mark.parametrize(
    ("netloc", "good"),
    [
        ("Acme.Workflows.Okta.com", True),
        ("acme.workflows.okta.com:8443", True),
        ("ab-" * 20 + "abc.okta.com", True),
        ("ab-" * 20 + "abcd.okta.com", False),
        ("abcdefghijklmnop", True),
        ("ABCDEFGHIJKLMNOP", True),
        ("abcdefghIJKLMNO", True),
        ("abcdefghIJKLMNOP", False),
        ("a" * 42, True),
        ("a" * 43, False),
        ("ab." * 84 + "a", True),
        ("ab." * 84 + "ab", False),
    ],
)
def test_what_could_be_a_key_is_no_host(netloc: str, good: bool) -> None:
    assert is_host(netloc.lower().partition(":")[0], netloc) is good


def test_schema_and_port_of_the_connection_count_where_the_text_has_none() -> None:
    assert parse_origin("acme.okta.com", "the domain", scheme="http", port=8080).url == "http://acme.okta.com:8080"
    assert parse_origin("https://acme.okta.com:9", "the domain", scheme="http", port=8080).port == 9


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "okta.localhost", "a.b.localhost"])
def test_loopback_is_this_machine(host: str) -> None:
    origin = Origin("http", host, 8080)

    assert origin.is_loopback
    assert not origin.is_insecure
    assert parse_origin(f"[{host}]:1" if ":" in host else f"{host}:1", "it").scheme == "http"


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "192.168.1.1", "0.0.0.0", "128.0.0.1", "126.255.255.255", "169.254.1.1", "::2", "fe80::1", "fd00::1",
     "::ffff:10.0.0.1", "::ffff:127.0.0.1", "localhost.example", "notlocalhost", "okta", "2130706433"],
)  # fmt: skip
def test_every_other_address_is_another_machine(host: str) -> None:
    origin = Origin("http", host, 8080)

    assert not origin.is_loopback
    assert origin.is_insecure
    assert not Origin("https", host, 443).is_insecure
    with pytest.raises(CoreError, match="clear text"):
        require_encryption(origin, "it", insecure_http=False)
    if ":" not in host:
        assert parse_origin(host, "it").scheme == "https"


def test_plain_http_needs_loopback_or_consent() -> None:
    require_encryption(Origin("http", "127.9.9.9", 80), "it", insecure_http=False)
    require_encryption(Origin("http", "::1", 80), "it", insecure_http=False)
    require_encryption(Origin("http", "okta", 8080), "it", insecure_http=True)
    with pytest.raises(CoreError) as caught:
        require_encryption(Origin("http", "okta", 8080), "the flow", insecure_http=False)
    assert caught.value.message.startswith("The flow is http://okta:8080: ")
    assert "insecure_http" in caught.value.hint


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("onboard", f"https://acme.workflows.okta.com/api/flo/{ALIAS}/invoke"),
        (" onboard ", f"https://acme.workflows.okta.com/api/flo/{ALIAS}/invoke"),
        ("f" * 32, f"https://acme.workflows.okta.com/api/flo/{'f' * 32}/invoke"),
        (
            "12345678-1234-1234-1234-123456789012",
            "https://acme.workflows.okta.com/api/flo/12345678-1234-1234-1234-123456789012/invoke",
        ),
        ("https://acme.workflows.okta.com/api/flo/x-1/invoke/", "https://acme.workflows.okta.com/api/flo/x-1/invoke"),
        ("acme.workflows.okta.com/api/flo/x-1/invoke", "https://acme.workflows.okta.com/api/flo/x-1/invoke"),
        (" ACME.workflows.okta.com:443/api/flo/x/invoke\n", "https://acme.workflows.okta.com/api/flo/x/invoke"),
        ("/api/flo/x-1/invoke", "https://acme.workflows.okta.com/api/flo/x-1/invoke"),
        ("api/flo/x-1/invoke/", "https://acme.workflows.okta.com/api/flo/x-1/invoke"),
    ],
)
def test_a_flow_is_found_by_name_alias_or_url(reference: str, url: str) -> None:
    assert find_flow(reference, FLOWS, WORKFLOWS, frozenset({WORKFLOWS})).url == url


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("onbord", "It knows: onboard."),
        ("f" * 31, "no flow named"),
        ("f" * 33, "no flow named"),
        (f"https://acme.workflows.okta.com/api/flo/{'x' * 201}/invoke", "is not the invoke URL"),
        ("", "No flow is named"),
        (None, "No flow is named"),
        ("https://evil.example/api/flo/x/invoke", "may not receive the org's token"),
        ("https://acme.workflows.okta.com:444/api/flo/x/invoke", "may not receive the org's token"),
        ("http://acme.workflows.okta.com/api/flo/x/invoke", "may not receive the org's token"),
        ("https://acme.workflows.okta.com@evil.example/api/flo/x/invoke", "user name or password"),
        ("https://acme.workflows.okta.com/api/flo/x/resume/y", "is not the invoke URL"),
        ("https://acme.workflows.okta.com/api/flo/x/invoke#y", "is not the invoke URL"),
        ("https://acme.workflows.okta.com/api/flo/../x/invoke", "is not the invoke URL"),
        ("https://acme.workflows.okta.com/api/flo/x/invoke?clientToken=s3cret", "has a query"),
        ("acme.workflows.okta.com/api/flo/x/invoke?clientToken=s3cret", "has a query"),
        ("/api/flo/x/invoke?clientToken=s3cret", "has a query"),
        ("api/flo/x/invoke#s3cret", "is not the invoke URL"),
        ("evil.example/api/flo/x/invoke", "may not receive the org's token"),
        ("acme.workflows.okta.com@evil.example/api/flo/x/invoke", "user name or password"),
        ("//evil.example/api/flo/x/invoke", "begins with '//'"),
        ("247234", "'247234' is given by its number in the Workflows console"),
        ("1", "given by its number"),
        ("1" * 15, "given by its number"),
        ("1" * 16, "no flow named"),
        ("https://acme.workflows.okta.com/app/folders/12/flows/247234", "a page of the Workflows console"),
        ("https://acme.workflows.okta.com/app", "a page of the Workflows console"),
        ("acme.workflows.okta.com/flow/247234/history", "a page of the Workflows console"),
        ("https://acme.workflows.okta.com:0/api/flo/x/invoke", "has port 0"),
        ("https://acme.workflows.okta.com/api/flo/x/run?clientToken=s3cret", "is not the invoke URL"),
        ("https://ada:s3cret@acme.workflows.okta.com/api/flo/x/invoke", "user name or password"),
        ("https://ada:s3cret@acme.workflows.okta.com:x/api/flo/x/invoke", "is not a host"),
        ("https://ada:8/s3cret@acme.workflows.okta.com/api/flo/x/invoke", "is not the invoke URL"),
    ],
)
def test_a_flow_that_cannot_be_invoked_says_why(reference: str, sentence: str) -> None:
    with pytest.raises(CoreError) as caught:
        find_flow(reference, FLOWS, WORKFLOWS, frozenset({WORKFLOWS}))

    assert sentence in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "None" not in str(caught.value)
    assert caught.value.hint


def test_a_flow_is_named_in_errors_as_the_caller_named_it() -> None:
    longest = f"https://acme.workflows.okta.com/api/flo/{'x' * 200}/invoke"
    names = {
        longest: longest,
        "onboard": "onboard",
        ALIAS: ALIAS,
        " https://acme.workflows.okta.com:443/api/flo/x/invoke/ ": "https://acme.workflows.okta.com/api/flo/x/invoke",
        "/api/flo/x/invoke": "https://acme.workflows.okta.com/api/flo/x/invoke",
    }

    for reference, name in names.items():
        assert find_flow(reference, FLOWS, WORKFLOWS, frozenset({WORKFLOWS})).name == name


@pytest.mark.parametrize(("flows", "known"), [(FLOWS, "onboard"), ({}, "none")])
def test_an_unknown_name_is_told_with_those_that_are_known(flows: dict[str, FlowAddress], known: str) -> None:
    with pytest.raises(CoreError) as caught:
        find_flow("onbord", flows, WORKFLOWS, frozenset({WORKFLOWS}))

    assert caught.value.message == "There is no flow named 'onbord' in the connection."
    assert caught.value.detail == f"It knows: {known}."
    assert "an invoke URL" in caught.value.hint


def test_a_flow_of_the_connection_is_an_alias_or_a_url() -> None:
    assert parse_flow("any_alias-1", "x", WORKFLOWS) == FlowAddress("x", "any_alias-1", WORKFLOWS)
    assert parse_flow("any_alias-1", "x", None) is None
    flow = parse_flow("https://other.example:8443/api/flo/a/invoke", "x", WORKFLOWS)
    assert flow is not None
    assert (flow.name, flow.url) == ("x", "https://other.example:8443/api/flo/a/invoke")
    with pytest.raises(CoreError, match="neither an alias nor an invoke URL") as caught:
        parse_flow("two words", "x", WORKFLOWS)
    assert "API access settings" in caught.value.hint


@pytest.mark.parametrize("text", [" any_alias-1\n", "a", "x" * 200])
def test_an_alias_of_the_connection_is_read_without_spaces_around_it(text: str) -> None:
    assert parse_flow(text, "x", WORKFLOWS) == FlowAddress("x", text.strip(), WORKFLOWS)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("acme.workflows.okta.com/api/flo/a/invoke", "https://acme.workflows.okta.com"),
        ("other.example:8443/api/flo/a/invoke", "https://other.example:8443"),
        ("127.0.0.1:8080/api/flo/a/invoke", "http://127.0.0.1:8080"),
        ("/api/flo/a/invoke", "https://acme.workflows.okta.com"),
        ("api/flo/a/invoke", "https://acme.workflows.okta.com"),
    ],
)
def test_an_invoke_url_of_the_connection_may_lack_its_scheme_or_host(text: str, origin: str) -> None:
    flow = parse_flow(text, "team/x", WORKFLOWS)

    assert flow is not None
    assert (flow.name, flow.alias, flow.origin.url) == ("team/x", "a", origin)
    assert (parse_flow(text, "x", None) is None) is text.lstrip("/").startswith("api/")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a/b", "is not the invoke URL"),
        ("a/../b", "is not the invoke URL"),
        ("247234", "The flow 'x' is given by its number"),
        ("acme.workflows.okta.com/api/flo/a/invoke?clientToken=s3cret", "has a query"),
        ("https://acme.workflows.okta.com/app/folders/1/flows/2", "The flow 'x' is given as a page"),
    ],
)
def test_what_is_no_flow_of_the_connection_is_told(text: str, sentence: str) -> None:
    with pytest.raises(CoreError) as caught:
        parse_flow(text, "x", WORKFLOWS)

    assert sentence in caught.value.message
    assert "s3cret" not in str(caught.value)
    assert caught.value.hint


def test_a_host_that_may_not_receive_the_token_is_named_with_those_that_may() -> None:
    others = frozenset({WORKFLOWS, Origin("https", "b.example", 8443)})
    require_allowed(Origin("https", "b.example", 8443), others)

    with pytest.raises(CoreError) as caught:
        require_allowed(Origin("https", "b.example", 443), others)

    assert caught.value.message == "https://b.example may not receive the org's token."
    assert caught.value.detail == "Allowed: https://acme.workflows.okta.com, https://b.example:8443."
    assert "'b.example' to allowed_hosts" in caught.value.hint


@given(st.one_of(st.text(), st.text().map(lambda text: f"https://{text}/api/flo/a/invoke")))
def test_no_reference_reaches_a_host_that_is_not_allowed(reference: str) -> None:
    try:
        address = find_flow(reference, FLOWS, WORKFLOWS, frozenset({WORKFLOWS}))
    except CoreError:
        return
    assert address.url.startswith("https://acme.workflows.okta.com/api/flo/")


@given(st.text())
def test_any_text_is_a_host_or_a_fault(text: str) -> None:
    try:
        origin = parse_origin(text, "the domain")
    except CoreError:
        return
    assert parse_origin(origin.url, "the domain") == origin


@pytest.mark.parametrize(
    ("execution_id", "url"),
    [
        (None, "https://acme.workflows.okta.com/app"),
        ("a1b2-c3", "https://acme.workflows.okta.com/app#execution_id=a1b2-c3"),
        ("x#/?&\n'<é>", "https://acme.workflows.okta.com/app#execution_id=x%23%2F%3F%26%0A%27%3C%C3%A9%3E"),
    ],
)
def test_the_console_is_told_the_execution_where_only_a_person_reads_it(execution_id: str | None, url: str) -> None:
    assert console_url(WORKFLOWS, execution_id) == url


@pytest.mark.parametrize(
    ("what", "start"),
    [
        ("the Okta domain", "The Okta domain"),
        ("the field workflows_host", "The field workflows_host"),
        ("workflows_host", "workflows_host"),
        ("workflows_host of it", "workflows_host of it"),
    ],
)
def test_a_sentence_begins_with_a_capital_unless_it_begins_with_a_field(what: str, start: str) -> None:
    assert sentence_start(what) == start
