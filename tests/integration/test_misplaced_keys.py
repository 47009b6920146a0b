"""A key in a field where it does not belong: nothing that anybody reads may quote it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from airflow.providers.common.compat.sdk import DAG
from cryptography.hazmat.primitives import serialization

from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.decorators.okta_workflows import okta_flow_batch_task, okta_flow_task
from airflow_okta_workflows.emulator import LocalOrg, Reset
from airflow_okta_workflows.exceptions import OktaConfigurationError, OktaFlowNoResponseError, OktaWorkflowsError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.notifications.okta_workflows import OktaFlowNotifier
from airflow_okta_workflows.operators.okta_workflows import (
    InvokeOktaFlowBatchOperator,
    InvokeOktaFlowOperator,
    StatusFlow,
)
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from airflow_okta_workflows.triggers.okta_workflows import OktaFlowStatusTrigger
from tests.airflow_features import TASK_SDK, TASK_STATE_STORE, forget_masks, needs
from tests.conftest import CommandLine
from tests.integration.task_context import Store, context, with_store
from tests.unit.core.keys.key_forms import p12

# Of Airflow 2.11, for an extra that is no JSON object.
pytestmark = pytest.mark.filterwarnings("ignore:Encountered (non-JSON|JSON value) in `extra`")

LEAST = 16
"""Characters of a key that tell somebody something."""
ALIAS = "0123456789abcdef0123456789abcdef"


def encrypted(jwk: dict[str, Any]) -> str:
    key = serialization.load_pem_private_key(pem_of(jwk).encode(), None)
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"correct horse"),
    )
    return pem.decode()


def forms_of(jwk: dict[str, Any]) -> dict[str, str]:
    """Return a key in each form in which people have it at hand."""
    pem = pem_of(jwk)
    lines = pem.splitlines()
    return {
        "PEM": pem,
        "PEM on one line": pem.replace("\n", " "),
        "PEM without its newlines": pem.replace("\n", ""),
        "the first line of a PEM's body": lines[1],
        "a line of a PEM's body": lines[2],
        "the last line of a PEM's body": lines[-2],
        "JWK": json.dumps(jwk),
        "d of a JWK": jwk["d"],
        "encrypted PEM": encrypted(jwk),
        "base64 of a PEM": base64.b64encode(pem.encode()).decode(),
        "PEM in JSON": json.dumps({"data": {"private_key": pem}}),
        "JWK as Python prints it": repr(jwk),
        "URL-encoded PEM": quote(pem, safe=""),
        "PKCS#12": base64.b64encode(p12(serialization.load_pem_private_key(pem.encode(), None))).decode(),
    }


RSA, EC = generate_jwk("rsa2048"), generate_jwk("p256")
FORMS = {f"{name}, RSA": form for name, form in forms_of(RSA).items() if "line" not in name or name.startswith("a ")}
FORMS |= {f"{name}, EC": form for name, form in forms_of(EC).items()}


_AT_THE_COMMAND_LINE = ("PEM, RSA", "a line of a PEM's body, RSA", "PEM on one line, EC", "JWK, EC", "d of a JWK, EC")
"""Forms that go that way, too, which takes longer."""


@cache
def fragments(form: str) -> set[str]:
    """Return each part of a key, in small letters: a host is written in them."""
    if form.startswith("%"):
        form = unquote(form)
    if form.startswith('{"data"'):
        form = json.loads(form)["data"]["private_key"]
    if form.startswith("{"):
        members = json.loads(form.replace("'", '"'))
        texts = [members[name] for name in ("d", "p", "q", "dp", "dq", "qi") if name in members]
    else:
        texts = ["".join(re.sub(r"-----[A-Z ]+-----", "", form).split())]
    return {text[at : at + LEAST].lower() for text in texts for at in range(len(text) - LEAST + 1)}


def quoted(text: str, parts: set[str]) -> set[str]:
    small = "".join(text.lower().split())
    return {small[at : at + LEAST] for at in range(len(small) - LEAST + 1)} & parts


def in_extra(name: str, key: str) -> dict[str, Any]:
    return {"extra": {name: key}}


FIELDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "host": lambda key: {"host": key},
    "host, as a URL": lambda key: {"host": f"https://{key}"},
    "host, behind a domain": lambda key: {"host": f"acme.okta.com:{key}"},
    "login": lambda key: {"login": key},
    "password": lambda key: {"password": key},
    "password, cut off": lambda key: {"password": key[:-5]},
    "schema": lambda key: {"schema": key},
    "conn_type": lambda key: {"conn_type": key},
    "extra, all of it": lambda key: {"extra": key},
    "extra, a text in it": lambda key: {"extra": json.dumps(key)},
    "an unknown field": lambda key: {"extra": {"privatekey": key}},
    "the name of a field": lambda key: {"extra": {key: "x"}},
    "the name of a flow": lambda key: {"extra": {"flows": {key: ALIAS}}},
    "the name of a flow without an alias": lambda key: {"extra": {"flows": {key: "two words"}}},
    "a flow": lambda key: {"extra": {"flows": {"onboard": key}}},
    "a flow's URL": lambda key: {"extra": {"flows": {"onboard": f"https://acme.okta.com/{key}"}}},
    "flows": lambda key: {"extra": {"flows": key}},
    "allowed_hosts": lambda key: {"extra": {"allowed_hosts": key}},
    "allowed_hosts, one of them": lambda key: {"extra": {"allowed_hosts": ["a.example", key]}},
    "http_proxy": lambda key: {"extra": {"http_proxy": key}},
    "http_proxy, as a URL": lambda key: {"extra": {"http_proxy": f"socks5://{key}"}},
}
FIELDS |= {
    name: partial(in_extra, name)
    for name in (
        "private_key", "key_id", "key_file", "key_passphrase", "algorithm", "workflows_host", "scope",
        "assertion_lifetime", "connect_timeout", "read_timeout", "rate_limit_wait", "max_response_bytes", "verify",
        "insecure_http",
    )
}  # fmt: skip


# An extra that is no JSON object is a warning of Airflow 2 itself, and no connection at all to Airflow 3.0.
ON_THIS_AIRFLOW = [
    pytest.param(field, marks=[needs(TASK_STATE_STORE)] if field in ("extra, all of it", "extra, a text in it") else [])
    for field in FIELDS
]


@pytest.fixture(params=["with a key", "without a key"])
def connections(
    request: pytest.FixtureRequest, org: LocalOrg, tmp_path: Path
) -> Callable[[str], Iterator[tuple[str, str, str]]]:
    """Give each connection with a key in a field: the form's name, the connection as JSON, and the key."""

    def all_of(field: str) -> Iterator[tuple[str, str, str]]:
        base = org.connection()
        if request.param == "without a key":
            del base["password"]
        for name, form in FORMS.items():
            fields = FIELDS[field](form)
            extra = fields.get("extra", {})
            if isinstance(extra, dict):
                fields["extra"] = {**base["extra"], **extra}
            yield name, json.dumps({**base, **fields}), form

    return all_of


@pytest.mark.parametrize("field", ON_THIS_AIRFLOW)
def test_neither_an_error_nor_a_log_line_nor_the_test_button_quotes_a_key(
    field: str,
    connections: Callable[[str], Iterator[tuple[str, str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    world: Any,
) -> None:
    for name, connection, form in connections(field):
        forget_masks()  # Airflow compiles all of them again for each connection that it reads
        monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", connection)
        seen = []
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "airflow_okta_workflows"):
            hook = OktaWorkflowsHook(runtime=world.runtime())
            try:
                hook.invoke("echo")
            except OktaWorkflowsError as error:
                seen += [str(error), repr(vars(error)), str(error.to_json())]
            seen.append(OktaWorkflowsHook(runtime=world.runtime()).test_connection()[1])
        seen += [record.getMessage() for record in caplog.records if record.name.startswith("airflow_okta")]
        for text in seen:
            assert not quoted(text, fragments(form)), name


@pytest.mark.parametrize("field", ON_THIS_AIRFLOW)
def test_the_command_line_quotes_no_key(
    field: str,
    connections: Callable[[str], Iterator[tuple[str, str, str]]],
    okta_workflows: CommandLine,
    tmp_path: Path,
) -> None:
    file = tmp_path / "connection.json"
    for name, connection, form in connections(field):
        if name not in _AT_THE_COMMAND_LINE:
            continue
        file.write_text(connection)
        for output in ("text", "json"):
            ended = okta_workflows("check", "--file", str(file), "--output", output)

            assert not quoted(ended.out + ended.err, fragments(form)), name


def test_the_search_finds_what_is_planted() -> None:
    for form in FORMS.values():
        assert quoted(f"The Okta domain (Host) is not a host: {form!r}.", fragments(form))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    "make",
    [
        lambda key: InvokeOktaFlowOperator(task_id="t", flow="f", method=key),
        lambda key: InvokeOktaFlowOperator(task_id="t", flow="f", headers={key: "a\nb"}),
        lambda key: InvokeOktaFlowOperator(task_id="t", flow="f", success_when=f"{key}["),
        lambda key: InvokeOktaFlowOperator(task_id="t", flow="f", result=f"a ==== '{key}'"),
        lambda key: InvokeOktaFlowOperator(task_id="t", flow="f", timeout=key),
        lambda key: InvokeOktaFlowBatchOperator(task_id="t", flow="f", payloads=[], max_rate=key),
        lambda key: InvokeOktaFlowBatchOperator(task_id="t", flow="f", payloads=[], max_in_flight=key),
        lambda key: InvokeOktaFlowBatchOperator(task_id="t", flow="f", payloads=[], item_key=f"{key}["),
        lambda key: InvokeOktaFlowBatchOperator(task_id="t", flow="f", payloads=[], on_error=key),
        lambda key: OktaFlowSensor(task_id="t", flow="f", max_failed_polls=key),
    ],
)
def test_no_argument_of_an_operator_is_quoted_if_it_could_be_a_key(make: Callable[[str], Any], form: str) -> None:
    with pytest.raises(OktaConfigurationError) as caught:
        make(form)

    assert not quoted(str(caught.value), fragments(form))


REFERENCES = {
    "a client token": "acme.workflows.okta.com/api/flo/abc/invoke?clientToken=S3CRET-S3CRET-S3CRET",
    "a client token, encoded": "acme.workflows.okta.com/api/flo/abc/invoke%3FclientToken%3DS3CRET-S3CRET-S3CRET",
    "a client token in a URL": f"https://acme.okta.com/api/flo/{ALIAS}/invoke?clientToken=S3CRET-S3CRET-S3CRET",
    "a password": "https://ada:S3CRET-S3CRET-S3CRET@acme.workflows.okta.com/api/flo/abc/invoke",
    "a password without a scheme": "ada:S3CRET-S3CRET-S3CRET@acme.workflows.okta.com/api/flo/abc/invoke",
    "a password with a slash": "https://ada:S3CRET/S3CRET-S3CRET-S3CRET@acme.okta.com/api/flo/abc/invoke",
    **FORMS,
}


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)
def test_a_flow_that_is_not_found_is_not_quoted_with_its_secrets(
    org: LocalOrg,
    connect: Any,
    okta_workflows: CommandLine,
    caplog: pytest.LogCaptureFixture,
    reference: str,
) -> None:
    connect(org)
    parts = {"s3cret"} | (fragments(reference) if reference in FORMS.values() else set())
    with caplog.at_level(logging.DEBUG), pytest.raises(OktaConfigurationError) as caught:
        OktaWorkflowsHook().invoke(reference, {})
    seen = [str(caught.value), repr(vars(caught.value)), caplog.text]
    for command in (["invoke"], ["invoke", "--output", "json"], ["check", "--yes", "--flow"]):
        ended = okta_workflows(*command, f"{reference}") if not reference.startswith("-") else None
        seen.append(ended.out + ended.err if ended else "")

    for text in seen:
        small = "".join(text.lower().split())
        assert not [part for part in parts if part in small]


WITH_TOKEN = f"https://acme.okta.com/api/flo/{ALIAS}/invoke?clientToken=S3CRET-S3CRET-S3CRET"


def decorated(decorator: Any, function: Callable[[], Any]) -> Any:
    with DAG("dag", schedule=None) as dag:
        decorator(function, task_id="task", flow=WITH_TOKEN)()
    return dag.tasks[0]


def cut_off(idempotent: bool) -> Any:
    """Return the retry of a task that was killed, and whose flow was edited then."""
    store = Store()
    given: dict[str, Any] = {"task_id": "task", "payload": {}, "idempotent": idempotent}
    with pytest.raises(OktaFlowNoResponseError):
        InvokeOktaFlowOperator(flow="echo", **given).execute(with_store(store))
    return InvokeOktaFlowOperator(flow=WITH_TOKEN, **given).execute(with_store(store, try_number=2))


def answered() -> Any:
    task = InvokeOktaFlowOperator(task_id="task", flow=WITH_TOKEN, payload={})
    raise task._unanswered("nobody has answered within execution_timeout")


async def fired(trigger: OktaFlowStatusTrigger) -> Any:
    return [event async for event in trigger.run()]


USES: dict[str, Callable[[], Any]] = {
    "operator": lambda: InvokeOktaFlowOperator(task_id="task", flow=WITH_TOKEN, payload={}).execute(context()),
    "trigger": lambda: asyncio.run(fired(OktaFlowStatusTrigger(flow=WITH_TOKEN, poke_interval=0, deadline=1e10))),
    "operator that asks a person": answered,
    "batch": lambda: InvokeOktaFlowBatchOperator(task_id="task", flow=WITH_TOKEN, payloads=[{}]).execute(context()),
    "sensor": lambda: OktaFlowSensor(task_id="task", flow=WITH_TOKEN).execute(context()),
    "sensor past its timeout": lambda: OktaFlowSensor(
        task_id="task", flow=WITH_TOKEN, deferrable=True
    ).resume_execution("__fail__", {"error": "Trigger timeout"}, context()),
    "decorator": lambda: decorated(okta_flow_task, lambda: {"a": 1}).execute(context()),
    "decorator of a function that returns None": lambda: decorated(okta_flow_task, lambda: None).execute(context()),
    "batch decorator": lambda: decorated(okta_flow_batch_task, lambda: [{}]).execute(context()),
    "batch decorator of a function that returns None": lambda: decorated(okta_flow_batch_task, lambda: None).execute(
        context()
    ),
    "notifier": lambda: OktaFlowNotifier(flow=WITH_TOKEN)({}),
    "status flow": lambda: InvokeOktaFlowOperator(
        task_id="task", flow="echo", payload={}, status=StatusFlow(WITH_TOKEN)
    ).execute(context()),
    "status flow of a batch": lambda: InvokeOktaFlowBatchOperator(
        task_id="task", flow="echo", payloads=[{}], status=StatusFlow(WITH_TOKEN)
    ).execute(context()),
    "representation of a status flow": lambda: repr(StatusFlow(WITH_TOKEN, cancel_flow=WITH_TOKEN)),
    "retry": partial(cut_off, idempotent=False),
    "retry of an idempotent flow": partial(cut_off, idempotent=True),
}


@pytest.mark.parametrize(
    "use",
    [
        # Before Airflow 3 the error is Airflow's own, which does not quote the flow.
        pytest.param(use, id=name, marks=needs(TASK_SDK) if name == "sensor past its timeout" else ())
        for name, use in USES.items()
    ],
)
def test_a_flow_url_with_a_client_token_is_quoted_without_it(
    org: LocalOrg,
    connect: Any,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    use: Callable[[], Any],
) -> None:
    connect(org)
    org.inject(Reset(), flow="echo", times=9)
    seen: list[Any] = []
    with caplog.at_level(logging.DEBUG):
        try:
            seen.append(use())
        except Exception as error:
            seen += [str(error), repr(vars(error))]
    seen.append(capsys.readouterr().out)

    assert re.search(r"invoke\?\*\*\*|a client token may be in it", f"{seen}{caplog.text}"), "the URL was looked at"
    assert "S3CRET" not in f"{seen}{caplog.text}"


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_an_argument_that_a_shell_has_split_is_not_quoted(okta_workflows: CommandLine, form: str) -> None:
    for arguments in (
        ["connection", "--key-file", *form.split()],
        ["connection", "--domain", "acme.okta.com", "--client-id", "0oa", "--key-file", form, "--offline"],
        ["connection", "--domain", form, "--client-id", form, "--key-file", "/no/such", "--key-id", form, "--offline"],
        ["connection", "--domain", "a.okta.com", "--client-id", "0oa", "--key-file", "/no/such", "--flow", form],
        ["check", "--file", form],
        ["check", "--conn-id", form],
        ["check", form],
        ["invoke", "hello", "--payload", f"@{form}"],
        ["invoke", "hello", "--payload", form],
        ["emulator", "--port", form],
    ):
        ended = okta_workflows(*arguments)

        assert ended.code
        assert not quoted(ended.out + ended.err, fragments(form)), arguments[:2]
