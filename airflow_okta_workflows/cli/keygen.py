"""The ``keygen`` command, which generates the app's key pair: the public key for Okta, the private key in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.cli.runner import GOOD, CommandFailedError
from airflow_okta_workflows.core.keys.generation import generate_jwk, pem_of, public_jwk
from airflow_okta_workflows.core.secret import shown

if TYPE_CHECKING:
    import argparse

    from airflow_okta_workflows.cli.output import Output

_STEPS = """
The private key is in {file}, and only you can read it. {kid_note}

For a new app: in Okta, open the API Services app, General tab, Client Credentials; choose Public key / Private key;
Add key; paste the JWK above; Done; Save.

To rotate the key of an app without downtime:
  1. In Okta, add the JWK above to the app's public keys, and leave the old one ACTIVE: both work now.
  2. Put the new key into Airflow's connection:
       okta-workflows connection --domain … --client-id … --key-file {file}{key_id}
     It is printed only once the org has granted a token with it.
  3. okta-workflows check says which kid the connection has now, wherever you run it.
  4. Wait until every task that began before step 2 has ended, and one hour more for its tokens.
  5. In Okta, deactivate the old key; run okta-workflows check once more; then delete it there, and its private half
     wherever it was kept.
"""


def run(args: argparse.Namespace, output: Output) -> int:
    """Generate a key pair and return the exit code.

    :param args: the parsed arguments
    :param output: where to write
    """
    path = Path(args.out).expanduser()
    as_pem = path.suffix.lower() == ".pem"
    jwk = _write_key(path, args.type, as_pem=as_pem)
    public = public_jwk(jwk)
    if output.as_json:
        output.json({"kid": jwk["kid"], "type": args.type, "private_key_file": str(path), "public_jwk": public})
        return GOOD
    output.value(public)
    kid_note = "A PEM contains no kid: set key_id to the one above." if as_pem else "It contains its kid."
    key_id = f" --key-id {jwk['kid']}" if as_pem else ""
    output.text(_STEPS.rstrip().format(file=path, kid_note=kid_note, key_id=key_id))
    return GOOD


def _write_key(path: Path, key_type: Any, *, as_pem: bool) -> dict[str, Any]:
    """Generate a key into a new file and return it; remove the file if that fails."""
    try:
        # Only the owner may read it from the start, and no link is followed: the key allows acting as the app.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise CommandFailedError(
            f"{shown(path)} exists already. A key is never overwritten: name another file."
        ) from None
    except OSError as error:
        raise CommandFailedError(f"{shown(path)} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            jwk = generate_jwk(key_type)
            file.write(pem_of(jwk) if as_pem else json.dumps(jwk) + "\n")
    except BaseException as error:
        path.unlink()
        if isinstance(error, OSError):
            raise CommandFailedError(f"{shown(path)} cannot be written: {error.strerror}.") from None
        raise
    return jwk
