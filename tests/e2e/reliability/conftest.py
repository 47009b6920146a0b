"""One Airflow for all tests of this folder; they run in the order of their modules, and the last one searches it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_okta_workflows.core.keys.generation import pem_of
from tests.asked_flows import AskedFlows
from tests.e2e.airflow_standalone import Airflow
from tests.e2e.reliability.sentry import Sentry
from tests.e2e.reliability.stage import PASSPHRASE, Flows, Stage
from tests.watched_org import WatchedOrg


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home, pids = tmp_path_factory.mktemp("airflow-e2e"), tmp_path_factory.mktemp("pids")
    dags = tmp_path_factory.mktemp("dags")
    shutil.copytree(Path(__file__).parent / "dags", dags, dirs_exist_ok=True)
    with WatchedOrg(rate_limit=None, key_type="rsa2048") as org, Sentry() as sentry:
        flows, asked = Flows(), AskedFlows(pids)
        flows.add_to(org)
        asked.add_to(org)
        # A PEM is what gets printed line by line; its passphrase is for the search, the key has none.
        connection = {**org.connection(key_passphrase=PASSPHRASE, key_id=org.private_jwk["kid"])}
        connection["password"] = pem_of(org.private_jwk)
        environment = {
            "AIRFLOW_CONN_OKTA_WORKFLOWS_DEFAULT": json.dumps(connection),
            "AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR": str(home / "tokens"),
            # A deployment is seen at once, and many tasks are held at the same time.
            "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
            "AIRFLOW__CORE__PARALLELISM": "16",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "6",
            "E2E_PIDS": str(pids),
            **sentry.environment,
        }
        with Airflow(home, dags, environment, every=1) as airflow:
            yield Stage(org, flows, asked, airflow, dags, pids, sentry)
