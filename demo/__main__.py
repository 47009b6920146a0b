"""Command line of the demo, which starts the org, runs the DAGs and shows what the org receives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from airflow_okta_workflows.emulator import LocalOrg
from airflow_okta_workflows.emulator.sample_flows import sample_flows
from demo.hr_table import hr_database
from demo.picture import draw, parse_tasks

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".demo"
LOG = HOME / "airflow.log"
TASKS = HOME / "tasks.jsonl"
DAGS = ("okta_first_flow", "okta_onboarding", "okta_access_review", "okta_offboarding")
WIDTH = 100


def main() -> int:
    """Run the demo and return its exit code."""
    started = time.monotonic()
    HOME.mkdir(exist_ok=True)
    LOG.write_text("")
    with LocalOrg(key_type="rsa2048") as org:
        org.add_flows(sample_flows(provisioning_seconds=4.0))
        print(f"[1/3] A local org listens at {org.url}: {len(org.flows)} flows, secured with OAuth 2.0.")
        environment = {**_airflow_environment(org), **hr_database(HOME), "DEMO_TASKS": str(TASKS)}
        print("[2/3] A real Airflow prepares its database (SQLite).", flush=True)
        if _run(["-m", "airflow", "db", "migrate"], environment, org) != 0:
            return _failed("Airflow could not prepare its database")
        print(f"[3/3] Airflow runs {', '.join(DAGS)}. Each invocation as the org sees it:\n", flush=True)
        if _run(["-m", "demo.run_dags", *DAGS], environment, org) != 0:
            return _failed("A DAG run did not succeed")
        draw(org.log, parse_tasks(TASKS.read_text()), sys.stdout)
        runs = sum(len(flow.runs) for flow in org.flows.values())
        print(
            f"\nAll DAG runs succeeded: {runs} invocations, and {len(org.token_requests)} token request(s) for all of"
            f" them. {time.monotonic() - started:.0f} s in all; Airflow's own log: {LOG.relative_to(ROOT)}\n"
        )
    print("To run them against your own org:")
    print("  1. In Okta, make an API Services app: public key / private key, Proof of possession off, scope")
    print("     okta.workflows.invoke.manage. Secure your flows with OAuth 2.0.")
    print("  2. In Airflow, add okta_workflows_default, of type Okta Workflows: domain, client id, key, flows.")
    print("  3. Copy dags/ into your DAGs folder. docs/install.md has the connection.")
    return 0


def _airflow_environment(org: LocalOrg) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return {
        **kept,
        "AIRFLOW_HOME": str(HOME / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONUNBUFFERED": "1",
        **org.environment(),
    }


def _run(arguments: list[str], environment: dict[str, str], org: LocalOrg) -> int:
    """Run Python in a separate process with its output in the log, and meanwhile print what the org receives."""
    shown = 0
    with LOG.open("a") as log:
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and arguments
            [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                shown = _show_requests(org, shown)
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    _show_requests(org, shown)
    return process.returncode


def _show_requests(org: LocalOrg, shown: int) -> int:
    """Print the requests that got a response since the last call, and return how many were printed in total."""
    returned = [request for request in org.log if request.status is not None]
    for request in returned[shown:]:
        print(f"  {request.flow:<20} {request.method} {_short(request.text)}")
        print(f"  {'':<20} -> {request.status} {_short(request.response)}", flush=True)
    return len(returned)


def _short(text: str) -> str:
    try:
        text = json.dumps(json.loads(text), ensure_ascii=False)
    except ValueError:
        text = " ".join(text.split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _failed(what: str) -> int:
    print(f"\n{what}. The end of {LOG.relative_to(ROOT)}:\n", file=sys.stderr)
    print("\n".join(LOG.read_text(errors="replace").splitlines()[-40:]), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
