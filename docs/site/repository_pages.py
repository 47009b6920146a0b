"""Hook of the documentation's site: what stands outside docs/ becomes pages, and links to it lead to them.

The Markdown is written to be read in the repository. So the README is the first page, the changelog the last, and a
file or a folder of the repository that a page links to is a page that shows it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from properdocs.structure.files import File, Files
from pygments.lexers import find_lexer_class_for_filename

if TYPE_CHECKING:
    from collections.abc import Iterator

    from properdocs.config.defaults import ProperDocsConfig
    from properdocs.structure.pages import Page

_PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "SECURITY.md": "security-policy.md",
    "RELEASING.md": "releasing.md",
    "CHANGELOG.md": "changelog.md",
}
_DOCS = "docs/"
_FENCE_OR_LINK = re.compile(r"^(?P<fence>`{3,}).*?^(?P=fence)|(?<=\]\()(?P<target>[^)\s#]+)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: ProperDocsConfig) -> Files:
    """Add a page for each file outside docs/ that is read as one, or linked to.

    :param files: the files of docs/
    :param config: of the site
    """
    root = Path(config.config_file_path or "").resolve().parent
    for name, uri in _PAGES.items():
        files.append(File.generated(config, uri, content=(root / name).read_text()))
    linked = set()
    for page in files.documentation_pages():
        linked |= {path for path in _linked(page.content_string, _repository_path(page.src_uri)) if _shown(root, path)}
    for path in sorted(linked):
        files.append(File.generated(config, _uri(path), content=_page_that_shows(root, path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: ProperDocsConfig, files: Files) -> str:  # noqa: ARG001  # a hook is called by these names
    """Return a page whose links lead to pages of the site. What leads nowhere is left, for the build to complain of.

    :param markdown: the page
    :param page: where it is
    :param config: of the site
    :param files: of the site
    """
    own = _repository_path(page.file.src_uri)

    def rewritten(match: re.Match[str]) -> str:
        target = match["target"]
        if target is None or "://" in target:
            return match[0]
        uri = _uri(_resolved(own, target))
        if files.get_file_from_path(uri) is None:
            return target
        return posixpath.relpath(uri, posixpath.dirname(page.file.src_uri))

    return _FENCE_OR_LINK.sub(rewritten, markdown)


def _repository_path(uri: str) -> str:
    """Return the path from the root of the repository of the file that a page is made from."""
    return {page: name for name, page in _PAGES.items()}.get(uri, _DOCS + uri)


def _uri(path: str) -> str:
    """Return the path within the site of what has a path in the repository."""
    if path.startswith(_DOCS):
        return path.removeprefix(_DOCS)
    return _PAGES.get(path, f"source/{path}.md")


def _resolved(own: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(own), target))


def _linked(markdown: str, own: str) -> Iterator[str]:
    for match in _FENCE_OR_LINK.finditer(markdown):
        if match["target"] and "://" not in match["target"]:
            yield _resolved(own, match["target"])


def _shown(root: Path, path: str) -> bool:
    outside = path in _PAGES or path.startswith((_DOCS, ".."))
    return not outside and (root / path).exists()


def _page_that_shows(root: Path, path: str) -> str:
    """Return a page that shows a file, or each file of a folder."""
    place = root / path
    if place.is_file():
        return f"# {path}\n\n{_block(place)}"
    files = sorted(file for file in place.iterdir() if file.is_file())
    return "\n\n".join([f"# {path}", *(f"## {file.name}\n\n{_block(file)}" for file in files)])


def _block(file: Path) -> str:
    lexer = find_lexer_class_for_filename(file.name)
    language = lexer.aliases[0] if lexer else "text"
    # More backticks than any file has in a row.
    return f'``````{language} title="{file.name}"\n{file.read_text().rstrip()}\n``````\n'
