"""The site as a reader sees it in Chromium, opened from a folder: search, narrow screens, the dark scheme."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

from tests.docs_site.test_site import NAMES, SITE
from tests.ui.chromium import find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ViewportSize

playwright = pytest.importorskip("playwright.sync_api", reason="the group ui is not installed")
CHROMIUM = find_chromium()
NO_CHROMIUM = "there is no Chromium; CHROMIUM names one"
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM),  # the site's other tests follow each link without one
    # Forty pages, on a machine that may be busy.
    pytest.mark.timeout(300),
]

PAGES = [name for name in NAMES if not name.startswith("404")]
NARROW: ViewportSize = {"width": 390, "height": 844}
WIDE: ViewportSize = {"width": 1200, "height": 900}

TABLES_THAT_DO_NOT_FIT = """() => [...document.querySelectorAll("article table:not(.highlighttable)")].filter(table => {
    const box = table.closest(".md-typeset__scrollwrap");
    return !box || !["auto", "scroll"].includes(getComputedStyle(box).overflowX)
        || box.getBoundingClientRect().right > innerWidth || box.getBoundingClientRect().left < 0;
}).map(table => table.innerText.slice(0, 40))"""

NARROW_COLUMNS = """() => [...document.querySelectorAll("article table:not(.highlighttable) td")].filter(cell =>
    cell.innerText.length > 60 && cell.getBoundingClientRect().width < 120).map(cell => cell.innerText.slice(0, 40))"""

LOW_CONTRAST = """() => {
    const pixel = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const parse = color => {
        pixel.clearRect(0, 0, 1, 1);
        pixel.fillStyle = color;
        pixel.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
    const background = element => {
        const layers = [];
        for (let one = element; one; one = one.parentElement) layers.push(parse(getComputedStyle(one).backgroundColor));
        return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
    };
    const light = color => {
        const [r, g, b] = color.map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    return [...document.querySelectorAll("article p, article li, article td, article th, article td code, article a:not(.headerlink), article h2")]
        .filter(element => element.innerText.trim()).map(element => {
            const behind = background(element);
            const [a, b] = [light(over(parse(getComputedStyle(element).color), behind)), light(behind)];
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.innerText.slice(0, 40)];
        }).filter(([contrast]) => contrast < 4.5);
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--no-first-run"])
        yield browser
        browser.close()


def address(name: str) -> str:
    return (SITE / name).as_uri()


def test_the_search_works_in_a_folder_and_loads_nothing_from_elsewhere(chromium: Browser) -> None:
    page = chromium.new_page(viewport=WIDE)
    schemes: set[str] = set()
    errors: list[str] = []
    page.on("request", lambda request: schemes.add(urlsplit(request.url).scheme))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address("index.html"))
    page.locator(".md-search__input").click()
    page.get_by_text("Type to start searching").wait_for(timeout=20_000)
    # Key by key: the theme looks at the input when a key is released.
    page.keyboard.type("settle seconds")
    found = page.locator(".md-search-result__link").first
    found.wait_for(timeout=20_000)
    links = page.locator(".md-search-result__link").evaluate_all("found => found.map(one => one.href)")
    page.close()

    assert any("operators.html" in link or "reliability.html" in link for link in links)
    assert schemes <= {"file", "data", "blob", "about"}
    assert errors == []


def test_each_table_scrolls_within_its_box_on_a_phone(chromium: Browser) -> None:
    page = chromium.new_page(viewport=NARROW)
    problems = {}
    for name in PAGES:
        page.goto(address(name))
        width = page.evaluate("document.documentElement.scrollWidth")
        found = [*page.evaluate(TABLES_THAT_DO_NOT_FIT), *page.evaluate(NARROW_COLUMNS)]
        if width > NARROW["width"] or found:
            problems[name] = (width, found[:3])
    page.close()

    assert problems == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_each_scheme(chromium: Browser, scheme: Literal["light", "dark"]) -> None:
    page = chromium.new_page(viewport=WIDE, color_scheme=scheme)
    problems = {}
    for name in PAGES:
        page.goto(address(name))
        assert (
            page.locator("body").get_attribute("data-md-color-scheme") == {"light": "default", "dark": "slate"}[scheme]
        )
        if found := page.evaluate(LOW_CONTRAST):
            problems[name] = found[:3]
        assert page.evaluate("[...document.images].filter(one => !one.naturalWidth).map(one => one.src)") == []
    page.close()

    assert problems == {}


def test_a_link_to_a_code_shows_its_row(chromium: Browser) -> None:
    page = chromium.new_page(viewport=WIDE)
    page.goto(address("troubleshooting.html") + "#okw-1240")
    row = page.locator("tr:has(:target)")
    row.wait_for(timeout=10_000)
    text, box = row.inner_text(), row.bounding_box()
    page.close()

    assert "OKW-1240" in text
    assert box is not None
    # Below the header that stays at the top of the page.
    assert 40 < box["y"] < WIDE["height"]
