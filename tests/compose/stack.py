"""A stack of docker compose for tests, with its own project, ports, keys and volumes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import requests

from tests.airflow_rest import AirflowRest, free_port

ROOT = Path(__file__).parents[2]

_ALL_ROWS = """
import sqlalchemy
from airflow.settings import engine
with engine.connect() as connection:
    for table in sqlalchemy.inspect(engine).get_table_names():
        for row in connection.execute(sqlalchemy.text(f'SELECT * FROM "{table}"')):
            print(table, [bytes(value) if isinstance(value, memoryview) else value for value in row])
"""


class Stack:
    """Services of compose files that are removed at the end of the block, together with their volumes and networks.

    :param name: name of the compose project, which isolates it from others
    :param directory: an empty folder, for the .env file
    :param files: the compose files, as paths from the root of the repository
    :param settings: variables of .env.example to override
    """

    def __init__(self, name: str, directory: Path, *files: str, **settings: str) -> None:
        self.name = name
        self.env_file = directory / ".env"
        self._files = files
        subprocess.run(
            [sys.executable, ROOT / "compose/environment.py", "--out", self.env_file], check=True, capture_output=True
        )
        self.configure(AIRFLOW_PORT=str(free_port()), OKTA_PORT=str(free_port()), **settings)
        self.airflow = AirflowRest(f"http://localhost:{self.setting('AIRFLOW_PORT')}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.airflow.close()
        self.compose("down", "--volumes", "--remove-orphans", "--timeout=5")
        for kind in ("container", "volume", "network"):
            mine = f"label=com.docker.compose.project={self.name}"
            left = subprocess.run(["docker", kind, "ls", "--quiet", "--filter", mine], check=True, capture_output=True)
            assert left.stdout == b"", kind

    def configure(self, **settings: str) -> None:
        """Change settings; call this before the services start that read them."""
        lines = self.env_file.read_text().splitlines()
        lines = [line for line in lines if line.partition("=")[0] not in settings]
        lines += [f"{name}={value}" for name, value in settings.items()]
        self.env_file.write_text("\n".join(lines) + "\n")

    def setting(self, name: str) -> str:
        """Return the value of a setting."""
        lines = self.env_file.read_text().splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith(f"{name}="))

    def compose(self, *arguments: str) -> str:
        """Run docker compose on this stack, and return its output."""
        files = [option for file in self._files for option in ("--file", str(ROOT / file))]
        done = subprocess.run(
            [
                *("docker", "compose", "--project-name", self.name, "--env-file", str(self.env_file)),
                *("--project-directory", str(ROOT), "--ansi=never", "--progress=quiet", *files, *arguments),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        if done.returncode:
            raise RuntimeError(f"docker compose {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-3000:]}")
        return done.stdout

    def up(self, *arguments: str) -> None:
        """Start services and sign in; raise with the logs if the services do not become healthy."""
        try:
            self.compose("up", "--build", "--wait", "--wait-timeout=800", *arguments)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{self.compose('ps', '--all')}\n{self.logs()[-8000:]}") from None
        self.airflow.sign_in(self.setting("AIRFLOW_ADMIN_USER"), self.setting("AIRFLOW_ADMIN_PASSWORD"))

    def run(self, service: str, *command: str) -> str:
        """Run a command in a service, and return its output."""
        return self.compose("exec", "--no-TTY", service, *command)

    def logs(self, *services: str) -> str:
        """Return the logs of services; of all services if none is named."""
        return self.compose("logs", "--no-color", *services)

    def containers(self) -> list[dict[str, Any]]:
        """Return the output of ``docker inspect`` for each container, with the service's name added as ``service``."""
        ids = self.compose("ps", "--all", "--quiet").split()
        done = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        for container in found:
            container["service"] = container["Config"]["Labels"]["com.docker.compose.service"]
        return found

    def health(self) -> dict[str, str]:
        """Return each container's health, such as ``healthy``, or without a health check its state and exit code."""
        return {
            container["Name"].removeprefix(f"/{self.name}-"): (container["State"].get("Health") or {}).get("Status")
            or f"{container['State']['Status']} {container['State']['ExitCode']}"
            for container in self.containers()
        }

    def kept_connection(self, service: str = "okta") -> dict[str, Any]:
        """Return the connection that a local org stores, with its private key."""
        (connection,) = json.loads(self.run(service, "cat", "/opt/airflow/okta/connections.json")).values()
        return dict(connection)

    def org_counts(self, service: str = "okta") -> dict[str, Any]:
        """Return a local org's counters, requested from inside its container."""
        connection = self.kept_connection(service)
        # An org on loopback has its flows at its own address, so its connection has no workflows_host.
        url = connection["extra"].get("workflows_host", connection["host"])
        counts: dict[str, Any] = json.loads(self.run(service, "curl", "--silent", "--insecure", f"{url}/counts"))
        return counts

    def database(self) -> str:
        """Return all rows of all tables of Airflow's database, as a string."""
        return self.run("airflow-scheduler", "python", "-c", _ALL_ROWS)


def page_after_sign_in(url: str, username: str, password: str) -> requests.Response:
    """Sign in through the form, as a user does in a browser, and return the page that follows."""
    with requests.Session() as browser:
        form = browser.get(f"{url}/auth/login/", timeout=30).text
        _, _, rest = form.partition('name="csrf_token"')
        token = rest.partition('value="')[2].partition('"')[0]
        fields = {"csrf_token": token, "username": username, "password": password}
        return browser.post(f"{url}/auth/login/", data=fields, timeout=30)
