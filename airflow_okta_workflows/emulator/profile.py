"""The rules that one local org keeps: its own, or what a profile has seen of a real org.

A profile is the file that ``okta-workflows conformance --write`` makes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_okta_workflows.core.errors import CoreError, configuration_error
from airflow_okta_workflows.core.secret import shown
from airflow_okta_workflows.emulator.responses import RawResponse
from airflow_okta_workflows.emulator.rules import ACCEPTED, AS_GIVEN, RETURNS, RULES, WINDOWS, Observation, Rule

FORMAT = 1
_MAX_BYTES = 1_000_000
_FIX = "OKW-1904: Give a file that okta-workflows conformance --write has made."
MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}")
"""The media type of a response, in lower case and without parameters."""
_HEADER = re.compile(r"[a-z0-9_<>-]{1,80}")
"""The name of a header, possibly with a placeholder such as ``<org>``."""
_PAGE = "<!doctype html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
_ONE_OF = {"window": WINDOWS, "returned": RETURNS, "form": ("uuid", "other")}
_MAY_BE_NONE = ("seconds", "accepted_at_once")
"""Limits, of which there may be none."""
HTML = "<html>"
"""Text of an observed HTML page, of which nothing else is kept."""

Profile = str | Path | Mapping[str, Any]


class OrgRules:
    """The observations that determine how a local org responds.

    :param profile: the path of a profile, or its content; None for the local org's own rules
    :raises CoreError: if it is not a profile
    """

    def __init__(self, profile: Profile | None = None) -> None:
        self._seen = {} if profile is None else _observations(profile)

    def __getitem__(self, rule: str) -> Observation:
        return self._seen.get(rule) or RULES[rule].expected

    def accepts(self, rule: str) -> bool:
        """Return whether the org accepts what a rule is about.

        :param rule: the rule's number
        """
        return self[rule] == ACCEPTED

    def response(self, rule: str, values: Mapping[str, str | int] | None = None, *, status: int = 200) -> RawResponse:
        """Return the response that a rule has.

        :param rule: the rule's number
        :param values: values of placeholders in its body
        :param status: the status if the flow chose it
        """
        observation = self[rule]
        given = observation.get("status", status)
        status = status if given == AS_GIVEN else given
        if "body" in observation:
            body = json.dumps(_filled(observation["body"], values or {})).encode()
        else:
            text = observation.get("text", "")
            body = (_PAGE.format(status) if text == HTML else str(_filled(text, values or {}))).encode()
        media_type = observation.get("type")
        return RawResponse(status, body, {"Content-Type": media_type} if media_type else {})

    def text(self, rule: str, name: str, values: Mapping[str, str | int]) -> str:
        """Return a member of facts, with its placeholders replaced.

        :param rule: the rule's number
        :param name: the member's name
        :param values: values of the placeholders
        """
        return str(_filled(self[rule][name], values))


def parse_profile(content: Mapping[str, Any]) -> dict[str, Observation]:
    """Return the observations in a profile, by the number of the rule.

    :param content: the profile
    :raises CoreError: if it is not one
    """
    rules = content.get("rules")
    if content.get("format") != FORMAT or not isinstance(rules, Mapping):
        raise configuration_error("This is not a profile of this version's format.", _FIX)
    found: dict[str, Observation] = {}
    for number, finding in rules.items():
        rule = RULES.get(number)
        if rule is None or not isinstance(finding, Mapping):
            raise configuration_error(f"The profile has a rule {shown(number, 20)}, which is not known.", _FIX)
        if (seen := finding.get("seen")) is not None:
            if rule.is_outcome and not _is_playable(seen, rule):
                what = next(iter(seen))
                raise configuration_error(
                    f"In the profile, rule {number} says {what}, which no local org can play.", _FIX
                )
            if not _is_observation(seen, rule):
                raise configuration_error(f"In the profile, rule {number} has an observation of another kind.", _FIX)
            found[number] = seen
    return found


def _observations(profile: Profile) -> dict[str, Observation]:
    if isinstance(profile, Mapping):
        return parse_profile(profile)
    path = Path(profile).expanduser()
    content: object = None
    error: CoreError | None = None
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
    except OSError as failure:
        error = configuration_error(f"The profile {shown(path)} cannot be read: {failure.strerror}.", _FIX)
    except (ValueError, RecursionError):
        error = configuration_error(f"The profile {shown(path)} is not JSON.", _FIX)
    if error is not None:
        raise error
    if not isinstance(content, dict):
        raise configuration_error(f"The profile {shown(path)} is not a JSON object.", _FIX)
    return parse_profile(content)


def _is_playable(seen: object, rule: Rule) -> bool:
    """Return whether the local org can accept, or end the connection, where a profile says so."""
    if seen == ACCEPTED:
        return rule.may_be_accepted
    return not isinstance(seen, dict) or seen.keys() != {"lost"} or "lost" in rule.expected


def _is_observation(seen: object, rule: Rule) -> bool:
    if not isinstance(seen, dict):
        return False
    if not rule.is_outcome:
        return seen.keys() == rule.expected.keys() and all(
            _is_fact(name, value, rule.expected[name]) for name, value in seen.items()
        )
    if seen == ACCEPTED or (seen.keys() == {"lost"} and isinstance(seen["lost"], str)):
        return True
    status = seen.get("status")
    return (
        seen.keys() <= {"status", "type", "body", "text", "execution_id"}
        and (rule.expected.get("status") == AS_GIVEN if status == AS_GIVEN else _is_status(status))
        and _is_media_type(seen.get("type"))
        and isinstance(seen.get("text", ""), str)
    )


def _is_status(value: object) -> bool:
    return type(value) is int and 200 <= value <= 599


def _is_media_type(value: object) -> bool:
    return value is None or (isinstance(value, str) and bool(MEDIA_TYPE.fullmatch(value)))


def _is_fact(name: str, value: object, expected: object) -> bool:
    if name == "header":
        return value is None or (isinstance(value, str) and bool(_HEADER.fullmatch(value)))
    if name == "headers":
        return isinstance(value, list) and all(isinstance(one, str) and _HEADER.fullmatch(one) for one in value)
    if name in _ONE_OF:
        return value in _ONE_OF[name]
    if name == "status":
        return _is_status(value)
    if name == "type":
        return _is_media_type(value)
    if type(expected) is int:
        return (value is None and name in _MAY_BE_NONE) or (type(value) is int and 0 < value <= 1_000_000)
    if isinstance(expected, list):
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return type(value) is type(expected)


def _filled(value: Any, values: Mapping[str, str | int]) -> Any:
    """Return a JSON value with placeholders replaced; a string that is one becomes the value itself."""
    if isinstance(value, str):
        for name, replacement in values.items():
            if value == name:
                return replacement
            value = value.replace(name, str(replacement))
        return value
    if isinstance(value, list):
        return [_filled(one, values) for one in value]
    if isinstance(value, dict):
        return {name: _filled(one, values) for name, one in value.items()}
    return value
