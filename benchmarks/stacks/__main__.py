"""Start each stack of docker compose, and print what the provider costs there."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.airflow_rest import until
from tests.compose.stack import Stack

DAGS = ("okta_first_flow", "okta_onboarding", "okta_access_review")
HERE = "benchmarks/stacks"
STACKS = {
    "local": ("docker-compose.yaml", f"{HERE}/waiting.yaml"),
    "celery": (
        "docker-compose.yaml",
        "docker-compose.celery.yaml",
        f"{HERE}/waiting.yaml",
        f"{HERE}/celery_waiting.yaml",
    ),
}
SENSORS = 100
_TIMED = "TIMEFORMAT=%U; for _ in 1 2 3 4 5; do time airflow providers list >/dev/null 2>&1; done"


_MEMORY = """
for file in /sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat; do
  [ ! -f $file ] || awk '/^(anon|rss) /{print int($2/2^20)}' $file
done
"""
"""Shell script that prints a container's memory in MiB, for both versions of control groups."""


def main() -> int:
    """Print a table for each stack, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stacks", description=__doc__)
    parser.add_argument("stack", nargs="*", help="default: all")
    for name in parser.parse_args().stack or STACKS:
        with (
            tempfile.TemporaryDirectory() as directory,
            Stack(f"okta-costs-{name}", Path(directory), *STACKS[name]) as stack,
        ):
            print(f"{name}: starting", file=sys.stderr)
            stack.up()
            measure(name, stack)
    return 0


def measure(name: str, stack: Stack) -> None:
    """Print the rows of one stack."""
    ours = cpu_of(["docker", "exec", container(stack, "airflow-scheduler"), "bash", "-c", _TIMED])
    image = ["docker", "run", "--rm", "--entrypoint", "bash", "apache/airflow:3.3.2", "-c", _TIMED]
    print(f"| {name} | `airflow providers list`, CPU | {ours:.2f} s | {cpu_of(image):.2f} s in the image without it |")
    for dag in DAGS:
        seconds = until(partial(parse_duration, stack, dag), 60, f"{dag} is not parsed")
        print(f"| {name} | DAG processor: {dag} | {seconds:.2f} s | |")
    before = memory(stack, "airflow-triggerer")
    run = stack.airflow.trigger("waiting_sensors")
    until(
        partial(all_wait, stack, run),
        500,
        lambda: f"not all sensors wait: {stack.airflow.states('waiting_sensors', run)}",
    )
    after = memory(stack, "airflow-triggerer")
    print(f"| {name} | triggerer memory, {SENSORS} deferred sensors | {after} MiB | {before} MiB before |")
    print(f"| {name} | token requests | {stack.org_counts()['token_requests']} | |", flush=True)


def all_wait(stack: Stack, run: str) -> bool:
    """Return whether all sensors are deferred; raise if one failed and never will be."""
    states = stack.airflow.states("waiting_sensors", run)
    if states.get("failed") or states.get("up_for_retry"):
        raise RuntimeError(f"sensors failed in place of waiting: {states}")
    return states.get("deferred") == SENSORS


def parse_duration(stack: Stack, dag: str) -> float | None:
    """Return the seconds that the DAG processor took for a DAG's file; None before it has parsed the file."""
    seconds: float | None = stack.airflow.dag(dag).get("last_parse_duration")
    return seconds


def container(stack: Stack, service: str) -> str:
    """Return the id of a service's first container."""
    return next(str(one["Id"]) for one in stack.containers() if one["service"] == service)


def cpu_of(command: list[str]) -> float:
    """Return the median of the seconds that a command prints to stderr."""
    told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return statistics.median(float(line) for line in told.split())


def memory(stack: Stack, service: str) -> str:
    """Return the memory in MiB that each container of a service uses now, without the page cache."""
    ids = [one["Id"] for one in stack.containers() if one["service"] == service]
    return " + ".join(
        subprocess.run(
            ["docker", "exec", one, "sh", "-c", _MEMORY], check=True, capture_output=True, text=True
        ).stdout.strip()
        for one in ids
    )


if __name__ == "__main__":
    sys.exit(main())
