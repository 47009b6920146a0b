"""The commands are defined once, for both command lines, and cost next to nothing until one runs."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from airflow_okta_workflows import __version__
from airflow_okta_workflows.cli.commands import COMMANDS, GROUP, Command, flow_target, port
from airflow_okta_workflows.cli.main import standalone_parser
from airflow_okta_workflows.connection.reader import DEFAULT_CONN_ID
from tests.airflow_features import PROVIDER_COMMANDS, lacks, needs
from tests.conftest import CommandLine

HEAVY = ("airflow", "airflow.providers.http", "requests", "aiohttp", "jwt", "cryptography", "rich", "jmespath")
BY_NAME = pytest.mark.parametrize("command", COMMANDS, ids=[command.name for command in COMMANDS])


@pytest.fixture(scope="module")
def airflow_parser() -> Any:
    from airflow.cli.cli_parser import get_parser

    return get_parser()


@pytest.mark.parametrize(
    "script",
    [
        "from airflow_okta_workflows.cli.airflow_commands import get_okta_workflows_commands",
        "from airflow_okta_workflows.cli.main import main; main(['--help'])",
        "from airflow_okta_workflows.cli.main import main; main(['check', '--help'])",
    ],
)
def test_what_every_call_of_airflow_imports_is_light(script: str) -> None:
    root = str(Path(__file__).parents[3])
    program = (
        f"import sys, contextlib; sys.path.insert(0, {root!r}); sys.stdout = sys.stderr\n"
        f"with contextlib.suppress(SystemExit): {script}\n"
        f"sys.__stdout__.write(str([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout == "[]"


@pytest.mark.parametrize("name", ["keygen", "emulator"])
def test_two_commands_need_no_airflow(name: str) -> None:
    program = f"import sys, airflow_okta_workflows.cli.{name}; print('airflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout == "False\n"


def _parsed(parser: argparse.ArgumentParser, arguments: list[str]) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(parser.parse_args(arguments)).items()
        if name not in ("func", "subcommand", "command")
    }


@needs(PROVIDER_COMMANDS)
@BY_NAME
def test_both_command_lines_parse_each_example_alike(command: Command, airflow_parser: Any) -> None:
    for arguments, purpose in command.examples:
        words = [command.name, *shlex.split(arguments.replace("\\\n", " "))]

        assert purpose in command.epilog
        assert _parsed(standalone_parser(), words) == _parsed(airflow_parser, [GROUP, *words])


@needs(PROVIDER_COMMANDS)
@BY_NAME
def test_help_teaches_with_examples_on_both_command_lines(
    command: Command, airflow_parser: Any, okta_workflows: CommandLine, capfd: pytest.CaptureFixture[str]
) -> None:
    standalone = okta_workflows(command.name, "--help")
    with pytest.raises(SystemExit):
        airflow_parser.parse_args([GROUP, command.name, "--help"])
    by_airflow = capfd.readouterr().out

    assert standalone.code == 0
    for text, program in ((standalone.out, ""), (by_airflow, "airflow ")):
        assert command.description in text
        assert f"\n  {program}okta-workflows {command.name}" in text
        for argument in command.arguments:
            assert argument.flags[0] in text or argument.options["metavar"] in text
        assert not any(len(line) > 79 for line in command.description.splitlines())


@BY_NAME
def test_each_command_has_its_module(command: Command) -> None:
    import importlib

    assert callable(importlib.import_module(f"airflow_okta_workflows.cli.{command.name}").run)


def test_help_names_the_connection_that_is_taken_by_default() -> None:
    helps = [
        argument.options["help"]
        for command in COMMANDS
        for argument in command.arguments
        if argument.flags == ("--conn-id",)
    ]

    assert len(helps) == 4
    assert all(DEFAULT_CONN_ID in text for text in helps)


@needs(PROVIDER_COMMANDS)
def test_airflow_finds_the_group_in_provider_info(airflow_parser: Any) -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()  # type: ignore[no-untyped-call]  # Airflow's
    functions = [function.__name__ for function in manager.cli_command_functions]

    assert "get_okta_workflows_commands" in functions
    assert GROUP in airflow_parser.format_help()


@lacks(PROVIDER_COMMANDS)
def test_an_airflow_that_takes_no_commands_has_not_these_and_ours_remain(
    airflow_parser: Any, okta_workflows: CommandLine
) -> None:
    with pytest.raises(SystemExit):
        airflow_parser.parse_args([GROUP, "check"])

    assert GROUP not in airflow_parser.format_help()
    assert okta_workflows("check", "--help").code == 0


def test_the_version_is_the_distribution_s(okta_workflows: CommandLine) -> None:
    assert okta_workflows("--version").out == f"okta-workflows {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["--nonsense"]])
def test_no_command_is_wrong_usage(arguments: list[str], okta_workflows: CommandLine) -> None:
    ended = okta_workflows(*arguments)

    assert (ended.code, ended.out) == (2, "")
    assert "usage: okta-workflows" in ended.err


def test_a_flow_has_a_name_and_an_alias_or_an_invoke_url() -> None:
    assert flow_target("hello=abc") == ("hello", "abc")
    assert flow_target(" hello = https://h/api/flo/a/invoke?x=1 ") == ("hello", "https://h/api/flo/a/invoke?x=1")


@pytest.mark.parametrize("text", ["", "hello", "=abc", "hello=", " = "])
def test_what_names_no_flow_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="NAME=ALIAS"):
        flow_target(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("8099", 8099), ("65535", 65535)])
def test_a_port_is_a_number(text: str, number: int) -> None:
    assert port(text) == number


@pytest.mark.parametrize("text", ["", "-1", "65536", "80.5", "http", "\u0661"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="port"):
        port(text)


def completed(line: str) -> list[str]:
    """Return what the shell would offer at the end of a line, as argcomplete's function for bash asks for it."""
    script = Path(sys.executable).parent / "okta-workflows"
    with tempfile.NamedTemporaryFile("r+") as offered:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COMP_")},
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": offered.name,
            "_ARGCOMPLETE_IFS": "\n",
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "COMP_TYPE": "9",
        }
        ended = subprocess.run([script], env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        return offered.read().split("\n")


def test_the_shell_completes_commands_options_and_choices() -> None:
    assert completed("okta-workflows ke") == ["keygen"]
    assert completed("okta-workflows conf") == ["conformance"]
    assert "--recipe" in completed("okta-workflows conformance --r")
    assert set(completed("okta-workflows emulator --p")) == {"--port", "--profile", "--public-host", "--public-key"}
    assert completed("okta-workflows keygen --type r") == ["rsa2048", "rsa4096"]


def test_argcomplete_finds_the_program_without_a_registration() -> None:
    import airflow_okta_workflows.cli.main as module

    assert module.__file__ is not None
    assert "PYTHON_ARGCOMPLETE_OK" in Path(module.__file__).read_text()[:1024]


def test_help_says_how_to_turn_on_completion(okta_workflows: CommandLine) -> None:
    assert 'eval "$(register-python-argcomplete okta-workflows)"' in okta_workflows("--help").out
