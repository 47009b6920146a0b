"""The recipes of docs/deployment.md: their YAML and JSON have the shapes that their readers take.

The values schema of Airflow's Helm chart is in no package index, so ``CHART`` holds what was read of it, in the chart's
``values.schema.json`` and in its template of the worker pods: the members that the page uses, their types, and where the
schema allows no others.
"""

from __future__ import annotations

import configparser
import json
import logging
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml  # type: ignore[import-untyped]  # Airflow brings it, without its types
from airflow.secrets.local_filesystem import LocalFilesystemBackend

from airflow_okta_workflows.connection.reader import parse_connection
from airflow_okta_workflows.connection.settings import OktaWorkflowsSettings
from airflow_okta_workflows.core.keys.generation import generate_jwk
from airflow_okta_workflows.core.secret import Secret
from airflow_okta_workflows.get_provider_info import get_provider_info
from airflow_okta_workflows.pace.redis_address import parse_redis_url
from tests.airflow_features import CONFIGS_FILE, connection_class, lacks, needs
from tests.pages import ROOT, Block, blocks, files

PAGE = "docs/deployment.md"
FILES = files(PAGE)
KEY = json.dumps(generate_jwk())
MOUNTED = "/opt/airflow/okta-workflows"


def closed(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "additionalProperties": False}


TEXT = {"type": "string"}
NAMED = {"type": "object", "required": ["name"], "properties": {"name": TEXT}}
CHART = closed(
    executor={"type": "string", "pattern": r"^([a-zA-Z_][a-zA-Z0-9_]*\.)*[A-Z][a-zA-Z0-9]+Executor$"},
    images=closed(airflow=closed(repository=TEXT, tag=TEXT, digest=TEXT, pullPolicy=TEXT)),
    securityContexts=closed(pod={"type": "object"}, containers={"type": "object"}),
    secret={
        "type": "array",
        "items": {**closed(envName=TEXT, secretName=TEXT, secretKey=TEXT), "required": ["envName", "secretName"]},
    },
    volumes={"type": "array", "items": NAMED},
    volumeMounts={"type": "array", "items": {**NAMED, "required": ["name", "mountPath"]}},
    config={"type": "object", "additionalProperties": {"type": "object"}},
)
VOLUME = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": TEXT,
        "secret": closed(secretName=TEXT, defaultMode={"type": "integer"}),
        "persistentVolumeClaim": closed(claimName=TEXT),
    },
    "additionalProperties": False,
}
MOUNT = {**closed(name=TEXT, mountPath=TEXT, readOnly={"type": "boolean"}), "required": ["name", "mountPath"]}


def parsed(name: str) -> Any:
    return yaml.safe_load(FILES[name])


def settings_of(connection: Any) -> OktaWorkflowsSettings:
    return parse_connection(connection, connection.extra_dejson)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings; the first look into a backend also makes Airflow 3.2 import, and log, much else."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def own(language: str) -> list[Block]:
    return [block for block in blocks(PAGE) if block.language == language and not block.title]


def test_each_file_can_be_parsed() -> None:
    assert set(FILES) == {
        "okta-workflows/connections.json",
        "okta-workflows/configs.json",
        "values.yaml",
        "values-variable.yaml",
        "okta-shared.yaml",
        "pod_template.yaml",
    }
    for name, text in FILES.items():
        assert isinstance(yaml.safe_load(text) if name.endswith(".yaml") else json.loads(text), dict)


@pytest.mark.parametrize("name", ["values.yaml", "values-variable.yaml"])
def test_the_chart_knows_each_value(name: str) -> None:
    jsonschema.validate(parsed(name), CHART)


@pytest.mark.parametrize(
    "spec", [parsed("values.yaml"), parsed("pod_template.yaml")["spec"]], ids=["values", "template"]
)
def test_what_is_mounted_is_a_volume_of_the_pod(spec: dict[str, Any]) -> None:
    mounts = spec.get("volumeMounts") or spec["containers"][0]["volumeMounts"]
    for volume in spec["volumes"]:
        jsonschema.validate(volume, VOLUME)
    for mount in mounts:
        jsonschema.validate(mount, MOUNT)

    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert {mount["name"]: mount["mountPath"] for mount in mounts} == {
        "okta-workflows": MOUNTED,
        "okta-shared": "/opt/airflow/okta-shared",
    }
    assert set(volumes) == {mount["name"] for mount in mounts}
    assert volumes["okta-workflows"]["secret"]["defaultMode"] == stat.S_IRUSR | stat.S_IRGRP
    assert (
        volumes["okta-shared"]["persistentVolumeClaim"]["claimName"] == parsed("okta-shared.yaml")["metadata"]["name"]
    )
    assert parsed("okta-shared.yaml")["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_pod_template_has_the_container_that_the_executor_looks_for() -> None:
    template, values = parsed("pod_template.yaml"), parsed("values.yaml")
    (container,) = template["spec"]["containers"]
    (variable,) = container["env"]

    assert (template["apiVersion"], template["kind"]) == ("v1", "Pod")
    assert (container["name"], template["spec"]["restartPolicy"]) == ("base", "Never")
    assert container["image"] == "{repository}:{tag}".format(**values["images"]["airflow"])
    assert variable == {
        "name": "AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR",
        "value": values["config"]["okta_workflows"]["token_cache_dir"],
    }
    assert template["spec"]["securityContext"]["runAsUser"] == values["securityContexts"]["pod"]["runAsUser"]


def test_the_token_cache_is_below_the_mount_and_not_the_mount_itself() -> None:
    values = parsed("values.yaml")
    directory = Path(values["config"]["okta_workflows"]["token_cache_dir"])

    assert str(directory.parent) in {mount["mountPath"] for mount in values["volumeMounts"]}


def test_each_option_of_the_provider_is_one() -> None:
    options = parsed("values.yaml")["config"]["okta_workflows"]
    known = get_provider_info()["config"]["okta_workflows"]["options"]
    variables = [secret["envName"] for secret in parsed("values-variable.yaml")["secret"]]

    assert {name.removesuffix("_secret") for name in options} <= set(known)
    assert [
        name for name in options if name.endswith("_secret") and not known[name.removesuffix("_secret")]["sensitive"]
    ] == []
    assert variables == ["AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT", "AIRFLOW__OKTA_WORKFLOWS__REDIS_URL"]


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """Return a folder with the files of the secret, as they are mounted."""
    for name in ("connections.json", "configs.json"):
        (tmp_path / name).write_text(FILES[f"okta-workflows/{name}"].replace(MOUNTED, str(tmp_path)))
    (tmp_path / "okta-key.jwk").write_text(KEY)
    return tmp_path


def backend_of(page: str, mounted: Path) -> LocalFilesystemBackend:
    arguments = {name: path.replace(MOUNTED, str(mounted)) for name, path in json.loads(page).items()}
    return LocalFilesystemBackend(**arguments)


@lacks(CONFIGS_FILE)
def test_before_airflow_has_settings_in_files_the_backend_gives_the_connection(mounted: Path) -> None:
    backend = LocalFilesystemBackend(connections_file_path=str(mounted / "connections.json"))
    settings = settings_of(backend.get_connection("okta_workflows_default"))

    assert settings.domain.host == "acme.okta.com"


@needs(CONFIGS_FILE)
@pytest.mark.parametrize("place", ["values", "ini"])
def test_the_backend_of_airflow_gives_connection_and_redis_url(
    place: str, mounted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if place == "values":
        secrets = parsed("values.yaml")["config"]["secrets"]
    else:
        config = configparser.ConfigParser()
        config.read_string(own("ini")[0].text)
        secrets = dict(config["secrets"])
    name = parsed("values.yaml")["config"]["okta_workflows"]["redis_url_secret"]

    assert secrets["backend"] == f"{LocalFilesystemBackend.__module__}.LocalFilesystemBackend"
    backend = backend_of(secrets["backend_kwargs"], mounted)
    settings = settings_of(backend.get_connection("okta_workflows_default"))

    assert warnings_in(caplog) == []
    assert settings.domain.host == "acme.okta.com"
    assert not settings.gives_secrets_away
    assert settings.find_flow("hello").origin.host == "acme.workflows.okta.com"
    address = parse_redis_url(Secret(backend.get_config(name) or ""))
    assert address is not None
    assert address.host == "redis.example.com"


@needs(CONFIGS_FILE)
def test_airflow_takes_the_redis_url_from_the_backend(mounted: Path) -> None:
    config = parsed("values.yaml")["config"]
    environment = {
        f"AIRFLOW__{section.upper()}__{name.upper()}": str(value).replace(MOUNTED, str(mounted))
        for section in ("secrets", "okta_workflows")
        for name, value in config[section].items()
    }
    script = "from airflow.providers.common.compat.sdk import conf; print(conf.get('okta_workflows', 'redis_url'))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=ROOT,
        env={**os.environ, **environment, "AIRFLOW_HOME": str(mounted / "home")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stdout.splitlines()[-1:] == [
        json.loads(FILES["okta-workflows/configs.json"])["okta_workflows_redis_url"]
    ], done.stderr


@pytest.mark.parametrize("block", own("json"), ids=str)
@pytest.mark.parametrize("extra_as", ["object", "string"])
def test_the_connection_of_vault_and_of_aws_is_read(
    block: Block, extra_as: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Both hand Airflow the JSON of the connection, AWS with the members of a connection alone."""
    connection = json.loads(block.text.replace("<the private key: a JWK or a PEM>", json.dumps(KEY)[1:-1]))
    if extra_as == "string":
        connection["extra"] = json.dumps(connection["extra"])
    members = {"conn_type", "host", "login", "password", "port", "schema", "extra"}

    assert set(connection) <= members
    made = connection_class().from_json(json.dumps({**dict.fromkeys(members), **connection}), conn_id="okta")
    settings = settings_of(made)
    assert warnings_in(caplog) == []
    assert settings.find_flow("hello").origin.host == "acme.workflows.okta.com"
    assert not settings.gives_secrets_away


def test_the_backends_find_both_secrets_where_the_page_puts_them() -> None:
    text = (ROOT / PAGE).read_text()
    _, vault, aws = (dict(config_of(block)["secrets"]) for block in own("ini"))
    for_vault, for_aws = json.loads(vault["backend_kwargs"]), json.loads(aws["backend_kwargs"])

    written = re.findall(r"vault kv put -mount=(\S+) (\S+) @", text)
    assert written == [
        (for_vault["mount_point"], f"{for_vault['connections_path']}/okta_workflows_default"),
        (for_vault["mount_point"], f"{for_vault['config_path']}/okta_workflows_redis_url"),
    ]
    assert f"`{for_aws['connections_prefix']}/okta_workflows_default`" in text
    assert f"`{for_aws['config_prefix']}/okta_workflows_redis_url`" in text


def config_of(block: Block) -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read_string(block.text)
    return config
