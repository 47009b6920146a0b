"""Private keys in JSON: JWKs, JWK sets, and the JSON that secret managers and configuration files put around a key."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows.core.errors import configuration_error
from airflow_okta_workflows.core.keys.algorithms import ALGORITHMS, EC_ALGORITHMS, RSA_ALGORITHMS
from airflow_okta_workflows.core.keys.found import Found, ordinal, other, problem
from airflow_okta_workflows.core.keys.key_text import JWK_PRIVATE_MEMBERS, KeyText
from airflow_okta_workflows.core.secret import Secret, is_plain, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_okta_workflows.core.keys.work import Work

_CURVES = dict(zip(("P-256", "P-384", "P-521"), EC_ALGORITHMS.values(), strict=True))
_LONGEST_SHOWN = 40
_MOST_NAMED = 6
"""Most members of a JSON object that an error names."""

Path = tuple["Path", str] | tuple[()]
"""Names on the path to a member, the last one first."""


def find_in_json(values: list[Any], search: Callable[[str], list[Found]], work: Work) -> list[Found]:
    """Return the private keys in JSON values, at any depth.

    :param values: the values
    :param search: returns what a string within the values contains
    :param work: the work of the search
    """
    found: list[Found] = []
    members: list[Path] = []
    # Not recursive, since values may be nested to any depth.
    waiting: list[tuple[Path, Any]] = [((), value) for value in reversed(values)]
    jwks = 0
    while waiting:
        work.spend()
        path, value = waiting.pop()
        if isinstance(value, dict) and _is_jwk(value):
            found.append(_read_jwk(value, _place(value, path, jwks)))
            jwks += 1
        elif lines := _search_lines(value, search):
            found += [_at(path, one, lines) for one in lines]
        elif isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else ((f"[{at}]", one) for at, one in enumerate(value))
            waiting += reversed([((path, str(name)), one) for name, one in items])
        else:
            in_member = search(value) if isinstance(value, str) else []
            found += [_at(path, one, in_member) for one in in_member]
            members.append(path)
    return found or [_without_key(members)]


def _search_lines(value: Any, search: Callable[[str], list[Found]]) -> list[Found]:
    """Return what the strings of a list contain if they are the lines of a private key; otherwise an empty list."""
    if not value or not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        return []
    found = search("\n".join(value))
    return found if any(one.key for one in found) else []


def _at(path: Path, found: Found, others: list[Found]) -> Found:
    place = _dotted(path) if len(others) == 1 else f"{found.place} in {_dotted(path)}"
    return replace(found, place=place)


def _is_jwk(value: dict[str, Any]) -> bool:
    return "kty" in value or ("d" in value and ("n" in value or "x" in value))


def _place(jwk: dict[str, Any], path: Path, index: int) -> str:
    kid = jwk.get("kid")
    if isinstance(kid, str) and kid.isprintable():
        # A kid may be any string, even a private key: a P-256 key is as long as a thumbprint.
        return f"kid {kid if len(kid) <= _LONGEST_SHOWN and is_plain(kid) else kid[:8] + '…'}"
    is_member = path and not path[1].startswith("[")
    return _dotted(path) if is_member else f"the {ordinal(index)} JWK"


def _dotted(path: Path) -> str:
    names: list[str] = []
    while path:
        names.append(path[1])
        path = path[0]
    plain = [name if len(name) <= _LONGEST_SHOWN and is_plain(name) else "…" for name in reversed(names[:10])]
    return ".".join(plain).replace(".[", "[")


def _without_key(members: list[Path]) -> Found:
    named = ", ".join(dict.fromkeys(map(_dotted, members[:_MOST_NAMED]))) or "none"
    more = f" and {len(members) - _MOST_NAMED} more" if len(members) > _MOST_NAMED else ""
    return other(
        configuration_error(
            "This JSON is not a JWK, and no member of it is a private key.",
            f"OKW-1112: Give the private key alone. The members are: {named}{more}.",
        )
    )


def _read_jwk(jwk: dict[str, Any], place: str) -> Found:
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    # URL-safe base64 has no white space, plus, slash or padding.
    tidy = {
        name: "".join(value.split()).translate(str.maketrans("+/", "-_")) if isinstance(value, str) and name != "kid"
        else value
        for name, value in jwk.items()
    }  # fmt: skip
    private = " ".join(jwk[name] for name in JWK_PRIVATE_MEMBERS if isinstance(jwk.get(name), str))
    text = Secret(json.dumps(tidy, separators=(",", ":"), sort_keys=True))
    key = KeyText("jwk", text, (Secret(private),), str(kid) if kid else None, algorithm or None)
    found = next(_problems(jwk), None)
    return replace(found, place=place, unusable=key) if found else Found(place, key)


def _problems(jwk: dict[str, Any]) -> Iterator[Found]:
    kind, curve = jwk.get("kty"), jwk.get("crv")
    needed = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}.get(kind) if isinstance(kind, str) else None
    if needed is None:
        shown_kind = repr(kind) if isinstance(kind, str) and len(kind) <= 10 else "unknown"
        yield other(
            configuration_error(
                f"A JWK of type {shown_kind} is not supported.",
                "OKW-1111: Give an RSA or EC (P-256, P-384, P-521) private key.",
            )
        )
    if not jwk.get("d"):
        yield other(
            configuration_error(
                'This JWK has no private part (its member "d").',
                "OKW-1110: Okta shows the private key only once, when it is generated: give that one, or generate a"
                " new key.",
            )
        )
    use, operations = jwk.get("use"), jwk.get("key_ops")
    if use not in (None, "", "sig"):
        yield other(
            configuration_error(
                f'This JWK is not for signatures: its member "use" is {shown(use, 20)}.',
                'OKW-1109: Give the key whose "use" is "sig", or generate one.',
            )
        )
    if operations and isinstance(operations, list) and "sign" not in operations:
        yield other(
            configuration_error(
                'This JWK is not for signatures: its member "key_ops" does not include "sign".',
                "OKW-1108: Give the app's signing key, or generate one.",
            )
        )
    required = (*(needed or ()), "d", *(("kid",) if jwk.get("kid") is not None else ()))
    missing = [name for name in required if not isinstance(jwk.get(name), str)]
    if missing:
        yield problem(
            configuration_error(
                f"This JWK lacks {', '.join(missing)}, or has a value there that is not a string.",
                "OKW-1107: Copy it again, whole.",
            )
        )
    if kind == "EC" and curve not in _CURVES:
        yield other(
            configuration_error(
                f"The EC curve {shown(curve, 20)} is not supported.",
                "OKW-1106: Use P-256, P-384, P-521, or an RSA key.",
            )
        )
    yield from _algorithm_problems(jwk, RSA_ALGORITHMS if kind == "RSA" else (_CURVES.get(str(curve), ""),))


def _algorithm_problems(jwk: dict[str, Any], fitting: tuple[str, ...]) -> Iterator[Found]:
    algorithm = jwk.get("alg")
    if algorithm and algorithm not in ALGORITHMS:
        yield other(
            configuration_error(
                f'The JWK\'s member "alg" is {shown(algorithm, 20)}, which Okta does not accept in a client assertion.',
                f"OKW-1105: Give a key for one of {', '.join(ALGORITHMS)}.",
            )
        )
    elif algorithm and algorithm not in fitting:
        yield problem(
            configuration_error(
                f'The JWK\'s member "alg" is {algorithm}, which does not fit the key: that one is {jwk.get("kty")}.',
                f'OKW-1104: Remove "alg", or set it to {" or ".join(fitting)}.',
            )
        )
