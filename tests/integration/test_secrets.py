"""No secret leaves its place: read the places where one could turn up."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import redact

from airflow_okta_workflows.client import log_masking
from airflow_okta_workflows.core.keys.generation import pem_of
from airflow_okta_workflows.emulator import Answer, HtmlError, LocalOrg, Reset, TooManyRequests
from airflow_okta_workflows.exceptions import OktaWorkflowsError
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.airflow_features import ASYNC_MASKING
from tests.watched_org import without_kid

Connect = Callable[..., None]
PASSPHRASE = "passphrase-4711"


def secrets_of(org: LocalOrg) -> list[str]:
    pem = pem_of(org.private_jwk)
    return [*org.tokens, org.private_jwk["d"], *pem.splitlines()[1:-1], PASSPHRASE, "eyJ"]


@pytest.fixture
def define(org: LocalOrg, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    def connect(as_pem: bool) -> None:
        connection = org.connection(key_passphrase=PASSPHRASE, key_id=org.private_jwk["kid"])
        if as_pem:
            connection["password"] = pem_of(org.private_jwk)
        monkeypatch.setenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", json.dumps(connection))

    return connect


FAULTS: list[tuple[Any, str | None]] = [
    (None, "echo"),
    (Answer(500, b'{"message": "x"}', {"Content-Type": "application/json"}), "echo"),
    (Reset(), "echo"),
    (HtmlError(), "echo"),
    (TooManyRequests(retry_after=900), "echo"),
    (Answer(302, b"", {"Location": "http://x"}), "echo"),
    (Answer(401), "echo"),
    (Answer(401, b'{"error": "invalid_client"}'), None),
    (HtmlError(), None),
]


@pytest.mark.parametrize("as_pem", [True, False])
@pytest.mark.parametrize(("fault", "flow"), FAULTS)
def test_logs_errors_and_reprs_hold_no_secret(
    org: LocalOrg,
    define: Callable[[bool], None],
    world: Any,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    fault: Any,
    flow: str | None,
    as_pem: bool,
) -> None:
    define(as_pem)
    if fault:
        org.inject(fault, flow=flow, times=3)
    seen: list[str] = []
    for asynchronous in (False, True):
        hook = OktaWorkflowsHook(runtime=world.runtime())
        with caplog.at_level(logging.DEBUG):
            try:
                seen.append(repr(asyncio.run(hook.ainvoke("echo")) if asynchronous else hook.invoke("echo")))
            except OktaWorkflowsError as error:
                seen += [repr(error), str(vars(error)), "".join(traceback.format_exception(error))]
                seen += [repr(pickle.loads(pickle.dumps(error)))]
        seen += [repr(hook), repr(hook.settings), repr(vars(hook)), repr(hook.get_conn())]
        hook.close()
    # What reaches the handlers is looked at before Airflow's masks: what is never logged needs no mask.
    seen += [caplog.text, *(str(vars(record)) for record in caplog.records), *capsys.readouterr()]

    for secret in secrets_of(org):
        for text in seen:
            assert secret not in without_kid(text, org)


@pytest.mark.parametrize("as_pem", [True, False])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_each_form_of_each_secret_is_masked(
    org: LocalOrg, define: Callable[[bool], None], as_pem: bool, asynchronous: bool
) -> None:
    define(as_pem)
    hook = OktaWorkflowsHook()
    token = asyncio.run(hook.aget_access_token()) if asynchronous else hook.get_access_token()
    pem, jwk = pem_of(org.private_jwk), org.private_jwk
    forms = [PASSPHRASE, token.value]
    forms += (
        [pem, pem.strip(), pem.replace("\n", "\\n"), repr(pem), *pem.splitlines()[1:-1]]
        if as_pem
        else [jwk["d"], json.dumps(jwk)]
    )

    for form in forms:
        shown = str(redact(f"before {form} after"))
        assert "***" in shown
        assert not any(secret in shown for secret in secrets_of(org) if secret != "eyJ")


def test_the_search_finds_what_is_planted(org: LocalOrg, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("airflow_okta_workflows").info("oops %s", pem_of(org.private_jwk).splitlines()[2])

    assert any(secret in caplog.text for secret in secrets_of(org))


def test_masking_reaches_older_airflows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    if ASYNC_MASKING.there:
        monkeypatch.delattr("airflow.sdk.log.amask_secret")

    asyncio.run(log_masking.amask(("masked-by-the-older-way",)))
    asyncio.run(log_masking.amask(()))
    log_masking.mask(())

    assert redact("masked-by-the-older-way") == "***"
