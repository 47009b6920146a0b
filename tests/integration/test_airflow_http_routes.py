"""No route of Airflow's own http provider gives away a secret of a connection that this provider has made."""

from __future__ import annotations

import base64
import io
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from airflow.providers.http.hooks import http as http_hooks
from cryptography.hazmat.primitives import serialization

from airflow_okta_workflows.connection.fields import FORM
from airflow_okta_workflows.connection.http_guard import GUARD, OPTIONS_OF_HTTP_HOOKS, gives_secrets_away
from airflow_okta_workflows.connection.reader import parse_connection
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.emulator.kept_connection import CONN_ID, keep_connection
from tests.conftest import CommandLine
from tests.integration.http_provider_routes import ROUTES, Route, takers_of_a_connection_id, used
from tests.integration.wiretap import Wiretap, pieces_of, secrets_in
from tests.pages import ROOT
from tests.stored_form import stored_in_a_process

# A warning that is an error would keep Airflow's own code from sending, as it does nowhere else.
pytestmark = pytest.mark.filterwarnings("ignore")

PASSPHRASE, PROXY_PASSWORD = "passphrase-4711", "proxy-word-0815"
JWK = generate_jwk("rsa2048")
PEM = pem_of(JWK)
_KEY: Any = serialization.load_pem_private_key(PEM.encode(), None)
ENCRYPTED: str = _KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(PASSPHRASE.encode()),
).decode()
SECRETS = pieces_of(json.dumps(JWK), PEM, ENCRYPTED, PASSPHRASE, PROXY_PASSWORD)
ALIAS = "0123456789abcdef0123456789abcdef"

EACH_ROUTE = pytest.mark.parametrize(
    "route",
    [
        pytest.param(route, id=f"{name} {way}".strip().replace(" ", "-"))
        for name, ways in ROUTES.items()
        for way, route in ways.items()
    ],
)

REFUSALS = {
    "HttpHook": "Header part (False) from ('insecure_http', False) must be of type str or bytes",
    "HttpAsyncHook": "Cannot serialize non-str key",
}
"""What requests and aiohttp say of a header that is not a string."""

Connection = dict[str, Any]
Define = Callable[[Connection, Wiretap], None]
AssertKept = Callable[[Connection, Route], None]


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Define:
    """Give Airflow a connection whose host is the listener."""

    def define(connection: Connection, wiretap: Wiretap) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({**connection, "host": wiretap.url}))

    return define


@pytest.fixture
def assert_kept(define: Define, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> AssertKept:
    """Use a connection by a route, and look at what was sent, and at what was raised, stored or logged."""

    def assert_kept(connection: Connection, route: Route) -> None:
        capfd.readouterr()
        with Wiretap() as wiretap, caplog.at_level(logging.DEBUG):
            define(connection, wiretap)
            said = used(route, CONN_ID)

        assert wiretap.received == b""
        assert secrets_in("\n".join([said, caplog.text, *capfd.readouterr()]), SECRETS) == []
        assert not gives_secrets_away(connection.get("password"), connection["extra"])

    return assert_kept


def by_hand(extra: Any = None) -> Connection:
    connection = {"conn_type": "okta_workflows", "login": "0oa1b2c3d4", "password": json.dumps(JWK)}
    return connection if extra is None else {**connection, "extra": extra}


def test_each_class_that_takes_the_id_of_a_connection_is_used_here() -> None:
    assert takers_of_a_connection_id() == set(ROUTES), "say in http_provider_routes.py how to use it"


@pytest.mark.parametrize("base", [http_hooks.HttpHook, object])
def test_a_class_that_comes_later_is_found(base: type, monkeypatch: pytest.MonkeyPatch) -> None:
    def made_with(self: object, other_conn_id: str) -> None: ...

    own = {} if base is http_hooks.HttpHook else {"__init__": made_with}
    later = type("Later", (base,), {**own, "__module__": http_hooks.__name__})
    monkeypatch.setattr(http_hooks, "Later", later, raising=False)

    assert takers_of_a_connection_id() - set(ROUTES) == {"Later"}


# ---- what the judge can see, and why a guard is needed


@pytest.mark.parametrize("extra", [None, {}, {"key_id": "kid"}, {"allow_redirects": False}], ids=str)
@EACH_ROUTE
def test_a_connection_without_a_guard_gives_its_key_away(route: Route, extra: Any, define: Define) -> None:
    with Wiretap() as wiretap:
        define(by_hand(extra), wiretap)
        used(route, CONN_ID)

    assert JWK["d"] in secrets_in(wiretap.received, SECRETS)
    assert gives_secrets_away("key", extra or {})


def test_what_is_null_is_no_guard(define: Define) -> None:
    with Wiretap() as wiretap:
        define(by_hand({"flows": None, "insecure_http": None}), wiretap)
        used(ROUTES["HttpHook"]["POST"], CONN_ID)

    assert JWK["d"] in secrets_in(wiretap.received, SECRETS)
    assert gives_secrets_away("key", {"flows": None, "insecure_http": None})


@pytest.mark.parametrize("private_key", [JWK, PEM], ids=["object", "text"])
def test_a_key_in_extra_before_the_guard_is_quoted_in_an_error(private_key: Any, define: Define) -> None:
    extra = {"private_key": private_key, **GUARD}
    with Wiretap() as wiretap:
        define({**by_hand(extra), "password": None}, wiretap)
        said = used(ROUTES["HttpHook"]["POST"], CONN_ID)

    assert secrets_in(said, SECRETS)
    assert gives_secrets_away(None, extra)
    assert not gives_secrets_away(None, {**GUARD, **extra})


@pytest.mark.parametrize("hidden", ["Basic {}", "x={}", "{}"])
def test_the_judge_sees_through_encodings(hidden: str) -> None:
    basic = base64.b64encode(f"0oa:{PEM}".encode()).decode()
    for form in (JWK["d"], quote(PASSPHRASE + "=/+"), json.dumps(PEM), repr(PEM), basic, quote(basic, safe="")):
        assert secrets_in(hidden.format(form), SECRETS), form
    assert secrets_in("Authorization: Bearer x", SECRETS)
    assert secrets_in(b"client_assertion=eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIwb2EifQ.c2lnbmF0dXJl", SECRETS)
    assert secrets_in("POST /api/flo/x/invoke HTTP/1.1\r\nHost: 127.0.0.1\r\nkid: kid", SECRETS) == []


# ---- what our tools make


def _from_command(okta_workflows: CommandLine, folder: Path, key: str, *arguments: str) -> Connection:
    (folder / "key").write_text(key)
    given = ("--domain", "http://127.0.0.1:1", "--client-id", "0oa1b2c3d4", "--key-file", str(folder / "key"))
    ended = okta_workflows("connection", *given, "--offline", "--format", "json", *arguments)
    assert ended.code == 0, ended.err
    connection: Connection = ended.json
    return connection


COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a JWK": (json.dumps(JWK), ()),
    "a JWK, with a flow": (json.dumps(JWK), ("--flow", f"hello={ALIAS}")),
    "a PEM": (PEM, ("--key-id", "kid")),
    "an encrypted PEM": (ENCRYPTED, ("--key-id", "kid")),
    "an encrypted PEM that stays a file": (ENCRYPTED, ("--keep-key-file",)),
}


@pytest.mark.parametrize("name", COMMANDS)
@EACH_ROUTE
def test_no_route_gives_away_what_the_command_made(
    route: Route,
    name: str,
    assert_kept: AssertKept,
    okta_workflows: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, arguments = COMMANDS[name]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSPHRASE}\n"))
    connection = _from_command(okta_workflows, tmp_path, key, *arguments)

    assert_kept(connection, route)


@pytest.mark.parametrize("flows", [{}, {"hello": lambda request: {}}], ids=["without a flow", "with a flow"])
@pytest.mark.parametrize("kept", [False, True], ids=["printed", "kept"])
@EACH_ROUTE
def test_no_route_gives_away_what_the_emulator_made(
    route: Route, flows: Any, kept: bool, assert_kept: AssertKept, tmp_path: Path
) -> None:
    org = LocalOrg(private_jwk=JWK)
    org.add_flows(flows)
    connection = org.connection()
    if kept:
        keep_connection(tmp_path / "connections.json", connection)
        connection = json.loads((tmp_path / "connections.json").read_text())[CONN_ID]

    assert_kept(connection, route)


FORMS: dict[str, tuple[str, dict[str, str]]] = {
    "nothing": (json.dumps(JWK), {}),
    "a flow": (json.dumps(JWK), {"flows": json.dumps({"hello": ALIAS})}),
    "texts": (PEM.replace("\n", ""), {"key_id": "kid", "workflows_host": "acme.workflows.okta.com"}),
    "secrets": (
        ENCRYPTED.replace("\n", ""),
        {"key_passphrase": PASSPHRASE, "http_proxy": f"http://ada:{PROXY_PASSWORD}@127.0.0.1:1"},
    ),
}
"""The key, as a browser sends it from an input of one line, and the texts in the form's fields of ours."""


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Connection]:
    """What the form of this Airflow stores."""
    stored = stored_in_a_process([typed for _, typed in FORMS.values()], tmp_path_factory.mktemp("form"))
    return {
        name: {**by_hand(extra), "password": key} for (name, (key, _)), extra in zip(FORMS.items(), stored, strict=True)
    }


@pytest.mark.parametrize("name", FORMS)
@EACH_ROUTE
def test_no_route_gives_away_what_the_form_made(
    route: Route, name: str, forms: dict[str, Connection], assert_kept: AssertKept
) -> None:
    assert_kept(forms[name], route)


@pytest.mark.parametrize("name", FORMS)
def test_what_the_form_made_is_read_without_a_fault_or_a_warning(
    name: str, forms: dict[str, Connection], caplog: pytest.LogCaptureFixture
) -> None:
    connection = {"conn_id": "okta", "host": "acme.okta.com", "schema": None, "port": None, **forms[name]}
    settings = parse_connection(SimpleNamespace(**connection), connection["extra"])

    assert caplog.text == ""
    assert set(settings.flows) == ({"hello"} if name == "a flow" else set())
    assert not settings.gives_secrets_away


@pytest.mark.parametrize(("hook", "error"), REFUSALS.items())
def test_the_documentation_quotes_the_errors(hook: str, error: str, define: Define) -> None:
    with Wiretap() as wiretap:
        define(by_hand(dict(GUARD)), wiretap)
        said = used(ROUTES[hook]["POST"], CONN_ID)

    assert error in said
    assert error in " ".join((ROOT / "docs/security.md").read_text().split())


# ---- the rule


class _Watched(dict[str, Any]):
    """Extra that notes what the hooks take out of it."""

    taken: set[str]

    def pop(self, name: str, *default: Any) -> Any:
        self.taken.add(name)
        return super().pop(name, *default)


def test_what_the_hooks_do_not_turn_into_headers_is_known() -> None:
    extra = _Watched(dict.fromkeys([*OPTIONS_OF_HTTP_HOOKS, *FORM["conn-fields"], "private_key"], False))
    extra.taken = set()
    headers, _ = http_hooks._process_extra_options_from_connection(SimpleNamespace(extra_dejson=extra), {})

    assert extra.taken <= OPTIONS_OF_HTTP_HOOKS
    assert set(GUARD) < set(FORM["conn-fields"]) - {"verify"} <= set(headers)


@pytest.mark.parametrize(
    ("password", "extra", "away"),
    [
        ("key", {}, True),
        ("key", {"scope": "x", "flows": "{}"}, True),
        ("key", {"verify": False, "timeout": 3, "proxies": {"http": "x"}}, True),
        ("key", {"flows": None, "insecure_http": None}, True),
        ("key", {"flows": {}}, False),
        ("key", {"insecure_http": False}, False),
        ("key", {"key_id": "kid", "read_timeout": 90}, False),
        (None, {"private_key": "PEM"}, True),
        (None, {"private_key": {"kty": "EC"}}, True),
        (None, {"private_key": {"kty": "EC"}, "flows": {}}, True),
        (None, {"flows": {}, "private_key": {"kty": "EC"}}, False),
        (None, {"key_file": "/key", "key_passphrase": "secret"}, True),
        (None, {"http_proxy": "http://ada:secret@proxy"}, True),
        (None, {"a name that is not known": "secret"}, True),
        (None, {"key_file": "/key", "key_id": "kid"}, False),
        (None, {}, False),
    ],
    ids=str,
)
def test_the_rule(password: str | None, extra: dict[str, Any], away: bool) -> None:
    assert gives_secrets_away(password, extra) is away
