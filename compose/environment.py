"""Write .env for docker-compose.yaml: a copy of .env.example with fresh random keys.

It runs before anything is installed, so it needs Python alone.
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent

RANDOM: dict[str, Callable[[], str]] = {
    "AIRFLOW_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(18),
    "FERNET_KEY": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "API_SECRET_KEY": lambda: secrets.token_hex(64),
    "JWT_SECRET": lambda: secrets.token_hex(64),
    "POSTGRES_PASSWORD": lambda: secrets.token_hex(24),
    "REDIS_PASSWORD": lambda: secrets.token_hex(24),
}
"""What is a secret, and how a new one is made."""


def filled_in(example: str) -> str:
    """Return the text of a .env: the example's, with fresh random keys, and run by the user who asks for it.

    :param example: the text of ``.env.example``
    """
    # Such a user can read a key file of their own; root is nobody that Airflow should be.
    values = {**{name: make() for name, make in RANDOM.items()}, "AIRFLOW_UID": str(os.getuid() or 50000)}
    names = [(line, line.partition("=")[0]) for line in example.splitlines()]
    return "".join(f"{name}={values[name]}\n" if name in values else f"{line}\n" for line, name in names)


def main() -> int:
    """Write the file that is asked for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make compose-env", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / ".env", metavar="FILE", help="left out: .env")
    path = parser.parse_args().out
    text = filled_in((ROOT / ".env.example").read_text("utf-8"))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(
            f"{path.name} is there already and stays as it is: the database is encrypted with its keys."
            " To start over: docker compose down --volumes, then remove it.",
            file=sys.stderr,
        )
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"{path.name} has fresh keys. Sign in as AIRFLOW_ADMIN_USER with AIRFLOW_ADMIN_PASSWORD; both stand in it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
