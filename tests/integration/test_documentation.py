"""What the README and the docs show is true: their Python runs, their connections are read, their tables are the code's."""

from __future__ import annotations

import ast
import configparser
import inspect
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator, ParamValidationError, conf

from airflow_okta_workflows.connection.fields import FORM
from airflow_okta_workflows.connection.reader import parse_connection
from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
from airflow_okta_workflows.core.flows.expressions import Expression
from airflow_okta_workflows.core.flows.values import VALUE_RULES
from airflow_okta_workflows.core.keys.generation import generate_jwk
from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.emulator.flow_file import flows_in
from airflow_okta_workflows.exceptions import OktaFlowFailedError
from airflow_okta_workflows.get_provider_info import get_provider_info
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.operators.base import FlowOperator
from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowBatchOperator, InvokeOktaFlowOperator
from airflow_okta_workflows.sensors.okta_workflows import OktaFlowSensor
from tests.airflow_features import RETRY_POLICY
from tests.pages import ALIAS, CLIENT_ID, PAGES, ROOT, SCRIPTS, Block, blocks, rows, write_files

KEY = json.dumps(generate_jwk())
# These blocks stand inside a DAG, and are run there by tests/e2e/test_documented_dags.py.
IN_A_DAG = "docs/operators.md"
ALL = [block for page in PAGES for block in blocks(page)]


def of(language: str, *, titled: bool = False) -> list[Block]:
    return [block for block in ALL if block.language == language and bool(block.title) is titled]


def test_each_block_is_of_a_kind_that_is_checked() -> None:
    assert {block.language for block in ALL if not block.title} == {"python", "json", "console", "bash", "ini"}
    # Files are taken up by the tests of their page: as the reader's, or as a DAG's.
    assert {(block.page, block.language) for block in ALL if block.title} == {
        ("docs/command-line.md", "json"),
        ("docs/command-line.md", "python"),
        ("docs/connection.md", "json"),
        ("docs/deployment.md", "json"),
        ("docs/deployment.md", "yaml"),
        ("docs/key-rotation.md", "json"),
        ("docs/local-org.md", "python"),
        ("docs/notifications.md", "python"),
        ("docs/writing-flows.md", "python"),
    }
    assert {block.page for block in ALL if block.language == "console"} == {
        "docs/command-line.md",
        "docs/deployment.md",
        "docs/docker-compose.md",
        "docs/key-rotation.md",
        "docs/local-org.md",
        "docs/okta-setup.md",
        "docs/troubleshooting.md",
        "docs/tutorial.md",
    }


@pytest.mark.parametrize("page", sorted({block.page for block in of("python")} - {IN_A_DAG}))
def test_the_python_of_a_page_runs(page: str, okta_local_org: LocalOrg) -> None:
    names: dict[str, Any] = {}
    for block in [block for block in of("python") if block.page == page]:
        before = set(names)
        if "airflow_okta_workflows.retry_policy" in block.text and not RETRY_POLICY.there:
            with pytest.raises(ImportError, match=r"which Airflow has since 3\.3"):
                exec(compile(block.text, str(block), "exec"), names)
            continue
        exec(compile(block.text, str(block), "exec"), names)
        for name in [name for name in names if name.startswith("test_") and name not in before]:
            names[name](okta_local_org)


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], str]:
    """Put what the pages say is at /opt/airflow and in /etc/ssl into a place of the test's own."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/okta-key.jwk").write_text(KEY)
    (tmp_path / "acme-ca.pem").write_text("")

    def there(text: str) -> str:
        text = text.replace("<the private key: a JWK or a PEM>", json.dumps(KEY)[1:-1])
        text = text.replace("<alias or invoke URL>", ALIAS).replace("0oa…", CLIENT_ID)
        return text.replace("/opt/airflow", str(tmp_path)).replace("/etc/ssl", str(tmp_path))

    return there


def read(connection: dict[str, Any]) -> OktaWorkflowsSettings:
    extra = connection.get("extra", {})
    fields: dict[str, Any] = {"conn_id": "okta", "login": None, "password": None, "schema": None, "port": None}
    return parse_connection(SimpleNamespace(**{**fields, **connection, "extra": json.dumps(extra)}), extra)


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_a_connection_is_read_without_a_fault_or_a_warning(
    block: Block, machine: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    settings = read(json.loads(machine(block.text)))

    assert caplog.text == ""
    assert not settings.gives_secrets_away


@pytest.mark.parametrize("block", of("bash"), ids=str)
def test_a_shell_sets_a_connection(block: Block, machine: Callable[[str], str]) -> None:
    done = subprocess.run(
        ["bash", "-c", machine(block.text) + "\nprintenv AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT"],
        capture_output=True,
        text=True,
        check=True,
    )

    settings = read(json.loads(done.stdout))
    assert settings.domain.host == "acme.okta.com"
    assert not settings.gives_secrets_away


@pytest.mark.parametrize("block", of("ini"), ids=str)
def test_airflow_knows_each_option(block: Block) -> None:
    config = configparser.ConfigParser()
    config.read_string(block.text)
    own = get_provider_info()["config"]
    for section in config.sections():
        known = own[section]["options"] if section in own else conf.getsection(section)
        assert set(config[section]) <= set(known)


def test_a_secrets_backend_gives_the_connection(machine: Callable[[str], str], tmp_path: Path) -> None:
    (backend,) = [block for block in of("ini") if block.page == "docs/connection.md"]
    (connections,) = [block for block in ALL if block.title == "connections.json"]
    (tmp_path / connections.title).write_text(machine(connections.text))
    config = configparser.ConfigParser()
    config.read_string(machine(backend.text))
    environment = {f"AIRFLOW__SECRETS__{name.upper()}": value for name, value in config["secrets"].items()}
    # Nobody listens there: fields and key are what this is about.
    environment |= {"AIRFLOW_HOME": str(tmp_path / "home"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run(
        [SCRIPTS / "okta-workflows", "check", "--output", "json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    steps = {step["step"]: step for step in json.loads(done.stdout)["steps"]}
    assert steps["fields"]["detail"] == "0oa1b2c3d4 at acme.okta.com, flows at acme.workflows.okta.com"
    assert f"from the key file {tmp_path}/keys/okta-key.jwk" in steps["key"]["detail"]


def code(cell: str) -> str | None:
    """Return what a cell shows as code, if it is all code."""
    found = re.fullmatch(r"``? ?(.*?) ?``?", cell)
    return found[1] if found else None


def example(cell: str) -> Any:
    text = code(cell)
    assert text is not None, cell
    try:
        return json.loads(text)
    except ValueError:
        return text


FIELDS = {row[0].strip("`"): row for row in rows("docs/connection.md", "## Fields")[1:]}


def test_each_field_of_the_connection_is_told() -> None:
    own = {"Okta domain", "Client ID", "Private key", "Port", "Schema"}

    assert set(FIELDS) == {*FORM["conn-fields"], "private_key", *own}


@pytest.mark.parametrize("name", list(FORM["conn-fields"]))
def test_the_example_of_each_field_is_taken(
    name: str, machine: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    *_, cell = FIELDS[name]
    value = example(machine(cell))
    key = {} if name == "key_file" else {"password": KEY}
    settings = read(
        {"conn_type": "okta_workflows", "host": "acme.okta.com", "login": "0oa", **key, "extra": {name: value}}
    )

    assert caplog.text == ""
    assert settings.key_text


@pytest.mark.parametrize(
    "name", ["scope", "assertion_lifetime", "connect_timeout", "read_timeout", "rate_limit_wait", "max_response_bytes"]
)
def test_what_a_field_is_when_left_out(name: str) -> None:
    settings = read({"conn_type": "okta_workflows", "host": "acme.okta.com", "login": "0oa", "password": KEY})

    told = FIELDS[name][3]
    assert getattr(settings, name) == example(told if code(told) else f"`{told}`")


def test_each_setting_of_the_containers_is_told() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    settings = {line.lstrip("#").partition("=")[0] for line in lines if re.match(r"#?[A-Z_]+=", line)}
    tables = [
        row[0]
        for heading in ("## Settings", "## An org of your own")
        for row in rows("docs/docker-compose.md", heading)[1:]
    ]

    assert {name for cell in tables for name in re.findall(r"`([A-Z_]+)`", cell)} == settings


@pytest.mark.parametrize(
    ("operator", "base"),
    [
        (InvokeOktaFlowOperator, BaseOperator),
        (InvokeOktaFlowBatchOperator, BaseOperator),
        (OktaFlowSensor, BaseSensorOperator),
    ],
)
def test_each_parameter_is_told_with_its_default(operator: type[BaseOperator], base: type[BaseOperator]) -> None:
    bases = [one for one in operator.__mro__ if issubclass(one, (FlowOperator, OktaFlowSensor))]
    own = {
        name: parameter.default
        for one in bases
        for name, parameter in inspect.signature(one).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    told = {name.strip("`"): code(default) for name, default, _ in rows(IN_A_DAG, f"## {operator.__name__}")[1:]}

    assert set(told) == set(own)
    for name, default in told.items():
        if default == "[operators] default_deferrable":
            assert own[name] is conf.getboolean("operators", "default_deferrable")
        elif default is None:
            assert own[name] is inspect.Parameter.empty
        else:
            assert own[name] == ast.literal_eval(default)
    section = (ROOT / IN_A_DAG).read_text().partition(f"\n## {operator.__name__}\n")[2].partition("\n## ")[0]
    listed = re.search(r"((?:`\w+`(?:,| and)\s)+`\w+`) are\s+templated", section)
    assert listed
    assert set(re.findall(r"`(\w+)`", listed[1])) == set(operator.template_fields)


@pytest.mark.parametrize("row", rows(IN_A_DAG, "### Conditions and results")[1:], ids=lambda row: row[1])
def test_each_expression_gives_what_the_page_says(row: list[str]) -> None:
    body, expression, value = row
    text = code(expression)
    assert text is not None

    assert Expression(text, "result").search(example(body)) == example(value)


def test_each_link_leads_somewhere() -> None:
    anchors = {
        page: {
            *map(anchor, (text := (ROOT / page).read_text()).splitlines()),
            *re.findall(r'<a id="([^"]+)"></a>', text),
        }
        for page in PAGES
    }
    for page in PAGES:
        links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.S | re.M))
        for link in links:
            if "://" in link:
                continue
            name, _, fragment = link.partition("#")
            target = str(((ROOT / page).parent / name).resolve().relative_to(ROOT)) if name else page
            assert (ROOT / target).exists(), f"{page}: {link}"
            assert not fragment or fragment in anchors[target], f"{page}: {link}"


def anchor(line: str) -> str:
    """Return the anchor of a heading, as GitHub makes it; nothing for another line."""
    if not line.startswith("#"):
        return ""
    return re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")


def test_a_closed_list_of_flows_takes_no_other() -> None:
    (block,) = [block for block in of("python") if block.page == "docs/security.md"]
    names: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), names)
    choice = names["dag"].params.get_param("flow")

    assert choice.resolve("offboard") == "offboard"
    for other in ("delete_all_users", ALIAS, f"https://acme.workflows.okta.com/api/flo/{ALIAS}/invoke"):
        with pytest.raises(ParamValidationError):
            choice.resolve(other)


def test_the_idempotent_flow_does_failed_work_anew(okta_local_org: LocalOrg, tmp_path: Path) -> None:
    write_files("docs/writing-flows.md", tmp_path)
    (declared,) = [one for one in flows_in(tmp_path / "flows.py") if one.name == "open_ticket"]
    okta_local_org.flow("open_ticket")(declared.function)
    hook = OktaWorkflowsHook()

    with pytest.raises(OktaFlowFailedError, match="returned 500"):
        hook.invoke("open_ticket", {}, idempotency_key="a-key")
    first = hook.invoke("open_ticket", {"summary": "x"}, idempotency_key="a-key")
    second = hook.invoke("open_ticket", {"summary": "x"}, idempotency_key="a-key")
    hook.close()

    assert first.body == second.body == {"ticket": "T-1", "summary": "x"}


def test_the_flow_that_can_be_asked_is_found_by_its_key_and_fails_in_its_row(
    okta_local_org: LocalOrg, tmp_path: Path
) -> None:
    write_files("docs/writing-flows.md", tmp_path)
    okta_local_org.add_flows({one.name: one.function for one in flows_in(tmp_path / "flows.py")})
    hook = OktaWorkflowsHook()

    def ended(key: str) -> Any:
        for _ in range(50):
            body = hook.invoke("enroll_status", {"idempotency_key": key}).body
            if body["status"] != "RUNNING":
                break
            time.sleep(0.2)
        return body

    not_there = ended("good")
    responses = [
        hook.invoke("enroll", payload, idempotency_key=key).body
        for key, payload in (("good", {"email": "ada@example.com"}), ("bad", {}))
    ]
    good, bad = ended("good"), ended("bad")
    hook.close()

    assert not_there == {"status": "NOT_FOUND", "idempotency_key": "good"}
    assert responses == [{"status": "RUNNING"}] * 2
    assert good == {
        "status": "SUCCEEDED",
        "idempotency_key": "good",
        "result": {"email": "ada@example.com", "courses": 3},
    }
    assert bad == {"status": "FAILED", "idempotency_key": "bad"}


def test_the_table_of_values_is_the_codes() -> None:
    shown = (ROOT / IN_A_DAG).read_text().partition("<!-- values: begin -->")[2].partition("<!-- values: end -->")[0]
    rows = [f"| {rule.types} | {rule.becomes or 'refused. ' + rule.fix} |" for rule in VALUE_RULES]

    assert shown.strip().splitlines()[2:] == [row.replace("(…)", "(...)") for row in rows]
