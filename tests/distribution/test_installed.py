"""The installed wheel, in an environment that had only Airflow and does not know this tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_okta_workflows import __version__
from tests.distribution.bare_environment import BareEnvironment
from tests.pages import ROOT, blocks

NAME = "airflow-provider-okta-workflows"

# The first test installs Airflow, which is downloaded if uv's cache does not have it.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> BareEnvironment:
    """Return an environment that had only Airflow, with the wheel added."""
    bare = BareEnvironment(tmp_path_factory.mktemp("bare"))
    assert NAME not in bare.packages()
    assert "apache-airflow-providers-http" not in bare.packages(), "the wheel itself asks for it"
    bare.install(wheel)
    return bare


@pytest.fixture(scope="module")
def connection(bare: BareEnvironment) -> Iterator[dict[str, str]]:
    with bare.emulator() as connection:
        yield connection


def test_each_package_has_what_it_needs(bare: BareEnvironment) -> None:
    assert "All installed packages are compatible" in bare.fits()
    assert NAME in bare.packages()
    assert bare.packages().isdisjoint({"pytest", "authlib", "flask", "hypothesis", "twine"})


def test_nothing_comes_from_the_tree(bare: BareEnvironment) -> None:
    asked = "import json, sys, airflow_okta_workflows as ours; print(json.dumps([ours.__file__, *sys.path]))"
    file, *path = [Path(place) for place in json.loads(bare.run("python", "-c", asked))]

    assert file.parent.parent.name == "site-packages"
    assert not any(place.is_relative_to(ROOT) for place in [file, *path])


def test_airflow_lists_the_provider(bare: BareEnvironment) -> None:
    listed = json.loads(bare.run("airflow", "providers", "list", "--output", "json"))

    (ours,) = [provider for provider in listed if provider["package_name"] == NAME]
    assert ours["version"] == __version__


def test_airflow_knows_the_connection_type(bare: BareEnvironment) -> None:
    hooks = json.loads(bare.run("airflow", "providers", "hooks", "--output", "json"))

    (ours,) = [hook for hook in hooks if hook["connection_type"] == "okta_workflows"]
    assert ours["package_name"] == NAME
    assert ours["class"] == "airflow_okta_workflows.hooks.okta_workflows.OktaWorkflowsHook"


def test_the_command_line_tells_its_version(bare: BareEnvironment) -> None:
    assert bare.run("okta-workflows", "--version") == f"okta-workflows {__version__}\n"


def test_airflow_has_the_commands(bare: BareEnvironment) -> None:
    told = bare.run("airflow", "okta-workflows", "--help")

    for command in ("check", "conformance", "connection", "emulator", "invoke", "keygen"):
        assert f"\n    {command}" in told


def test_a_connection_is_checked(bare: BareEnvironment, connection: dict[str, str]) -> None:
    checked = json.loads(bare.run("okta-workflows", "check", "--output", "json", **connection))

    assert checked["good"]
    assert "token" in {step["step"] for step in checked["steps"] if step["result"] == "passed"}


def test_a_flow_is_invoked(bare: BareEnvironment, connection: dict[str, str]) -> None:
    invoked = json.loads(
        bare.run("okta-workflows", "invoke", "hello", "--payload", '{"name": "Ada"}', "--output", "json", **connection)
    )

    assert invoked["response"]["status_code"] == 200
    assert invoked["response"]["body"] == {"greeting": "Hello, Ada!"}


def test_the_first_test_of_the_docs_works_with_only_pytest_added(bare: BareEnvironment, connection: object) -> None:
    bare.install("pytest")
    (test,) = [block for block in blocks("docs/first-test.md") if "def test_" in block.text]
    (bare.home / "test_onboarding.py").write_text(test.text)

    assert "\n1 passed" in bare.run("pytest", "-p", "no:cacheprovider", "--tb=short", "-q", "test_onboarding.py")
