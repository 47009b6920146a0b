"""An HTML page as tests see it: its links, what it loads, and its link targets."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class HtmlPage(HTMLParser):
    """Parsed page.

    :param text: its HTML
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        """Each ``href`` and ``src``."""
        self.loads: list[str] = []
        """URLs that a browser fetches to show the page."""
        self.navigation: list[str] = []
        """Links of the navigation, except those within the page."""
        self.images: list[tuple[str, str]] = []
        """Source and alternative text of each picture."""
        self.ids: set[str] = set()
        self.titles: set[str] = set()
        """Titles of the code blocks."""
        self._navs: list[bool] = []
        self._in_title = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        classes = (values.get("class") or "").split()
        if values.get("id"):
            self.ids.add(str(values["id"]))
        for name in ("href", "src"):
            link = values.get(name)
            if link is None:
                continue
            self.links.append(link)
            if tag != "a":
                self.loads.append(link)
            elif any(self._navs) and "#" not in link:
                self.navigation.append(link)
        if tag == "img":
            self.images.append((values.get("src") or "", values.get("alt") or ""))
        if tag == "nav":
            self._navs.append("md-nav--primary" in classes)
        self._in_title = tag == "span" and "filename" in classes

    def handle_endtag(self, tag: str) -> None:
        if tag == "nav":
            self._navs.pop()
        self._in_title = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.titles.add(data)
