"""Fixtures of the tests of Airflow's UI: one Airflow with a local org, a browser, and a folder for screenshots."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from airflow_okta_workflows.emulator import LocalOrg, ReturnError
from tests.e2e.airflow_standalone import Airflow
from tests.ui.chromium import find_chromium

_LARGEST = 200_000
"""Largest size of a screenshot in bytes; more would burden each clone of the repository."""
_PATIENCE = 15_000
"""Milliseconds that Playwright waits for an element; two busy cores are slow."""
_QUIET = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

Snap = Callable[[str, "Page | Locator"], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, help="where to keep the screenshots; a temporary folder if left out")


@dataclass
class Stage:
    """Org and Airflow that the tests share.

    No task may run while a test saves a form: on SQLite, one of the two would wait until the other gives up.

    :param org: the org
    :param airflow: the Airflow
    :param fernet_key: the key with which it encrypts connections
    """

    org: LocalOrg
    airflow: Airflow
    fernet_key: bytes

    def stored(self, conn_id: str) -> tuple[str | None, dict[str, Any]]:
        """Return password and extra of a connection as the database has them, because Airflow's API masks both."""
        with closing(sqlite3.connect(self.airflow.home / "airflow.db")) as database:
            query = "SELECT password, extra FROM connection WHERE conn_id = ?"
            password, extra = database.execute(query, (conn_id,)).fetchone()
        key = Fernet(self.fernet_key)
        return key.decrypt(password).decode() if password else None, json.loads(key.decrypt(extra))


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    home = tmp_path_factory.mktemp("airflow-ui")
    with LocalOrg(key_type="rsa2048") as org:
        org.flow("hello")(lambda request: {"greeting": f"Hello, {request.body['name']}"})
        org.flow("status")(lambda request: {"status": "SUCCEEDED"})
        org.flow("broken")(lambda request: ReturnError(500, "no such account"))
        for name in ("loses_one", "loses_two"):
            org.flow(name)(lambda request: {"ran": request.body})
        fernet_key = Fernet.generate_key()
        environment = {
            **org.environment("okta_linked"),
            "AIRFLOW__CORE__FERNET_KEY": fernet_key.decode(),
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__OKTA_WORKFLOWS__TOKEN_CACHE_DIR": str(home / "tokens"),
        }
        with Airflow(home, Path(__file__).parent / "dags", environment) as airflow:
            yield Stage(org, airflow, fernet_key)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=_QUIET)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def browser(chromium: Browser, stage: Stage) -> BrowserContext:
    """Return one context with one cache, because Airflow's page is 6 MB of JavaScript."""
    context = chromium.new_context(base_url=stage.airflow.url, viewport={"width": 1100, "height": 900}, locale="en")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(_PATIENCE)
    return context


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


@pytest.fixture
def snap(request: pytest.FixtureRequest, tmp_path: Path) -> Snap:
    folder: Path = request.config.getoption("--screenshots") or tmp_path

    def take(name: str, what: Page | Locator) -> None:
        path = folder / f"{name}.png"
        what.screenshot(path=path, animations="disabled")
        assert path.stat().st_size < _LARGEST

    return take
