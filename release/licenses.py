"""The licenses of all that the package installs, and which of them are allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from license_expression import ExpressionError, LicenseSymbol, Licensing

from release.findings import ReleaseError
from release.sbom import components

ALLOWED = {
    *(
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
    ),
    # Each asks for changes of its own files to be published, and nothing of a program that imports them.
    *("Artistic-1.0-Perl", "MPL-2.0"),
}
"""SPDX ids of licenses under which a program of any license may import a package."""

_CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    # With two or three clauses: both are allowed.
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""What packages without an SPDX expression state."""

_REVIEWED = {
    # A file LICENSE, and nothing in the metadata.
    "protobuf": "BSD-3-Clause",
    # "Artistic License or GPL", says its README; its metadata lists both, and not that one may choose.
    "text-unidecode": "Artistic-1.0-Perl OR GPL-2.0-or-later",
}
"""The licenses of packages whose metadata does not tell them, as their files do."""

_LICENSING = Licensing()


def require_allowed(bill: Path, listing: Path) -> str:
    """List the license of each component, and check them all.

    :param bill: the software bill of materials
    :param listing: the file for the list
    :raises ReleaseError: if a license is unknown or not allowed
    """
    found = components(json.loads(bill.read_text("utf-8")))
    stated = {f"{one['name']} {one['version']}": license_of(one) for one in found}
    lines = [f"{name}: {license_ or 'not stated'}" for name, license_ in sorted(stated.items(), key=_by_name)]
    listing.write_text("\n".join([*lines, ""]), "utf-8")
    refused = [line for line in lines if not is_allowed(line.partition(": ")[2])]
    if refused:
        raise ReleaseError(f"No license that {Path(__file__).name} allows:", refused)
    return f"{len(lines)} components, {len(set(stated.values()))} different licenses"


def license_of(component: dict[str, Any]) -> str:
    """Return the license of a component as an SPDX expression; empty if it states none.

    What it states several times counts as several licenses, which all have to be allowed.

    :param component: the component, from a software bill of materials
    """
    if reviewed := _REVIEWED.get(component["name"]):
        return reviewed
    stated = [_expression(one) for one in component.get("licenses", ())]
    return " AND ".join(f"({one})" if " OR " in one and len(stated) > 1 else one for one in dict.fromkeys(stated))


def is_allowed(expression: str) -> bool:
    """Return whether a license is allowed: of alternatives one, of several that hold together all.

    :param expression: an SPDX expression
    """
    try:
        parsed = _LICENSING.parse(expression)
    except ExpressionError:
        return False
    return parsed is not None and _holds(parsed)


def _holds(parsed: Any) -> bool:
    match parsed:
        case _LICENSING.AND():
            return all(map(_holds, parsed.args))
        case _LICENSING.OR():
            return any(map(_holds, parsed.args))
        case LicenseSymbol():
            return parsed.key in ALLOWED
        case _:
            return False


def _expression(stated: dict[str, Any]) -> str:
    if "expression" in stated:
        return str(stated["expression"])
    name = str(stated["license"].get("id") or stated["license"].get("name"))
    return _CLASSIFIERS.get(name, name)


def _by_name(item: tuple[str, str]) -> str:
    return item[0].lower()
