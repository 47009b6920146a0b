"""The ``emulator`` command, which runs a local org on this machine until it is stopped."""

from __future__ import annotations

import shlex
import signal
import ssl
import threading
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.cli.commands import GROUP
from airflow_okta_workflows.cli.runner import GOOD, INTERRUPTIONS, CommandFailedError, UsageError
from airflow_okta_workflows.cli.shell import export_line
from airflow_okta_workflows.core.errors import CoreError
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.emulator.flow_file import flows_in
from airflow_okta_workflows.emulator.kept_connection import keep_connection, kept_app
from airflow_okta_workflows.emulator.org import PRIVATE_KEY_PLACE, LocalOrg
from airflow_okta_workflows.emulator.public_keys import MAX_BYTES, parse_public_keys
from airflow_okta_workflows.emulator.records import SeenRequest
from airflow_okta_workflows.emulator.sample_flows import sample_flows

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from airflow_okta_workflows.cli.output import Output
    from airflow_okta_workflows.emulator.records import SeenTokenRequest

_LONGEST = 200
"""Maximum number of characters shown of a payload or a response."""


def run(args: argparse.Namespace, output: Output) -> int:
    """Run a local org until SIGINT or SIGTERM and return the exit code.

    :param args: the parsed arguments
    :param output: where to write
    """
    if args.connections and (args.public_key or args.client_id):
        raise UsageError("--connections keeps a client id and a private key: leave out --public-key and --client-id")
    kept = Path(args.connections).expanduser() if args.connections else None
    try:
        org = _TellingOrg(
            output,
            host=args.host,
            port=args.port,
            public_host=args.public_host,
            custom_domains=tuple(args.custom_domain or ()),
            ssl_context=_tls(args.tls_cert, args.tls_key),
            profile=args.profile,
            **(_kept_app(kept) if kept else _own_app(args)),
        )
    except CoreError as error:
        raise CommandFailedError(str(error)) from None
    _add_flows(org, args.flows)
    try:
        org.start()
    except OSError as error:
        raise CommandFailedError(
            f"The local org cannot listen on {org.host}:{args.port}: {error.strerror or error}"
        ) from None
    with _until_told_to_stop() as told:
        try:
            if kept:
                _keep(kept, org)
            _announce(org, output, kept, own_key=bool(args.public_key))
            told.wait()
        finally:
            org.stop()
    output.say(f"The local org has ended: {len(org.log)} flow requests, {len(org.token_requests)} token requests.")
    return GOOD


class _TellingOrg(LocalOrg):
    """A local org that reports each request on stderr."""

    def __init__(self, output: Output, **options: Any) -> None:
        super().__init__(**options)
        self._output = output

    def on_response(self, request: SeenRequest | SeenTokenRequest) -> None:
        if isinstance(request, SeenRequest):
            ran = "" if request.ran else " (did not run)"
            self._output.say(f"{request.flow}: {request.method} {_short(request.text)}")
            self._output.say(f"  -> {request.status}{ran} {_short(request.response)}")
        else:
            self._output.say(f"token request\n  -> {request.status} {_outcome(request)}")


def _outcome(request: SeenTokenRequest) -> str:
    return request.error or ("granted" if request.granted else "")


def _add_flows(org: LocalOrg, file: str | None) -> None:
    if file is None:
        org.add_flows(sample_flows())
        return
    path = Path(file).expanduser()
    try:
        found = flows_in(path)
    except INTERRUPTIONS:
        raise
    except BaseException as error:  # a user's file can raise anything, even SystemExit, and the user needs to see where
        raise CommandFailedError(f"{file} cannot be used.\n{_told_from(path, error)}") from None
    if not found:
        raise CommandFailedError(f"{file} defines no function that could be a flow.")
    for declared in found:
        org.flow(declared.name, alias=declared.alias, security=declared.security)(declared.function)


def _told_from(path: Path, error: BaseException) -> str:
    """Return an error with its traceback, starting at the user's file."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename != str(path.resolve()):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip()


def _tls(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise CommandFailedError("--tls-cert and --tls-key go together: the certificate, and the key that it is for.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without a password here, OpenSSL would prompt for one if the key is encrypted.
        context.load_cert_chain(Path(certificate).expanduser(), Path(key).expanduser(), password="")
    except OSError as error:  # ssl.SSLError is a subclass
        raise CommandFailedError(
            f"{certificate} and {key} cannot be used for TLS: {error.strerror or error}."
            " Give a certificate as PEM, with its chain, and its unencrypted key."
        ) from None
    return context


def _own_app(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the org for the user's own public key and client id.

    :raises CommandFailedError: if the file has no public key
    """
    options = {"client_id": args.client_id} if args.client_id else {}
    if not args.public_key:
        return options
    path = Path(args.public_key).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        parse_public_keys(data)
    except OSError as error:
        raise CommandFailedError(f"{shown(args.public_key)} cannot be read: {error.strerror}.") from None
    except CoreError as error:
        hint = error.hint.replace("FILE", shlex.quote(str(path)))
        # Not wrapped, because the hint has a command to copy.
        raise CommandFailedError(f"{shown(args.public_key)} cannot be used. {error.message}\n{hint}") from None
    return {**options, "public_key": data}


def _kept_app(path: Path) -> dict[str, Any]:
    try:
        return kept_app(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandFailedError(f"{path} cannot be used: {reason}. Name another file, or remove it.") from None


def _keep(path: Path, org: LocalOrg) -> None:
    try:
        keep_connection(path, org.connection())
    except OSError as error:
        raise CommandFailedError(f"{path} cannot be written: {error.strerror}.") from None


def _announce(org: LocalOrg, output: Output, kept: Path | None, *, own_key: bool) -> None:
    flows = {name: org.invoke_url(name) for name in org.flows}
    where = f"in {kept}, for airflow connections import" if kept else "the line above, valid while it runs"
    if kept and output.as_json:
        output.json({"url": org.url, "flows": flows, "connections": str(kept)})
    elif output.as_json:
        environment = org.environment()
        output.json({"url": org.url, "flows": flows, "environment": environment, "connection": org.connection()})
    elif not kept:
        for variable, connection in org.environment().items():
            output.text(export_line(variable, connection))
    output.say(f"A local org listens at {org.url}, with the flows {', '.join(org.flows)}.")
    if own_key:
        where += f", once your private key replaces {PRIVATE_KEY_PLACE}"
        output.say(f"Or let this build it from your key file, KEY:\n  {_connection_command(org)}")
    output.say(f"Its connection is {where}. Ctrl-C ends it.")


def _connection_command(org: LocalOrg) -> str:
    """Return the command that builds the connection to the org from the file of the private key."""
    connection = org.connection()
    options = {
        "--domain": connection["host"],
        "--workflows-host": connection["extra"].get("workflows_host"),
        "--client-id": connection["login"],
        "--key-file": "KEY",
        "--key-id": connection["extra"].get("key_id"),
    }
    # With an equals sign, since a kid may begin with a hyphen.
    words = [f"{name}={shlex.quote(value)}" for name, value in options.items() if value]
    words += [f"--flow {shlex.quote(f'{name}={flow.alias}')}" for name, flow in org.flows.items()]
    return f"{GROUP} connection {' '.join(words)}"


@contextmanager
def _until_told_to_stop() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set."""
    told = threading.Event()
    before = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
