"""``make compose-env``: a .env with fresh keys, that nobody else can read and nothing overwrites."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

from cryptography.fernet import Fernet

ROOT = Path(__file__).parents[3]
EXAMPLE = (ROOT / ".env.example").read_text()


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
    secrets = {name for name in one if one[name] != settings(EXAMPLE)[name]} - {"AIRFLOW_UID"}

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
    assert "stays as it is" in done.stderr
    assert (tmp_path / ".env").read_text() == "FERNET_KEY=mine\n"


def test_it_tells_what_it_does() -> None:
    told = subprocess.run(
        [sys.executable, ROOT / "compose/environment.py", "--help"], capture_output=True, text=True, check=True
    ).stdout

    assert "make compose-env" in told
    assert ".env.example" in told
