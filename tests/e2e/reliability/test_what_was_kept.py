"""No secret is in anything that Airflow kept of the tests before, or reported to Sentry: this module is the last one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_okta_workflows.core.keys.generation import pem_of
from tests.e2e.airflow_standalone import files_below
from tests.e2e.reliability.stage import PASSPHRASE, Stage
from tests.watched_org import WatchedOrg

pytestmark = pytest.mark.timeout(600)

Say = Callable[[str], None]


def secrets_of(org: WatchedOrg) -> dict[str, str]:
    """Return each secret by a name that may be printed."""
    jwk = org.private_jwk
    pem = pem_of(jwk)
    named = {f"token {number}": value for number, value in enumerate(org.tokens)}
    named |= {f"assertion {number}": value for number, value in enumerate(org.assertions)}
    named |= {f"line {number} of the key": line for number, line in enumerate(pem.splitlines()[1:-1])}
    named |= {f"member {name} of the key": jwk[name] for name in ("d", "p", "q", "dp", "dq", "qi")}
    return {**named, "key, escaped": pem.replace("\n", "\\n"), "passphrase": PASSPHRASE}


def any_of(secrets: dict[str, str]) -> re.Pattern[bytes]:
    """Return what finds any of the secrets."""
    return re.compile(b"|".join(re.escape(value.encode()) for value in secrets.values()))


def search(folder: Path, secrets: dict[str, str]) -> list[str]:
    """Return where a secret stands in the files below a folder."""
    pattern = any_of(secrets)
    return [
        f"{path.relative_to(folder)} holds a secret"
        for path in files_below(folder)
        if pattern.search(path.read_bytes())
    ]


def test_nothing_that_airflow_kept_holds_a_secret(stage: Stage, say: Say) -> None:
    secrets = secrets_of(stage.org)
    home = stage.airflow.home
    kept = list(files_below(home))
    size = sum(path.stat().st_size for path in kept)
    say(f"{len(secrets)} secrets looked for in {len(kept)} files, {size:,} bytes")

    assert stage.org.assertions
    assert any(path.name == "airflow.db" for path in kept)
    assert any(path.suffix == ".log" and "dag_id=killed" in str(path) for path in kept)
    assert search(home, secrets) == []

    # The search itself: it finds what is planted, in a log and in the database.
    planted = home / "logs" / "planted.log"
    planted.write_text(f"oops: {secrets['line 7 of the key']}\n")
    assert search(home, secrets) == ["logs/planted.log holds a secret"]
    planted.unlink()


def test_nothing_that_was_reported_to_sentry_holds_a_secret(stage: Stage, say: Say) -> None:
    told = Counter(error["type"] for error in stage.sentry.errors)
    say(f"{sum(map(len, stage.sentry.reports)):,} bytes reported to Sentry: {dict(told)}")

    assert {"AirflowTaskTimeout", "OktaFlowOutcomeUnknownError"} <= set(told)
    frames = [frame for error in stage.sentry.errors for frame in error["stacktrace"]["frames"]]
    assert any("InvokeOktaFlowOperator" in json.dumps(frame.get("vars")) for frame in frames), "locals are reported"
    pattern = any_of(secrets_of(stage.org))
    assert [report[:300] for report in stage.sentry.reports if pattern.search(report)] == []
