"""The site that ``make docs`` built: no link is dead, each page is in the navigation, nothing loads from elsewhere."""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest

from airflow_okta_workflows.operators.okta_workflows import InvokeOktaFlowOperator
from docs.site.api_pages import PUBLIC
from tests.html_page import HtmlPage
from tests.pages import PAGES, ROOT, SCRIPTS, files

SITE = ROOT / "site"
NAMES = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html"))
SOURCES = (
    *("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "RELEASING.md"),
    *("CHANGELOG.md", "mkdocs.yml", "docs", "dags", "airflow_okta_workflows"),
)
"""Sources of the site."""


@pytest.fixture(scope="module")
def pages() -> dict[str, HtmlPage]:
    assert NAMES, "there is no site/; `make docs` builds it"
    return {name: HtmlPage((SITE / name).read_text()) for name in NAMES}


def built_from(page: str) -> str:
    """Return the name of the site's page that is built from a page of the repository."""
    return "index.html" if page == "README.md" else page.removeprefix("docs/").replace(".md", ".html")


def dead(pages: dict[str, HtmlPage], name: str) -> list[str]:
    """Return the links of a page whose target within the site does not exist."""
    found = []
    for link in pages[name].links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        # The 404 page is shown at any path, so its links start at the root of the site.
        place = SITE / parts.path.lstrip("/") if parts.path.startswith("/") else (SITE / name).parent / parts.path
        target = (place if parts.path else SITE / name).resolve()
        if target.is_dir():
            target /= "index.html"
        fragment = unquote(parts.fragment)
        known = pages[str(target.relative_to(SITE))].ids if target.suffix == ".html" and target.exists() else set()
        if not target.is_file() or (fragment and fragment not in known):
            found.append(link)
    return found


def test_each_link_leads_to_a_file_and_to_a_place_in_it(pages: dict[str, HtmlPage]) -> None:
    assert {name: links for name in pages if (links := dead(pages, name))} == {}
    assert sum(len(page.links) for page in pages.values()) > 500


def test_each_page_is_in_the_navigation_once(pages: dict[str, HtmlPage]) -> None:
    navigation = pages["changelog.html"].navigation

    assert {page: navigation.count(built_from(page)) for page in PAGES} == {
        # The name of the site also links to the first page.
        page: 2 if page == "README.md" else 1
        for page in PAGES
    }
    assert navigation.index("index.html") < navigation.index("okta-setup.html") < navigation.index("security.html")


def test_nothing_is_loaded_from_elsewhere(pages: dict[str, HtmlPage]) -> None:
    loads = {link for page in pages.values() for link in page.loads}
    styles = "".join(path.read_text() for path in SITE.rglob("*.css"))

    assert any(link.endswith(".js") for link in loads)
    assert [link for link in loads if urlsplit(link).netloc] == []
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", styles) == []


@pytest.mark.parametrize("page", PAGES)
def test_the_name_of_each_file_is_shown(pages: dict[str, HtmlPage], page: str) -> None:
    assert set(files(page)) <= pages[built_from(page)].titles


def test_the_readme_leads_to_the_example_dags(pages: dict[str, HtmlPage]) -> None:
    assert "source/dags.html" in pages["index.html"].links
    assert {path.name for path in (ROOT / "dags").iterdir() if path.is_file()} == pages["source/dags.html"].titles


def test_each_picture_has_an_alternative_text(pages: dict[str, HtmlPage]) -> None:
    without = {
        name: source
        for name, page in pages.items()
        for source, text in page.images
        # The logo is beside the site's name.
        if len(text) < 10 and not source.endswith("logo.svg")
    }

    assert without == {}
    assert sum(len(page.images) for page in pages.values()) >= 10


@pytest.mark.parametrize("picture", sorted((ROOT / "docs/images").glob("*.svg")), ids=lambda path: path.name)
def test_a_drawn_picture_describes_itself_and_refers_to_nothing(picture: Path) -> None:
    text = picture.read_text()
    tree = ElementTree.fromstring(text)

    assert tree.find("{http://www.w3.org/2000/svg}title") is not None
    assert re.findall(r"href|@import|<image|<script|url\((?!#)", text) == []
    if "<text" in text:
        assert tree.find("{http://www.w3.org/2000/svg}desc") is not None


def test_the_readme_is_short_and_has_the_set_up() -> None:
    text = (ROOT / "README.md").read_text()

    assert len(text.split()) < 600
    assert "make demo" in text
    assert "make test" in text


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_public_class_is_in_the_reference(pages: dict[str, HtmlPage], name: str) -> None:
    path, _ = PUBLIC[name]
    module = importlib.import_module(f"airflow_okta_workflows.{path}")
    defined = [one for one, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    classes = [one for one in defined if inspect.isclass(getattr(module, one)) and one[0].isupper()]
    listed = getattr(module, "__all__", None) or classes or [one for one in defined if not one.startswith("_")]

    assert listed
    assert {one.lower() for one in listed} <= pages[f"api/{name}.html"].ids


def test_the_reference_shows_the_parameters_and_not_the_markup_of_docstrings(pages: dict[str, HtmlPage]) -> None:
    for name in PUBLIC:
        text = (SITE / f"api/{name}.html").read_text()
        assert not re.search(r":(?:param|class|meth|raises)\b|``", re.sub(r"<pre.*?</pre>", "", text, flags=re.S)), name
    shown = (SITE / "api/operators.html").read_text()
    for parameter in inspect.signature(InvokeOktaFlowOperator).parameters:
        assert f"<td><code>{parameter}</code></td>" in shown or parameter == "kwargs"


def test_each_code_of_an_error_has_a_link_target(pages: dict[str, HtmlPage]) -> None:
    codes = {code.lower() for code in re.findall(r"OKW-\d{4}", (ROOT / "docs/troubleshooting.md").read_text())}

    assert len(codes) > 200
    assert codes <= pages["troubleshooting.html"].ids
    assert {f"../troubleshooting.html#{code}" for code in codes} <= set(pages["api/exceptions.html"].links)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return the folder of a copy of the site's sources, which a test can change."""
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def build(copy: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [SCRIPTS / "properdocs", "build", "--strict", "--config-file", copy / "mkdocs.yml"]
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False, timeout=100)


def test_a_copy_is_built(copy: Path) -> None:
    done = build(copy)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("page", "planted", "complaint"),
    [
        ("docs/security.md", "[x](nowhere.md)", "link 'nowhere.md', but the target is not found"),
        ("docs/security.md", "[x](../nowhere.py)", "link '../nowhere.py'"),
        ("docs/security.md", "![x](images/nowhere.png)", "link 'images/nowhere.png', but the target is not found"),
        ("docs/security.md", "[x](#nowhere)", "contains a link '#nowhere'"),
        ("docs/security.md", "[x](connection.md#nowhere)", "does not contain an anchor '#nowhere'"),
        ("README.md", "[x](docs/nowhere.md)", "link 'docs/nowhere.md'"),
        ("README.md", "[x](docs/connection.md#nowhere)", "does not contain an anchor '#nowhere'"),
        ("docs/orphan.md", "# A page that nothing leads to", 'not included in the "nav" configuration:\n  - orphan.md'),
        ("mkdocs.yml", "nav: [index.md, nowhere.md]", "A reference to 'nowhere.md' is included in the 'nav'"),
    ],
)
def test_a_fault_fails_the_build(copy: Path, page: str, planted: str, complaint: str) -> None:
    with (copy / page).open("a") as file:
        file.write(f"\n\n{planted}\n")
    done = build(copy)

    assert done.returncode != 0
    assert complaint in done.stderr
