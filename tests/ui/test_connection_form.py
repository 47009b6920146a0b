"""The connection form in a browser: what it shows, how it handles pasted input, and what it never gets back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect

from airflow_okta_workflows.connection.fields import FORM
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of
from airflow_okta_workflows.emulator import LocalOrg
from tests.stored_form import stored_in_a_process
from tests.ui.connection_form import ConnectionForm
from tests.ui.eavesdropper import Eavesdropper, look_everywhere

if TYPE_CHECKING:
    from tests.ui.conftest import Snap, Stage

# The first test starts a whole Airflow, perhaps on two busy cores.
pytestmark = pytest.mark.timeout(300)

PASSPHRASE = "ui-passphrase-0815"


@pytest.fixture
def form(page: Page) -> ConnectionForm:
    return ConnectionForm(page)


@pytest.fixture
def good(stage: Stage) -> dict[str, Any]:
    """Return the fields of a connection that works, with the key as the PEM that Okta's console gives."""
    org = stage.org
    return {"domain": org.url, "client_id": org.app.client_id, "key": pem_of(org.private_jwk)}


@pytest.fixture
def flows(stage: Stage) -> dict[str, str]:
    return {name: flow.alias for name, flow in stage.org.flows.items()}


def test_each_field_stands_there_with_its_label_its_help_and_its_mask(form: ConnectionForm, snap: Snap) -> None:
    form.add("okta_workflows_default")
    behaviour = FORM["ui-field-behaviour"]
    for name, label in behaviour["relabeling"].items():
        expect(form.standard(label)).to_have_attribute("placeholder", behaviour["placeholders"][name])
    expect(form.standard("Port")).to_have_attribute("placeholder", behaviour["placeholders"]["port"])
    expect(form.standard("Schema")).to_have_count(0)
    form.standard("Okta domain").fill("acme.okta.com")
    form.standard("Client ID").fill("0oa1b2c3d4e5f6g7h8i9")
    form.paste(form.standard("Private key"), pem_of(generate_jwk("rsa2048")))
    snap("connection-form", form.page)

    form.unfold("Extra Fields")
    for field in FORM["conn-fields"].values():
        expect(form.group(field["label"])).to_contain_text(field["description"])
    labels = form.dialog.locator("label").all_inner_texts()
    ours = [field["label"] for field in FORM["conn-fields"].values()]
    assert [label.strip() for label in labels if label.strip() in ours] == ours, "in the order of provider info"
    masked = form.dialog.locator("input[type=password]")
    assert [each.get_attribute("name") for each in masked.all()] == ["password", "element_key_passphrase"]
    form.paste(form.group("Flows").get_by_role("textbox"), '{"onboard": "0123456789abcdef0123456789abcdef"}')
    snap("connection-form-extra", form.page)


def test_a_connection_made_with_a_pasted_pem_invokes_a_flow(
    form: ConnectionForm, good: dict[str, Any], flows: dict[str, str], stage: Stage
) -> None:
    runs = len(stage.org.flows["hello"].runs)
    form.fill("okta_from_form", **good, flows=flows, extra={"key_id": stage.org.private_jwk["kid"]})
    pasted = form.dialog.locator("[name=password]").input_value()
    form.save()
    run_id = stage.airflow.trigger("from_form")

    assert stage.airflow.finished("from_form", run_id, within=60) == "success", stage.airflow.task_logs("from_form")
    assert stage.airflow.xcom("from_form", run_id, "hello") == {"greeting": "Hello, Ada"}
    assert len(stage.org.flows["hello"].runs) > runs
    assert "\n" not in pasted, "the browser has taken the line breaks, and the key works all the same"
    assert pasted != good["key"]


def test_a_connection_that_was_edited_keeps_what_the_page_does_not_know(
    form: ConnectionForm, good: dict[str, Any], stage: Stage
) -> None:
    form.fill("okta_edited", **good)
    form.save()
    form.edit("okta_edited")
    form.standard("Description").fill("edited")
    form.save()

    expect(form.row("okta_edited")).to_contain_text("edited")
    expect(form.test("okta_edited")).to_contain_text("Test Connection Successful")


def test_what_it_stores_keeps_airflows_http_operators_from_sending(
    form: ConnectionForm, good: dict[str, Any], flows: dict[str, str], stage: Stage, tmp_path: Path
) -> None:
    form.fill("okta_bare", **good)
    form.save()
    form.fill("okta_filled", **good, flows=flows, extra={"key_id": "my-kid"})
    form.save()
    for conn_id in ("okta_bare", "okta_filled"):
        form.edit(conn_id)
        form.standard("Description").fill("edited")
        form.save()
    bare, filled = (stage.airflow.connection(conn_id)["extra"] for conn_id in ("okta_bare", "okta_filled"))

    assert bare["insecure_http"] is filled["insecure_http"] is False
    typed = {"flows": json.dumps(flows), "key_id": "my-kid"}
    assert [bare, filled] == stored_in_a_process([{}, typed], tmp_path), "no other test looks at the browser"


def test_the_test_button_approves_of_a_good_connection(
    form: ConnectionForm, good: dict[str, Any], flows: dict[str, str], stage: Stage, snap: Snap
) -> None:
    form.fill("okta_good", **good, flows=flows)
    form.save()
    form.open_list()
    invoked = len(stage.org.log)
    verdict = form.test("okta_good")

    expect(verdict).to_contain_text("Test Connection Successful")
    expect(verdict).to_contain_text(f"{stage.org.app.client_id} at ")
    expect(verdict).to_contain_text("token: granted for 3600 s")
    expect(verdict).to_contain_text("No flow was invoked.")
    snap("connection-test-good", form.page)
    assert len(stage.org.log) == invoked


@pytest.fixture
def custom_org() -> Iterator[LocalOrg]:
    """Yield an org with exactly one custom domain."""
    with LocalOrg(key_type="rsa2048", custom_domains=("localhost",)) as org:
        yield org


BAD = {
    "wrong client id": ({"client_id": "0oa0000000000000000"}, "Check the Client ID (Login)"),
    "another key": ({"key": pem_of(generate_jwk("rsa2048"))}, "has this kid, but for another key pair"),
    "half a key": ({"key": pem_of(generate_jwk("rsa2048"))[:600]}, "Paste the key again, first and last line included"),
    "nobody there": ({"domain": "http://127.0.0.1:1"}, "Check the host's name."),
}


@pytest.mark.parametrize("fault", BAD)
def test_the_test_button_says_what_to_change(
    form: ConnectionForm, good: dict[str, Any], snap: Snap, fault: str
) -> None:
    wrong, words = BAD[fault]
    conn_id = f"okta_{fault.replace(' ', '_')}"
    form.fill(conn_id, **{**good, **wrong})
    form.save()
    verdict = form.test(conn_id)

    expect(verdict).to_contain_text("Test Connection Failed")
    expect(verdict).to_contain_text(words)
    if fault == "another key":
        snap("connection-test-bad", form.page)


def test_the_test_button_tells_of_the_domain_rule(form: ConnectionForm, custom_org: LocalOrg) -> None:
    org = custom_org
    form.fill("okta_custom", domain=org.url, client_id=org.app.client_id, key=pem_of(org.private_jwk))
    form.save()
    verdict = form.test("okta_custom")

    expect(verdict).to_contain_text("Test Connection Failed")
    expect(verdict).to_contain_text(f"The org calls itself http://localhost:{org.port}")
    expect(verdict).to_contain_text("set Host to that custom domain")


def test_nothing_secret_comes_back_to_the_page(form: ConnectionForm, good: dict[str, Any], stage: Stage) -> None:
    eavesdropper = Eavesdropper(form.page)
    proxy = "http://ui:proxy-word-0815@127.0.0.1:1"
    form.fill("okta_secret", **good, extra={"key_passphrase": PASSPHRASE, "http_proxy": proxy})
    form.save()
    look_everywhere(form, "okta_secret", eavesdropper)

    secrets = [*good["key"].splitlines()[1:-1], PASSPHRASE, "proxy-word-0815"]
    said, heard = "".join(eavesdropper.said), "".join([*eavesdropper.told, *eavesdropper.shown])
    assert all(secret in said for secret in secrets), "the search finds what the form has sent"
    assert [secret[:6] for secret in [*secrets, *stage.org.tokens] if secret in heard] == []
    assert heard.count("***") >= 3, "key, passphrase and proxy"


def test_a_key_in_extra_does_not_come_back_either(form: ConnectionForm, stage: Stage) -> None:
    org = stage.org
    connection = {**org.connection(private_key=org.private_jwk), "password": None, "port": org.port}
    stage.airflow.add_connection("okta_key_in_extra", connection)
    eavesdropper = Eavesdropper(form.page)
    look_everywhere(form, "okta_key_in_extra", eavesdropper)

    heard = "".join([*eavesdropper.told, *eavesdropper.shown])
    assert "private_key" in heard
    assert "Test Connection Successful" in heard
    assert [name for name in ("d", "p", "q", "dp", "dq", "qi") if org.private_jwk[name] in heard] == []
