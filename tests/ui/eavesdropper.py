"""Record of all that a browser receives and shows, for a search for secrets in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

    from tests.ui.connection_form import ConnectionForm


class Eavesdropper:
    """Record of what a page sends to Airflow's API, what it receives, and what it shows.

    :param page: the page
    """

    def __init__(self, page: Page) -> None:
        self.said: list[str] = []
        self.told: list[str] = []
        self.shown: list[str] = []
        self._page = page
        page.route(re.compile("/(api/v2|ui)/"), self._pass_on)

    def look(self) -> None:
        """Record what the page shows at the moment, and the values of its inputs."""
        self.shown.append(self._page.content())
        # In one step, because the page may remove an input while each is looked at.
        self.shown += self._page.locator("input, textarea").evaluate_all("all => all.map(each => each.value)")

    def _pass_on(self, route: Route) -> None:
        response = route.fetch()
        self.said.append(route.request.post_data or "")
        self.told.append(response.text())
        route.fulfill(response=response)


def look_everywhere(form: ConnectionForm, conn_id: str, eavesdropper: Eavesdropper) -> None:
    """Test a connection, open it in the form, and record each section of the form."""
    form.open_list()
    expect(form.test(conn_id)).to_contain_text("Test Connection")
    eavesdropper.look()
    form.edit(conn_id)
    eavesdropper.look()
    for section in ("Extra Fields", "Extra Fields JSON"):
        form.unfold(section)
        eavesdropper.look()
