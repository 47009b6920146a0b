"""Write .env for docker-compose.yaml: a copy of .env.example with fresh random keys and free ports.

It runs before anything is installed, so it needs Python alone.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import secrets
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parent.parent

RANDOM: dict[str, Callable[[], str]] = {
    "AIRFLOW_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(18),
    "FERNET_KEY": lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    "API_SECRET_KEY": lambda: secrets.token_hex(64),
    "JWT_SECRET": lambda: secrets.token_hex(64),
    "POSTGRES_PASSWORD": lambda: secrets.token_hex(24),
    "REDIS_PASSWORD": lambda: secrets.token_hex(24),
}
"""Names of the secrets, and functions that return a new value."""

_PUBLISHED = re.compile(r"^ *- 127\.0\.0\.1:\$\{(\w+):-(\d+)\}:", re.MULTILINE)
_PORTS_TRIED = 100


def published_ports(compose: str) -> dict[str, int]:
    """Return the default of each port that is published on this machine, by the name of its setting.

    :param compose: the text of ``docker-compose.yaml``
    """
    return {name: int(port) for name, port in _PUBLISHED.findall(compose)}


def free_ports(wanted: Mapping[str, int], is_free: Callable[[int], bool]) -> dict[str, int]:
    """Return a port for each setting: the wanted one, or the next free one.

    :param wanted: the wanted ports, by the name of their setting
    :param is_free: returns whether nothing listens on a port of this machine
    :raises LookupError: if none of the next hundred is free; the message names the setting
    """
    found: dict[str, int] = {}
    for name, first in wanted.items():
        # Skip ports that another setting has, or wants.
        others = {*found.values(), *wanted.values()} - {first}
        candidates = range(first, min(first + _PORTS_TRIED, 65536))
        port = next((one for one in candidates if one not in others and is_free(one)), None)
        if port is None:
            raise LookupError(f"none of the ports {first} to {candidates[-1]} is free for {name}")
        found[name] = port
    return found


def nothing_listens(port: int) -> bool:
    """Return whether a service can be published at a port of this machine's loopback.

    :param port: the port
    """
    with socket.socket() as server:
        # As in Docker, a port whose last connection has just ended is free.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def filled_in(example: str, ports: Mapping[str, int]) -> str:
    """Return the content of a .env: that of the example, with fresh random keys, and the caller as Airflow's user.

    :param example: the text of ``.env.example``
    :param ports: the ports, by the name of their setting
    """
    values = {**{name: make() for name, make in RANDOM.items()}, **{name: str(port) for name, port in ports.items()}}
    # With the caller's id, Airflow can read a key file that only the caller can read. Airflow never runs as root.
    values["AIRFLOW_UID"] = str(os.getuid() or 50000)
    names = [(line, line.partition("=")[0]) for line in example.splitlines()]
    return "".join(f"{name}={values[name]}\n" if name in values else f"{line}\n" for line, name in names)


def main() -> int:
    """Write the requested file, and return the exit code."""
    parser = argparse.ArgumentParser(prog="make compose-env", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / ".env", metavar="FILE", help="default: .env")
    path = parser.parse_args().out
    wanted = published_ports((ROOT / "docker-compose.yaml").read_text("utf-8"))
    try:
        ports = free_ports(wanted, nothing_listens)
    except LookupError as error:
        print(f"{path.name} is not written: {error}. Stop the programs that listen there.", file=sys.stderr)
        return 1
    text = filled_in((ROOT / ".env.example").read_text("utf-8"), ports)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(
            f"{path.name} already exists and is not changed: the database is encrypted with its keys."
            " To start over: docker compose down --volumes, then remove it.",
            file=sys.stderr,
        )
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"{path.name} has fresh keys. Sign in as AIRFLOW_ADMIN_USER with AIRFLOW_ADMIN_PASSWORD; both are in it.")
    for name, port in ports.items():
        if port != wanted[name]:
            print(f"Port {wanted[name]} is taken, so {name} is {port}.")
    print(f"After `docker compose up --build --wait`, Airflow is at http://localhost:{ports['AIRFLOW_PORT']}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
