"""The local org's page at /app in a real browser: wide and narrow, light and dark, by keyboard."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from airflow_okta_workflows.emulator import LocalOrg
from tests.ui.conftest import Snap
from tests.ui.invoked_org import KEY, SCRIPT, TRACE, invoked_org

SIZES = {1440: 800, 390: 844}
SCHEMES = ("light", "dark")
LEAST_CONTRAST = 4.5

# WCAG 2: the relative luminance of a color, and the ratio of two. Each text against the nearest background below it.
CONTRASTS = """
() => {
  const rgba = color => { const [r, g, b, a = 1] = color.match(/[\\d.]+/g).map(Number); return [r, g, b, a]; };
  const linear = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = rgba(getComputedStyle(element).backgroundColor);
      if (color[3] === 1) return color;
      if (color[3] !== 0) throw new Error('half transparent');
    }
    throw new Error('no background');
  };
  const ratio = (color, element) => {
    const [light, dark] = [luminance(rgba(color)), luminance(behind(element))].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const found = [];
  for (const element of document.body.querySelectorAll('*')) {
    if (!element.checkVisibility() || ['OPTION', 'STYLE'].includes(element.tagName)) continue;
    const own = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const name = `${element.tagName} ${element.className} ${element.textContent.slice(0, 30)}`;
    if (own || ['INPUT', 'SELECT'].includes(element.tagName)) {
      found.push([name, ratio(getComputedStyle(element).color, element)]);
    }
    const before = getComputedStyle(element, '::before');
    if (!['none', 'normal'].includes(before.content)) found.push([`${name} ::before`, ratio(before.color, element)]);
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def org() -> Iterator[LocalOrg]:
    with pytest.MonkeyPatch.context() as patch, invoked_org(patch) as org:
        yield org


@pytest.fixture(params=SIZES, ids=lambda width: f"{width}px")
def width(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(chromium: Browser, width: int, scheme: Any) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": width, "height": SIZES[width]}, color_scheme=scheme, locale="en")
    yield context.new_page()
    context.close()


@pytest.fixture
def wide(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1440, "height": 500}, locale="en")
    yield context.new_page()
    context.close()


def rows(page: Page) -> Locator:
    return page.locator("table.invocations tbody").get_by_role("row")


def overflow(page: Page) -> int:
    return int(page.evaluate("document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"))


def test_it_can_be_read_at_each_width_and_in_each_scheme(
    org: LocalOrg, page: Page, width: int, scheme: str, snap: Snap
) -> None:
    marked = org.flows["create_account"].runs[0].execution_id
    page.goto(f"{org.url}/app#execution_id={marked}")
    expect(page.locator("code:target")).to_be_in_viewport()
    page.evaluate("scrollTo(0, 0)")
    if (width, scheme) == (1440, "light"):
        snap("local-org-console", page)
    for summary in page.locator("summary").all():
        summary.click()

    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert [one for one in contrasts if one[1] < LEAST_CONTRAST] == []
    assert overflow(page) == 0
    colors = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    is_dark = [int(color.removeprefix("rgb(").split(",")[0]) for color in colors]
    assert (is_dark[0] > is_dark[1]) is (scheme == "dark")


@pytest.mark.parametrize("query", ["?flow=nothing", ""])
def test_an_empty_page_can_be_read_as_well(org: LocalOrg, page: Page, query: str) -> None:
    with LocalOrg() as empty:
        empty.flow("hello")(lambda request: {})
        page.goto(f"{(org if query else empty).url}/app{query}")

        expect(page.locator(".empty")).to_be_visible()
        assert [one for one in page.evaluate(CONTRASTS) if one[1] < LEAST_CONTRAST] == []
        assert overflow(page) == 0


def test_a_narrow_page_names_each_value(org: LocalOrg, page: Page, width: int) -> None:
    page.goto(f"{org.url}/app")
    first = rows(page).first
    cells = first.get_by_role("cell")

    expect(cells).to_have_count(7)
    boxes = [cell.bounding_box() for cell in cells.all()]
    below = all(one and other and other["y"] > one["y"] for one, other in itertools.pairwise(boxes))
    assert below is (width == 390)
    labels = cells.evaluate_all("cells => cells.map(cell => getComputedStyle(cell, '::before').content)")
    names = ["Time", "Flow", "Status", "Duration", "Payload", "Response", "DAG run"]
    assert labels == ([f'"{name}"' for name in names] if width == 390 else ["none"] * 7)
    assert page.get_by_role("columnheader").all_text_contents()[:7] == names


def test_it_shows_what_became_of_each_invocation(org: LocalOrg, wide: Page) -> None:
    wide.goto(f"{org.url}/app")

    states = [text.strip() for text in rows(wide).locator(".state").all_text_contents()]
    assert states == [
        "in progress", "200 succeeded", "429 refused", "429 refused", "500 failed", "ran, no response",
        "503 did not run", "200 succeeded", "200 succeeded", "200 succeeded", "401 refused", "200 succeeded",
    ]  # fmt: skip
    expect(rows(wide).filter(has_text="add_to_group")).to_contain_text(f"trace {TRACE}")
    expect(wide.get_by_text("401 refused")).to_have_count(2)


def test_nothing_but_the_page_is_asked_for_and_no_script_runs(org: LocalOrg, wide: Page) -> None:
    asked: list[str] = []
    said: list[str] = []
    wide.on("request", lambda request: asked.append(request.url))
    wide.on("console", lambda message: said.append(message.text))
    wide.goto(f"{org.url}/app")
    first = rows(wide).last
    first.locator("summary").first.click()

    expect(first.locator("pre").first).to_contain_text(SCRIPT.replace('"', '\\"'))
    expect(wide).to_have_title("Local org: execution history")
    assert [url for url in asked if not url.startswith("data:")] == [f"{org.url}/app"]
    assert said == []


def test_everything_is_reached_by_keyboard(org: LocalOrg, wide: Page) -> None:
    wide.goto(f"{org.url}/app")
    reached = []
    for _ in range(200):
        wide.keyboard.press("Tab")
        tag, outline = wide.evaluate(
            "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineWidth]"
        )
        if tag == "BODY":
            break
        assert outline == "2px", f"no one sees where the focus is: {tag}"
        reached.append(tag)
    wanted = wide.locator("a, select, input, button, summary")

    assert len(reached) == wanted.count() > 30
    wide.locator("summary").first.focus()
    wide.keyboard.press("Enter")
    expect(wide.locator("details").first).to_have_attribute("open", "")


def test_the_names_of_the_columns_stay_in_view(org: LocalOrg, wide: Page) -> None:
    wide.goto(f"{org.url}/app")
    head = wide.locator("table.invocations th").first
    before = head.bounding_box()
    rows(wide).last.scroll_into_view_if_needed()
    after = head.bounding_box()

    assert before is not None
    assert before["y"] > 100
    assert after is not None
    assert after["y"] == 0


def test_the_form_filters(org: LocalOrg, wide: Page) -> None:
    wide.goto(f"{org.url}/app")
    wide.get_by_label("Flow").select_option("create_account")
    wide.get_by_role("button", name="Filter").click()
    expect(rows(wide)).to_have_count(2)
    wide.get_by_label("Execution id or idempotency key").fill(KEY)
    wide.keyboard.press("Enter")

    expect(rows(wide)).to_have_count(1)
    assert wide.url == f"{org.url}/app?flow=create_account&run={KEY}"
    wide.get_by_role("link", name="Show all").click()
    expect(rows(wide)).to_have_count(12)
    rows(wide).get_by_role("link", name=KEY).click()
    expect(rows(wide)).to_have_count(1)


def test_the_execution_of_a_link_is_marked_and_not_below_the_names_of_the_columns(org: LocalOrg, wide: Page) -> None:
    # One with enough below it to be scrolled to the top.
    run = org.flows["add_to_group"].runs[0]
    wide.goto(f"{org.url}/app#execution_id={run.execution_id}")
    marked = wide.locator("code:target")
    head = wide.locator("table.invocations th").first.bounding_box()
    box = marked.bounding_box()

    expect(marked).to_have_text(run.execution_id)
    expect(marked).to_be_in_viewport()
    assert head is not None
    assert box is not None
    assert box["y"] >= head["y"] + head["height"]
    backgrounds = rows(wide).evaluate_all("rows => rows.map(row => getComputedStyle(row.cells[0]).backgroundColor)")
    assert sorted(Counter(backgrounds).values()) == [1, 11]
