"""Airflow's connection form and list, as a user operates them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

_CLICKS = 5


class ConnectionForm:
    """Connection form, and the list of connections.

    :param page: the browser's page
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.dialog = page.get_by_role("dialog")

    def open_list(self) -> None:
        """Load the list of connections."""
        self.page.goto("/connections", wait_until="domcontentloaded")

    def add(self, conn_id: str) -> None:
        """Open the form for a new connection of our type."""
        self.open_list()
        self._open(self.page.get_by_role("button", name="Add Connection"))
        self.dialog.get_by_label("Connection ID").fill(conn_id)
        self.dialog.get_by_label("Connection Type").fill("Okta")
        self.page.get_by_role("option", name="Okta Workflows", exact=True).click()

    def edit(self, conn_id: str) -> None:
        """Open the form for an existing connection."""
        self.open_list()
        self._open(self.row(conn_id).get_by_role("button", name="Edit Connection"))

    def _open(self, button: Locator) -> None:
        button.click()
        # A slow dialog shows its inputs before it takes the focus, which closes menus and loses clicks on sections.
        expect(self.page.locator("[role=dialog]:focus-within")).to_be_visible()

    def unfold(self, section: str) -> None:
        """Expand one of the form's sections, which collapses the others."""
        trigger = self.dialog.get_by_role("button", name=section, exact=True)
        # A click toggles, so only a collapsed section is clicked. A form that is still rendered may lose clicks.
        for _ in range(_CLICKS):
            if trigger.get_attribute("aria-expanded") == "true":
                return
            trigger.click()
            with suppress(AssertionError):
                expect(trigger).to_have_attribute("aria-expanded", "true", timeout=2_000)
        expect(trigger).to_have_attribute("aria-expanded", "true")

    def standard(self, label: str) -> Locator:
        """Return the input of one of Airflow's own fields."""
        return self.dialog.get_by_label(label, exact=True)

    def extra(self, name: str) -> Locator:
        """Return the input of one of our fields, by its name because Airflow ties no label to it."""
        return self.dialog.locator(f"[name=element_{name}]")

    def group(self, label: str) -> Locator:
        """Return the group with the label, input and help text of one of our fields."""
        label_itself = self.page.locator("label").get_by_text(label, exact=True)
        return self.dialog.get_by_role("group").filter(has=label_itself)

    def paste(self, into: Locator, text: str) -> None:
        """Paste through the clipboard, as a user does, so that the browser can change the text."""
        self.page.evaluate("text => navigator.clipboard.writeText(text)", text)
        # Not by a click: Playwright may scroll the lines of an editor to click on them, and then never reaches them.
        into.focus()
        expect(into).to_be_focused()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.press("ControlOrMeta+V")

    def paste_json(self, extra: dict[str, Any]) -> None:
        """Replace the whole extra in its JSON editor."""
        self.unfold("Extra Fields JSON")
        section = self.page.get_by_role("button", name="Extra Fields JSON", exact=True)
        editor = self.dialog.locator("[data-part=item]").filter(has=section).get_by_role("textbox")
        self.paste(editor, json.dumps(extra))

    def fill(
        self,
        conn_id: str,
        *,
        domain: str,
        client_id: str,
        key: str,
        flows: dict[str, str] | None = None,
        extra: dict[str, str] | None = None,
    ) -> None:
        """Fill in the fields that a connection needs, and further fields of ours."""
        self.add(conn_id)
        self.standard("Okta domain").fill(domain)
        self.standard("Client ID").fill(client_id)
        self.paste(self.standard("Private key"), key)
        self.standard("Port").fill(domain.rpartition(":")[2])
        if flows or extra:
            self.unfold("Extra Fields")
        if flows:
            self.paste(self.group("Flows").get_by_role("textbox"), json.dumps(flows))
        for name, value in (extra or {}).items():
            self.extra(name).fill(value)

    def save(self) -> None:
        """Save, and wait until the form has closed."""
        self.dialog.get_by_role("button", name="Save").click()
        expect(self.dialog).to_be_hidden()

    def row(self, conn_id: str) -> Locator:
        """Return a connection's row in the list."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_text(conn_id, exact=True))

    def test(self, conn_id: str) -> Locator:
        """Press a connection's Test button, and return the message with the result."""
        # By keyboard, because a message about what was saved may cover the last rows.
        self.row(conn_id).get_by_role("button", name="Test Connection").press("Enter")
        return self.page.get_by_role("status").filter(has_text="Test Connection")
