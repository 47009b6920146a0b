"""Connections that are edited in the form: nothing that they contain may be lost, and nothing secret shown.

Airflow's API masks values with secret names, the form sends the mask back, and the API server puts the stored value in
its place if the name is still the same.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect

from airflow_okta_workflows.core.keys.generation import pem_of
from airflow_okta_workflows.core.keys.key_text import JWK_PRIVATE_MEMBERS
from tests.ui.connection_form import ConnectionForm
from tests.ui.eavesdropper import Eavesdropper, look_everywhere

if TYPE_CHECKING:
    from tests.ui.conftest import Stage

# The first test starts a whole Airflow, perhaps on two busy cores.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def form(page: Page) -> ConnectionForm:
    return ConnectionForm(page)


@pytest.fixture
def flows(stage: Stage) -> dict[str, str]:
    """Return flows, one of them with a name for which Airflow masks the alias.

    Airflow masks that alias wherever else it is, too, so it must be that of no other flow.
    """
    return {**{name: flow.alias for name, flow in stage.org.flows.items()}, "reset_password": uuid.uuid4().hex}


def add(stage: Stage, conn_id: str, extra: dict[str, Any], password: str | None = None) -> None:
    org = stage.org
    connection = {**org.connection(private_key=org.private_jwk), "port": org.port}
    stage.airflow.add_connection(conn_id, {**connection, "password": password, "extra": extra})


def private_parts(stage: Stage, text: str) -> list[str]:
    """Return the names of the key's private members of which a text contains anything that is longer than a word."""
    jwk = stage.org.private_jwk
    return [name for name in JWK_PRIVATE_MEMBERS if name in jwk and jwk[name][:16] in text]


@pytest.mark.parametrize("written", ["objects", "strings", "password"])
def test_a_connection_written_as_json_stays_as_it_is(
    form: ConnectionForm, stage: Stage, flows: dict[str, str], written: str
) -> None:
    jwk, conn_id = stage.org.private_jwk, f"okta_as_{written}"
    extra: dict[str, Any] = {
        "insecure_http": False,
        "private_key": jwk,
        "flows": flows,
        "allowed_hosts": ["flows.acme.com"],
        "verify": True,
        "connect_timeout": 0.5,
    }
    password = None
    if written == "strings":
        extra = {**extra, "private_key": json.dumps(jwk), "flows": json.dumps(flows)}
    elif written == "password":
        password = json.dumps(extra.pop("private_key"))
    add(stage, conn_id, extra, password)
    eavesdropper = Eavesdropper(form.page)
    look_everywhere(form, conn_id, eavesdropper)
    form.unfold("Standard Fields")
    form.standard("Description").fill("edited")
    form.save()

    expect(form.row(conn_id)).to_contain_text("edited")
    assert stage.stored(conn_id) == (password, extra)
    expect(form.test(conn_id)).to_contain_text("Test Connection Successful")
    heard = "".join([*eavesdropper.told, *eavesdropper.shown])
    assert flows["hello"] in heard, "the search finds what is not masked"
    assert private_parts(stage, heard) == []
    assert private_parts(stage, "".join(eavesdropper.said)) == [], "it does not have what it could send back"


def test_a_connection_made_in_the_form_keeps_its_other_fields(
    form: ConnectionForm, stage: Stage, flows: dict[str, str]
) -> None:
    org = stage.org
    typed = {"key_id": org.private_jwk["kid"], "key_passphrase": "ui-passphrase-0815", "read_timeout": "30"}
    fields = {"domain": org.url, "client_id": org.app.client_id, "key": pem_of(org.private_jwk)}
    form.fill("okta_made", **fields, flows=flows, extra=typed)
    form.save()
    password, made = stage.stored("okta_made")
    form.edit("okta_made")
    form.unfold("Extra Fields")
    form.extra("scope").fill("okta.workflows.invoke.manage")
    form.save()

    assert made["flows"] == flows
    assert {name: str(made[name]) for name in typed} == typed
    assert stage.stored("okta_made") == (password, {**made, "scope": "okta.workflows.invoke.manage"})
    expect(form.test("okta_made")).to_contain_text("Test Connection Successful")


def test_flows_changed_in_the_form_leave_the_key_beside_them_alone(form: ConnectionForm, stage: Stage) -> None:
    alias = stage.org.flows["hello"].alias
    extra = {"insecure_http": False, "private_key": stage.org.private_jwk, "flows": {"hello": alias}}
    add(stage, "okta_more_flows", extra)
    form.edit("okta_more_flows")
    form.unfold("Extra Fields")
    changed = {"hello": alias, "again": alias}
    form.paste(form.group("Flows").get_by_role("textbox"), json.dumps(changed))
    form.save()

    assert stage.stored("okta_more_flows") == (None, {**extra, "flows": changed})


def test_the_alias_of_a_renamed_flow_is_lost_if_it_was_masked_and_the_test_button_says_so(
    form: ConnectionForm, stage: Stage
) -> None:
    extra = {"insecure_http": False, "private_key": stage.org.private_jwk, "flows": {"get_token": uuid.uuid4().hex}}
    add(stage, "okta_renamed", extra)
    form.edit("okta_renamed")
    form.unfold("Extra Fields")
    flows = form.group("Flows")
    expect(flows.locator(".view-lines")).to_contain_text('"***"')
    form.paste(flows.get_by_role("textbox"), '{"get": "***"}')
    form.save()

    assert stage.stored("okta_renamed") == (None, {**extra, "flows": {"get": "***"}})
    verdict = form.test("okta_renamed")
    expect(verdict).to_contain_text("Test Connection Failed")
    expect(verdict).to_contain_text("'***' is saved in the flow 'get': Airflow shows that instead of a value.")


def test_an_alias_that_is_also_under_a_masked_name_is_lost(form: ConnectionForm, stage: Stage) -> None:
    alias = uuid.uuid4().hex
    flows = {"new_token": alias, "new": alias}
    add(stage, "okta_twice", {"insecure_http": False, "private_key": stage.org.private_jwk, "flows": flows})
    form.open_list()
    expect(form.test("okta_twice")).to_contain_text("Test Connection Successful")
    form.edit("okta_twice")
    form.standard("Description").fill("edited")
    form.save()

    _, extra = stage.stored("okta_twice")
    assert extra["flows"] == {"new_token": alias, "new": "***"}, (
        "only Airflow can change that; docs/connection.md says so"
    )


def test_fields_that_a_connection_lacks_are_not_offered_but_can_be_written_as_json(
    form: ConnectionForm, stage: Stage
) -> None:
    extra = {"insecure_http": False, "private_key": stage.org.private_jwk}
    add(stage, "okta_lacking", extra)
    form.edit("okta_lacking")
    form.unfold("Extra Fields")
    expect(form.group("Allow plain HTTP")).to_be_visible()
    expect(form.extra("read_timeout")).to_have_count(0)
    masked = stage.airflow.connection("okta_lacking")["extra"]
    form.paste_json({**masked, "read_timeout": 30})
    form.unfold("Extra Fields")
    expect(form.extra("read_timeout")).to_have_value("30")
    form.save()

    assert stage.stored("okta_lacking") == (None, {**extra, "read_timeout": 30})
