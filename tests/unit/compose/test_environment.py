"""``make compose-env``: a .env with fresh keys and free ports, that nobody else can read and nothing overwrites."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from compose.environment import free_ports, nothing_listens, published_ports

ROOT = Path(__file__).parents[3]
EXAMPLE = (ROOT / ".env.example").read_text()

COMPOSE = (ROOT / "docker-compose.yaml").read_text()
PORTS = published_ports(COMPOSE)


def write(path: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "compose/environment.py"
    return subprocess.run(
        [sys.executable, "-I", "-S", script, "--out", path], capture_output=True, text=True, check=False
    )


def settings(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def test_each_secret_is_new_and_long_and_the_rest_is_the_example(tmp_path: Path) -> None:
    done = write(tmp_path / "one"), write(tmp_path / "two")
    one, two = (settings((tmp_path / name).read_text()) for name in ("one", "two"))
    secrets = {name for name in one if one[name] != settings(EXAMPLE)[name]} - {"AIRFLOW_UID", *PORTS}

    assert [run.returncode for run in done] == [0, 0]
    assert list(one) == list(settings(EXAMPLE))
    assert secrets == {
        *("AIRFLOW_ADMIN_PASSWORD", "FERNET_KEY", "API_SECRET_KEY", "JWT_SECRET", "POSTGRES_PASSWORD", "REDIS_PASSWORD")
    }
    assert all(settings(EXAMPLE)[name] == "" for name in secrets), "no default secret"
    assert all(one[name] != two[name] and len(one[name]) >= 24 for name in secrets)
    assert not any(one[name] in run.stdout + run.stderr for name in secrets for run in done)
    Fernet(one["FERNET_KEY"])
    assert len(base64.b16decode(one["JWT_SECRET"], casefold=True)) >= 64
    assert int(one["AIRFLOW_UID"]) > 0
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FERNET_KEY=mine\n")
    done = write(tmp_path / ".env")

    assert done.returncode == 1
    assert "already exists and is not changed" in done.stderr
    assert (tmp_path / ".env").read_text() == "FERNET_KEY=mine\n"


def test_it_tells_what_it_does() -> None:
    told = subprocess.run(
        [sys.executable, ROOT / "compose/environment.py", "--help"], capture_output=True, text=True, check=True
    ).stdout

    assert "make compose-env" in told
    assert ".env.example" in told


def test_the_published_ports_are_those_of_the_example() -> None:
    assert COMPOSE.count("- 127.0.0.1:$") == len(PORTS) == 2
    assert {name: str(port) for name, port in PORTS.items()} == {name: settings(EXAMPLE)[name] for name in PORTS}


@pytest.mark.parametrize(
    ("taken", "ports"),
    [
        ([], {"A": 8080, "B": 8000}),
        ([8080], {"A": 8081, "B": 8000}),
        ([8080, 8081, 8000], {"A": 8082, "B": 8001}),
        (range(8000, 8080), {"A": 8080, "B": 8081}),
        (range(8000, 8081), {"A": 8081, "B": 8082}),
    ],
)
def test_the_next_free_port_takes_the_place_of_one_that_is_taken(taken: list[int], ports: dict[str, int]) -> None:
    assert free_ports({"A": 8080, "B": 8000}, lambda port: port not in taken) == ports


def test_two_settings_never_get_one_port() -> None:
    assert free_ports({"A": 8000, "B": 8001}, lambda port: port != 8000) == {"A": 8002, "B": 8001}


@pytest.mark.parametrize(("first", "last"), [(8080, 8179), (65530, 65535)])
def test_where_no_port_is_free_the_setting_is_named(first: int, last: int) -> None:
    with pytest.raises(LookupError, match=f"none of the ports {first} to {last} is free for A"):
        free_ports({"A": first}, lambda port: False)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_is_taken_while_something_listens_there(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
        assert not nothing_listens(port)
    assert nothing_listens(port)


def test_a_taken_port_is_told_and_another_one_written(tmp_path: Path) -> None:
    wanted = PORTS["AIRFLOW_PORT"]
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("127.0.0.1", wanted))
            server.listen()
        except OSError:
            pass  # something else listens there already, which is as good
        done = write(tmp_path / ".env")

    port = int(settings((tmp_path / ".env").read_text())["AIRFLOW_PORT"])
    assert port > wanted
    assert f"Port {wanted} is taken, so AIRFLOW_PORT is {port}.\n" in done.stdout
    assert f"Airflow is at http://localhost:{port}.\n" in done.stdout
