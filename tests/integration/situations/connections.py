"""Connections as people write them: in a variable, in an export, in a form, with other names and other values."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import trustme

from airflow_okta_workflows.cli.main import main
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from tests.airflow_features import TASK_STATE_STORE
from tests.integration.situations.stage import ALIAS, Act, Stage, each, refused, taken
from tests.integration.test_connection_variables import BROKEN, JSON, MEMBERS, URI, read_as_uri
from tests.unit.core.keys.key_forms import PEM_OF_JWK

INVOKE_URL = f"https://acme.workflows.okta.com/api/flo/{ALIAS}/invoke"
Show = Callable[[Any], str]


def variable(*names: str) -> list[Act]:
    """Return a form for each of these texts of a variable that Airflow cannot read as it is meant."""
    return each(_read, [BROKEN[name][0] for name in names])


def misread(*texts: str) -> list[Act]:
    """Return a form for each text that a secrets backend, or an import, has given Airflow as a URI."""
    return each(lambda stage, text: str(read_as_uri(text)), texts)


def fields(*variants: dict[str, Any], show: Show | None = None) -> list[Act]:
    """Return a form for each set of fields that a connection has beside, or in place of, the necessary ones."""
    return each(lambda stage, one: _read(stage, json.dumps({**MEMBERS, **one}), show), variants)


def extra(*variants: dict[str, Any], show: Show | None = None) -> list[Act]:
    """Return a form for each set of fields in extra."""
    return fields(*({"extra": one} for one in variants), show=show)


def _read(stage: Stage, connection: str, show: Show | None = None) -> str:
    settings = stage.connect(connection).settings
    return f"Used: {show(settings)}" if show else "Used"


def _check_file(stage: Stage, text: str) -> str:
    code = main(["check", "--file", stage.file(text % json.dumps(stage.org.connection()))])
    return "Each step passes" if code == 0 else f"It ends with {code}"


def _small(stage: Stage) -> str:
    stage.patch.delenv("AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT")
    stage.patch.setenv("AIRFLOW_CONN_okta_workflows_default", JSON)
    return f"{OktaWorkflowsHook(runtime=stage.world.runtime()).settings}"


def _allowed(settings: Any) -> str:
    return "hosts " + ", ".join(sorted(origin.netloc for origin in settings.allowed - {settings.workflows}))


def _flow(settings: Any) -> str:
    (flow,) = settings.flows.values()
    return str(flow.url)


HOSTS = ("flows.acme.com", "b.acme.com:8443")
CA = trustme.CA().cert_pem.bytes().decode()
SDK = {"orgUrl": "https://acme.okta.com", "clientId": "0oa1b2c3", "privateKey": PEM_OF_JWK, "scopes": ["okta.workflows.invoke.manage"]}  # fmt: skip
OF_THE_SDK = {"conn_type": "okta_workflows", "host": None, "login": None, "password": None}

CONNECTIONS = [
    taken("A variable with JSON, or with a URI; also with spaces around it", each(_read, (JSON, f" {JSON}\n", URI)), "Used"),
    refused("A URI that begins with `okta_workflows://`", variable("underscore"), "OKW-1016"),
    refused("A value with quotes around it, as an env file keeps them", variable("single quotes", "double quotes", "quotes of bash", "escaped quotes"), "OKW-1027"),
    refused("A URI with a misspelled type that Airflow cannot read: `okta_workflow://`", variable("misspelled type"), "OKW-1016"),
    refused("A value that begins with a byte order mark", variable("byte order mark", "byte order mark before a URI"), "OKW-1030"),
    refused("A value that is a whole line for a shell, with `export`, `set` or the variable's name", variable("export", "set", "PowerShell", "ENV", "name in YAML", "compose"), "OKW-1029"),
    refused("JSON with raw newlines in the key", variable("raw newlines"), "OKW-1024"),
    refused("A connection as Python prints it", variable("python"), "OKW-1033"),
    refused("JSON in a string of JSON", variable("encoded twice"), "OKW-1028"),
    refused("JSON with names that are not Airflow's, such as `user` and `type`", variable("other names"), "OKW-1022"),
    refused("JSON with a JWK as an object in `password`", variable("password as an object"), "OKW-1049"),
    refused("A URI with a raw `/` in the key", variable("raw slash"), "OKW-1018"),
    refused("A URI with a raw `#` in the key", variable("raw hash"), "OKW-1018"),
    refused("A URI with `https://` before the host", variable("host with https"), "OKW-1019"),
    refused("A variable whose name is not in capitals", _small, "OKW-1032"),
    refused("JSON in an env file for `airflow connections import`, or in the local secrets backend: read as a URI", misread(JSON), "OKW-1026"),
    refused("The same of `okta_workflows://`", misread(URI.replace("-", "_", 1)), "OKW-1016"),
    refused("The same with a quote, a byte order mark or `export` before it", misread(f'"{URI}"', f"\ufeff{JSON}", f"export X={JSON}"), "OKW-1025"),
    taken("The type by its label, or in another spelling", fields({"conn_type": "Okta Workflows"}, {"conn_type": "okta-workflows"}, {"conn_type": "OKTA_WORKFLOWS"}), "Used"),
    taken("The file of `airflow connections export`, an env file, or one connection as JSON, for `okta-workflows check --file`", each(_check_file, ('{"okta_workflows_default": %s}', "AIRFLOW_CONN_OKTA=%s\n", "%s")), "Each step passes"),
    refused("A connection without a type", fields({"conn_type": ""}), "OKW-1015"),
    taken("Extra as JSON in a string of JSON", fields({"extra": json.dumps({"flows": {"hello": ALIAS}})}, {"extra": json.dumps(json.dumps({"flows": {"hello": ALIAS}}))}, show=_flow), f"Used: {INVOKE_URL}", feature=TASK_STATE_STORE),
    refused("Extra as Python prints it", fields({"extra": "{'key_id': 'k1'}"}), "OKW-1033", feature=TASK_STATE_STORE),
    taken("`allowed_hosts` as a list, or as a string of it: of JSON, of Python, with commas, semicolons or newlines", extra(*(
        {"allowed_hosts": value} for value in (list(HOSTS), json.dumps(HOSTS), str(list(HOSTS)), ",".join(HOSTS), "; ".join(HOSTS), "\n".join(HOSTS))
    ), show=_allowed), "Used: hosts b.acme.com:8443, flows.acme.com"),
    taken("`flows` as a string of JSON or of Python", extra({"flows": json.dumps({"hello": ALIAS})}, {"flows": str({"hello": ALIAS})}, show=_flow), f"Used: {INVOKE_URL}"),
    taken("Numbers and booleans as strings", extra({"read_timeout": " 90 ", "verify": "TRUE"}, show=lambda found: f"read_timeout {found.read_timeout:g}, verify {found.verify}"), "Used: read_timeout 90, verify True"),
    taken("Fields of an older form: `extra__okta_workflows__key_id`", extra({"extra__okta_workflows__key_id": "k1"}, show=lambda found: f"key_id is {found.key_id}"), "Used: key_id is k1"),
    taken("The names of Okta's SDKs: `orgUrl`, `clientId`, `privateKey`, `scopes`", fields({**OF_THE_SDK, "extra": SDK}, show=lambda found: f"{found.client_id} at {found.domain.host}"), "Used: 0oa1b2c3 at acme.okta.com", warned=True),
    taken("Other spellings of a field: `keyId`", extra({"keyId": "k1"}, show=lambda found: f"key_id is {found.key_id}"), "Used: key_id is k1", warned=True),
    refused("The same field twice, with different values", extra({"key_id": "a", "kid": "b"}), "OKW-1051"),
    taken("A name that is near to a field's", extra({"workflow_host": "x"}), "Used", warned=True),
    refused("A name that is near to a field's, and no private key", fields({"password": None, "extra": {"private_keys": "x"}}), ""),
    refused("The host of the flows as Host", fields({"host": "acme.workflows.okta.com"}, {"host": "acme.workflows.okta.com", "extra": {"workflows_host": "acme.workflows.okta.com"}}), "OKW-1084"),
    refused("The admin console as Host", fields({"host": "https://acme-admin.okta.com/admin/dashboard"}), "OKW-1084"),
    refused("A typo of an Okta domain", fields({"host": "acme.otka.com"}), "OKW-1084"),
    refused("An ending of an Okta domain that is cut off", fields({"host": "acme.okta.co"}), "OKW-1084"),
    refused("An Okta domain without `.com`", fields({"host": "acme.okta"}), "OKW-1084"),
    refused("A host whose `https://` is mangled", fields({"host": "https//acme.okta.com"}), "OKW-1260"),
    refused("The org's name alone as Host", fields({"host": "acme"}), "OKW-1082"),
    refused("A custom domain without `workflows_host`", fields({"host": "login.acme.com"}), "OKW-1012"),
    refused("The org's domain as `workflows_host`", extra({"workflows_host": "acme.okta.com"}), "OKW-1081"),
    taken("An authorization server behind the domain", fields({"host": "https://acme.okta.com/oauth2/default"}), "Used", warned=True),
    taken("A flow by its invoke URL, without `https://`, or by its path", extra(*(
        {"flows": {"hello": url}} for url in (INVOKE_URL, INVOKE_URL.removeprefix("https://"), f"/api/flo/{ALIAS}/invoke")
    ), show=_flow), f"Used: {INVOKE_URL}"),
    refused("A flow by its number", extra({"flows": {"hello": "247234"}}), "OKW-1038"),
    taken("An invoke URL in quotes or angle brackets", extra(*({"flows": {"hello": around % INVOKE_URL}} for around in ("'%s'", '"%s"', "<%s>")), show=_flow), f"Used: {INVOKE_URL}"),
    refused("An invoke URL with other words: `POST https://…`, `curl https://…`", extra(*({"flows": {"hello": f"{words} {INVOKE_URL}"}} for words in ("POST", "curl -X POST"))), "OKW-1261"),
    refused("A flow's URL at a typo of the workflows host", extra({"flows": {"hello": INVOKE_URL.replace("okta.com", "otka.com")}}), "OKW-1081"),
    refused("A flow's URL at the org's domain", extra({"flows": {"hello": INVOKE_URL.replace(".workflows", "")}}), "OKW-1081"),
    refused("A typo of the workflows host in `allowed_hosts`", extra({"allowed_hosts": ["acme.workflows.otka.com"]}), "OKW-1081"),
    refused("A flow by its page in the Workflows console", extra({"flows": {"hello": "https://acme.workflows.okta.com/app/folders/5/flows/247234"}}), "OKW-1040"),
    refused("An invoke URL with a client token", extra({"flows": {"hello": f"{INVOKE_URL}?clientToken=t0ken"}}), "OKW-1039"),
    refused("The text of a CA certificate in `verify`, also on one line", extra({"verify": CA}, {"verify": CA.replace("\n", "\\n")}), "OKW-1302"),
]  # fmt: skip
