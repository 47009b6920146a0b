from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from airflow.providers.common.compat.sdk import BaseHook, BaseNotifier, BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

import airflow_okta_workflows
from airflow_okta_workflows import __version__
from airflow_okta_workflows.connection.fields import FORM
from airflow_okta_workflows.get_provider_info import get_provider_info
from airflow_okta_workflows.hooks.okta_workflows import OktaWorkflowsHook
from airflow_okta_workflows.links.okta_workflows import OktaFlowLink
from tests.airflow_features import RETRY_POLICY, needs

ROOT = Path(__file__).parents[2]
BASE_CLASSES = {"FlowHook", "FlowOperator", "AskingOperator", "SingleInvocationOperator"}
"""Classes that no DAG uses by themselves."""
SENSITIVE = ("token", "secret", "password", "private_key", "authorization", "api_key")


def test_it_imports_nothing() -> None:
    script = (
        "import sys; before = set(sys.modules);"
        "from airflow_okta_workflows.get_provider_info import get_provider_info; get_provider_info();"
        "print(sorted(set(sys.modules) - before))"
    )
    # -I and -S: nothing of the environment, such as an editable install's finder, is counted.
    path = str(Path(airflow_okta_workflows.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {path!r}); {script}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.strip() == "['airflow_okta_workflows', 'airflow_okta_workflows.get_provider_info']"


def test_the_distribution_names_itself_and_its_entry_points() -> None:
    distribution = importlib.metadata.distribution("airflow-provider-okta-workflows")
    points = {(point.group, point.name): point.value for point in distribution.entry_points}

    assert get_provider_info()["package-name"] == distribution.metadata["Name"]
    assert distribution.version == __version__
    assert points[("apache_airflow_provider", "provider_info")].startswith("airflow_okta_workflows.get_provider_info:")
    assert ("pytest11", "okta_workflows") in points
    assert points[("console_scripts", "okta-workflows")] == "airflow_okta_workflows.cli.main:main"


def test_airflow_accepts_the_metadata() -> None:
    from importlib.resources import files

    import jsonschema

    jsonschema.validate(
        get_provider_info(), json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    )


def test_every_named_thing_is_there() -> None:
    info = get_provider_info()
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                importlib.import_module(module)
    for path in info["cli"]:
        module, _, name = path.rpartition(".")
        assert [group.name for group in getattr(importlib.import_module(module), name)()] == ["okta-workflows"]
    for decorator in info["task-decorators"]:
        module, _, name = decorator["class-name"].rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
    for class_name in info["extra-links"]:
        module, _, name = class_name.rpartition(".")
        assert getattr(importlib.import_module(module), name) is OktaFlowLink
    for class_name in info["notifications"]:
        module, _, name = class_name.rpartition(".")
        assert issubclass(getattr(importlib.import_module(module), name), BaseNotifier)
    module, _, name = FORM["hook-class-name"].rpartition(".")
    assert getattr(importlib.import_module(module), name) is OktaWorkflowsHook
    assert (OktaWorkflowsHook.conn_type, OktaWorkflowsHook.hook_name) == (FORM["connection-type"], FORM["hook-name"])


@needs(RETRY_POLICY)
def test_the_retry_policies_are_there() -> None:
    from airflow.providers.common.compat.sdk import RetryPolicy

    (path,) = get_provider_info()["retry-policies"]
    module, _, name = path.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), name), RetryPolicy)


@pytest.mark.parametrize(
    ("kind", "base"),
    [("hooks", BaseHook), ("operators", BaseOperator), ("sensors", BaseSensorOperator), ("triggers", BaseTrigger)],
)
def test_each_class_is_in_a_listed_module(kind: str, base: type) -> None:
    package = importlib.import_module(f"airflow_okta_workflows.{kind}")
    there = {
        name
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
        for name, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if issubclass(found, base) and found.__module__.startswith(f"{package.__name__}.") and not name.startswith("_")
    }
    listed = {
        name
        for entry in get_provider_info()[kind]
        for module in entry["python-modules"]
        for name in vars(importlib.import_module(module))
    }

    assert there - BASE_CLASSES
    assert there - BASE_CLASSES <= listed


def test_each_list_of_modules_is_of_the_one_integration() -> None:
    info = get_provider_info()
    (integration,) = info["integrations"]
    kinds = [value for value in info.values() if isinstance(value, list) and value and "python-modules" in value[0]]

    assert len(kinds) == 4
    assert {entry["integration-name"] for kind in kinds for entry in kind} == {integration["integration-name"]}
    assert "bundles" not in info, "it has no DAG bundle"


def test_the_logo_is_there_and_draws_nothing_from_elsewhere() -> None:
    folder, _, name = get_provider_info()["integrations"][0]["logo"].rpartition("/")
    text = (ROOT / "docs" / "images" / name).read_text()

    assert folder == "/docs/integration-logos"
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in text
    assert text.count("://") == 1, "the name of its format alone"


def test_the_form_can_be_left_empty_and_masks_what_is_secret() -> None:
    for name, field in FORM["conn-fields"].items():
        assert "null" in field["schema"]["type"], name
        assert field["label"]
        assert field["description"]
        masked = field["schema"].get("format") == "password"
        assert masked is (name == "key_passphrase")
        assert masked or not any(word in name for word in SENSITIVE), "Airflow would show its value as ***"


def test_older_airflows_get_the_same_form() -> None:
    behaviour = OktaWorkflowsHook.get_ui_field_behaviour()

    assert behaviour == {
        "hidden_fields": ["schema"],
        "relabeling": {"host": "Okta domain", "login": "Client ID", "password": "Private key"},
        "placeholders": FORM["ui-field-behaviour"]["placeholders"],
    }


def test_older_airflows_get_the_same_fields(monkeypatch: Any) -> None:
    # Airflow 3's own web server puts such stand-ins in place of Flask AppBuilder, which it does not install.
    from types import ModuleType, SimpleNamespace

    made: list[tuple[str, str]] = []

    def field(kind: str) -> Any:
        def make(label: str, **options: Any) -> SimpleNamespace:
            made.append((kind, label))
            return SimpleNamespace(kind=kind, label=label, **options)

        return make

    kinds = ["BooleanField", "IntegerField", "PasswordField", "StringField"]
    stand_ins: dict[str, dict[str, Any]] = {
        "flask_appbuilder": {},
        "flask_appbuilder.fieldwidgets": {"BS3PasswordFieldWidget": object, "BS3TextFieldWidget": object},
        "flask_babel": {"lazy_gettext": str},
        "wtforms": {kind: field(kind) for kind in kinds},
        "wtforms.validators": {"Optional": lambda: "optional"},
    }
    for name, members in stand_ins.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)

    widgets = OktaWorkflowsHook.get_connection_form_widgets()

    assert list(widgets) == list(FORM["conn-fields"])
    assert widgets["key_passphrase"].kind == "PasswordField"
    assert (widgets["insecure_http"].kind, widgets["insecure_http"].default) == ("BooleanField", False)
    integers = [widget for widget in widgets.values() if widget.kind == "IntegerField"]
    assert widgets["assertion_lifetime"] in integers
    assert all(widget.validators == ["optional"] for widget in integers), "Airflow 2.11 saves no form otherwise"
    assert widgets["workflows_host"].kind == "StringField"
    assert [label for _, label in made] == [field["label"] for field in FORM["conn-fields"].values()]
