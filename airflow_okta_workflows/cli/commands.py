"""The commands and their arguments, defined once for both command lines.

Every run of ``airflow`` imports this module, so it imports almost nothing: no Airflow, no HTTP, no cryptography. A
command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "okta-workflows"
_WIDTH = 79
GROUP_HELP = "Set up, check and try connections to Okta Workflows"


class Argument(NamedTuple):
    """One argument of a command.

    :param flags: its option strings, or the name of a positional argument
    :param options: the keyword arguments of :meth:`argparse.ArgumentParser.add_argument`
    """

    flags: tuple[str, ...]
    options: Mapping[str, Any]


class Command(NamedTuple):
    """One command; the module of the same name in this package implements it.

    :param name: its name
    :param help: one line for the list of commands
    :param paragraphs: what the command does
    :param examples: the arguments of a call, and the purpose of that call
    :param arguments: its arguments
    """

    name: str
    help: str
    paragraphs: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    arguments: tuple[Argument, ...]

    @property
    def description(self) -> str:
        """What the command does, wrapped to fit a terminal, because Airflow's parser does not wrap it."""
        return "\n\n".join(textwrap.fill(paragraph, _WIDTH) for paragraph in self.paragraphs)

    @property
    def epilog(self) -> str:
        """The examples; argparse replaces ``%(prog)s`` by the name under which the command was called."""
        shown = [f"  # {purpose}\n  %(prog)s {arguments}".rstrip() for arguments, purpose in self.examples]
        return "examples:\n" + "\n\n".join(shown)


def _argument(*flags: str, **options: Any) -> Argument:
    return Argument(flags, options)


def flow_target(text: str) -> tuple[str, str]:
    """Parse ``NAME=ALIAS``, where an invoke URL may replace the alias, and return the two.

    :param text: the argument
    :raises argparse.ArgumentTypeError: if it does not have that form
    """
    name, equals, target = text.partition("=")
    if not (name.strip() and equals and target.strip()):
        from airflow_okta_workflows.core.secret import shown

        raise argparse.ArgumentTypeError(f"{shown(text)} is not NAME=ALIAS, such as onboard=0123456789abcdef…")
    return name.strip(), target.strip()


CONFORMANCE_FLOWS = ("echo", "slow", "failing", "off", "branch", "close", "client_token")
"""The flows that ``conformance`` invokes; here, because their own module is too heavy for a parser."""


def conformance_flow(text: str) -> tuple[str, str]:
    """Parse ``NAME=ALIAS`` of a flow that the command ``conformance`` invokes, and return the two.

    :param text: the argument
    :raises argparse.ArgumentTypeError: if it does not have that form, or there is no such flow
    """
    name, target = flow_target(text)
    if name not in CONFORMANCE_FLOWS:
        from airflow_okta_workflows.core.secret import shown

        raise argparse.ArgumentTypeError(f"{shown(name)} is none of {', '.join(CONFORMANCE_FLOWS)}")
    return name, target


def port(text: str) -> int:
    """Parse a port; 0 means a free one.

    :param text: the argument
    :raises argparse.ArgumentTypeError: if it is not a port
    """
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        from airflow_okta_workflows.core.secret import shown

        raise argparse.ArgumentTypeError(f"{shown(text)} is not a port from 0 to 65535")
    return int(text)


def client_id(text: str) -> str:
    """Return the client id of an app, which begins with ``0oa``.

    :param text: the argument
    :raises argparse.ArgumentTypeError: if it is none
    """
    if not (text.startswith("0oa") and text.isascii() and text.isalnum()):
        from airflow_okta_workflows.core.secret import shown

        raise argparse.ArgumentTypeError(f"{shown(text)} is not a client id, which begins with 0oa")
    return text


_CONN_ID = _argument("--conn-id", metavar="ID", help="the connection in Airflow; default: okta_workflows_default")
_OUTPUT = _argument(
    "--output",
    choices=("text", "json"),
    default="text",
    help="text for people; json gives JSON alone on stdout, for scripts",
)

COMMANDS = (
    Command(
        name="check",
        help="Check a connection step by step, and say what to change",
        paragraphs=(
            "Look at a connection step by step: its fields, the key, the domain and its certificate, the org's"
            " metadata, the clock, a token, the hosts of the flows. Each step passes, fails with what to change, or is"
            " skipped with the reason.",
            "A flow is invoked only if --flow names one, and only after confirmation, because it really runs.",
            "Exit code 0 if nothing failed, 1 if something did, 2 for wrong usage.",
        ),
        examples=(
            ("", "check okta_workflows_default"),
            ("--conn-id okta_test --flow hello", "check another connection, then invoke a flow through it"),
            ("--file connection.json --output json", "check a connection that is not in Airflow yet; for a script"),
        ),
        arguments=(
            _CONN_ID,
            _argument(
                "--file",
                metavar="FILE",
                help="a connection as JSON, YAML, URI or variable, or a file of airflow connections export;"
                " --conn-id selects one of several",
            ),
            _argument("--flow", metavar="FLOW", help="invoke this flow at the end: a name, an alias or an invoke URL"),
            _argument("--yes", action="store_true", help="invoke the flow without asking for confirmation"),
            _OUTPUT,
        ),
    ),
    Command(
        name="connection",
        help="Build a connection from domain, client id and key file, and check it",
        paragraphs=(
            "Build a connection from a domain, a client id and a key file, check it as the command check does, and"
            " print it once the org has granted a token: as a line for the shell, or as JSON for airflow connections"
            " add --conn-json. The key may be a JWK or a PEM, even one whose newlines were damaged in one of the"
            " usual ways; the printed key is repaired, and on one line.",
            "The printed connection contains the private key. With --add it goes into Airflow's database instead. With"
            " --keep-key-file the connection contains the path of the key file instead of the key. The file must then"
            " exist under the same path wherever tasks and the triggerer run.",
            "The command asks for the passphrase of an encrypted key, or reads it from stdin.",
        ),
        examples=(
            (
                "--domain acme.okta.com --client-id 0oa1b2c3 --key-file key.jwk --flow hello=0123456789abcdef…",
                "print a line for the shell; the steps of the check go to stderr",
            ),
            (
                "--domain login.acme.com --workflows-host acme.workflows.okta.com --client-id 0oa1b2c3 \\\n"
                "      --key-file key.pem --key-id my-kid --conn-id okta_test --add",
                "an org with one custom domain, straight into Airflow's database",
            ),
            (
                "--domain acme.okta.com --client-id 0oa1b2c3 --key-file /run/secrets/okta_key \\\n"
                "      --keep-key-file --add --replace",
                "a key that is mounted as a secret, and stays there",
            ),
        ),
        arguments=(
            _argument("--domain", required=True, help="acme.okta.com, or the org's one custom domain"),
            _argument("--client-id", required=True, metavar="ID", help="0oa…, of the API Services app"),
            _argument("--key-file", required=True, metavar="FILE", help="the app's private key: a JWK or a PEM"),
            _argument(
                "--key-id",
                metavar="KID",
                help="the key's kid; a JWK contains it. If it begins with -, write --key-id=KID",
            ),
            _argument("--workflows-host", metavar="HOST", help="where the flows are; needed with a custom domain"),
            _argument(
                "--flow",
                action="append",
                type=flow_target,
                default=None,
                metavar="NAME=ALIAS",
                help="a flow, by its alias or invoke URL, under the name that DAGs use; may be repeated",
            ),
            _CONN_ID,
            _argument(
                "--format",
                choices=("env", "json"),
                default="env",
                help="env prints a line for the shell, json prints JSON for airflow connections add --conn-json",
            ),
            _argument("--ca-file", metavar="FILE", help="a CA bundle that verifies the org; default: the usual ones"),
            _argument("--keep-key-file", action="store_true", help="store the path of the key file instead of the key"),
            _argument("--add", action="store_true", help="add it to Airflow's database, and print no key"),
            _argument("--replace", action="store_true", help="with --add: replace an existing connection"),
            _argument(
                "--offline", action="store_true", help="check only the fields and the key, without contacting the org"
            ),
        ),
    ),
    Command(
        name="keygen",
        help="Generate a key pair: the public JWK for Okta, the private key into a file",
        paragraphs=(
            "Generate a key pair for the API Services app. The private key goes into a new file that only you can read;"
            " an existing file is never overwritten. The command prints the public JWK, to paste into Okta, and then"
            " the steps of a key rotation without downtime.",
            "The file contains a JWK with its kid or, if its name ends in .pem, a PKCS#8 PEM.",
        ),
        examples=(
            ("--out okta-key.jwk", "RSA with 2048 bits, as Okta's console generates them"),
            ("--type p256 --out okta-key.jwk --output json", "a smaller key that signs faster; for a script"),
        ),
        arguments=(
            _argument("--type", choices=("rsa2048", "rsa4096", "p256"), default="rsa2048", help="default: rsa2048"),
            _argument("--out", required=True, metavar="FILE", help="where the private key goes; a new file"),
            _OUTPUT,
        ),
    ),
    Command(
        name="invoke",
        help="Invoke a flow once, and print its response",
        paragraphs=(
            "Invoke a flow through a connection, as InvokeOktaFlowOperator does, and print what it returns. The flow"
            " really runs. It is sent again only if it cannot have run.",
            "If Ctrl-C or SIGTERM interrupts the command, its last line says whether the invocation was sent, and gives"
            " its idempotency key. With --idempotency-key it is sent again under that key, by which the flow can"
            " recognize it.",
            "Exit code 0 if the flow succeeded, 1 if not, 2 for wrong usage, 130 or 143 if it was interrupted.",
        ),
        examples=(
            ("hello", "without a payload"),
            ("""onboard --payload '{"email": "ada@example.com"}'""", "with one"),
            ("onboard --payload @payload.json --output json", "from a file; the response as JSON, for a script"),
        ),
        arguments=(
            _argument("flow", metavar="FLOW", help="a name in the connection's flows, an alias or an invoke URL"),
            _argument(
                "--payload", metavar="JSON", help="a JSON string, @FILE for a file that contains it, - for stdin"
            ),
            _argument("--idempotency-key", metavar="KEY", help="the Idempotency-Key header; default: a new UUID"),
            _CONN_ID,
            _OUTPUT,
        ),
    ),
    Command(
        name="conformance",
        help="Compare an org with the rules of the local org",
        paragraphs=(
            "Compare a real org with the numbered rules of the local org, and print one row for each: same, different"
            " or not tried. The command first says what it will send, and asks for confirmation.",
            "It sends at most 20 token requests, most of them wrong on purpose, and at most 30 invocations of up to"
            " six small flows; --recipe says how to build them. They change nothing in the org. A flow that does not"
            " exist is not tried. --rate invokes the flow echo 66 times more, in bursts.",
            "The report contains no secrets, host names or ids. Attach it to an issue, so that the local org becomes"
            " more like Okta. The local org can also behave as the report says.",
            "Exit code 0 if it ran and nothing differs, 1 if a rule differs or a probe failed, 2 for wrong usage, 130"
            " or 143 if it was interrupted.",
        ),
        examples=(
            ("--recipe", "how to build the flows"),
            ("--write conformance.json", "compare the org of okta_workflows_default, and keep the report"),
            (
                "--conn-id okta_test --flow echo=0123456789abcdef… --rate --yes --output json",
                "another connection, with a flow that it does not name; for a script",
            ),
        ),
        arguments=(
            _CONN_ID,
            _argument(
                "--flow",
                action="append",
                type=conformance_flow,
                default=None,
                metavar="NAME=ALIAS",
                help="one of the flows of --recipe, by its alias or invoke URL; default: conformance_NAME in the"
                " connection's flows. May be repeated",
            ),
            _argument("--rate", action="store_true", help="also try the rate limit of the flow echo"),
            _argument("--recipe", action="store_true", help="only print how to build the flows"),
            _argument("--yes", action="store_true", help="send without asking for confirmation"),
            _argument("--write", metavar="FILE", help="write the report as JSON into this file"),
            _argument(
                "--profile",
                metavar="FILE",
                help="compare with an earlier report instead, to see what has changed since",
            ),
            _OUTPUT,
        ),
    ),
    Command(
        name="emulator",
        help="Run a local org with flows that are plain functions",
        paragraphs=(
            "Run a local org on this machine: a token endpoint and flows that hold callers to Okta's rules. The"
            " command first prints the connection to it, then each request on stderr, until Ctrl-C. Each start has a"
            " new key.",
            "The flows are the ones that the example DAGs need, or those in a Python file of your own.",
            "With --connections the connection goes into a file instead, which only you can read. The next start with"
            " that file has the same client id, key and aliases: for an org that others reach over a network.",
            "With --public-key the org accepts your own key, so that you can rehearse the setup of an app. It needs"
            " only the public key: the printed connection has a placeholder for the private key, and a key that does"
            " not match is refused in Okta's words. With --client-id the app has your own client id.",
        ),
        examples=(
            ("--port 8099", "the sample flows; paste the line that it prints into another shell"),
            ("--flows my_flows.py", "flows of your own"),
            (
                "--public-key okta-public.jwk --client-id 0oa1b2c3 --custom-domain login.localhost",
                "a rehearsal with your own key, for an org with one custom domain",
            ),
            (
                "--host 0.0.0.0 --public-host okta --port 8000 --connections /okta/connections.json",
                "in a container with the host name okta",
            ),
        ),
        arguments=(
            _argument("--port", type=port, default=0, metavar="PORT", help="default: a free one"),
            _argument(
                "--flows", metavar="FILE", help="a Python file: its flows are the functions marked with flow(), or all"
            ),
            _argument(
                "--host", default="127.0.0.1", metavar="ADDRESS", help="where it listens; default: this machine alone"
            ),
            _argument("--public-host", metavar="NAME", help="the host name by which callers reach it; default: --host"),
            _argument(
                "--custom-domain",
                action="append",
                metavar="NAME",
                help="a custom domain of the org; with exactly one, tokens have to be requested there, as in Okta. May"
                " be repeated",
            ),
            _argument(
                "--public-key",
                metavar="FILE",
                help="the public key of the app: a PEM, a certificate, a JWK or a JWK set; default: a new key pair",
            ),
            _argument(
                "--client-id", type=client_id, metavar="ID", help="the client id of the app, 0oa…; default: a new one"
            ),
            _argument(
                "--profile",
                metavar="FILE",
                help="behave like the org in a report of okta-workflows conformance --write",
            ),
            _argument("--tls-cert", metavar="FILE", help="serve HTTPS with this certificate, a PEM with its chain"),
            _argument("--tls-key", metavar="FILE", help="the certificate's key"),
            _argument(
                "--connections",
                metavar="FILE",
                help="keep the connection in this file, for airflow connections import, and do not print it",
            ),
            _OUTPUT,
        ),
    ),
)
"""All commands, in the order in which the help lists them."""
