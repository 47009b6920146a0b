"""Observations of a run for each rule, compared with the claims of the local org."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_okta_workflows import __version__
from airflow_okta_workflows.emulator.profile import FORMAT
from airflow_okta_workflows.emulator.rules import RULES

if TYPE_CHECKING:
    from airflow_okta_workflows.conformance.normalized import Normalizer
    from airflow_okta_workflows.emulator.profile import OrgRules
    from airflow_okta_workflows.emulator.rules import Observation, Rule


class Result(Enum):
    """The result of the comparison with one rule."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Finding:
    """One rule, and what was seen of it.

    :param rule: the rule
    :param expected: the observation that it is compared with
    :param seen: what was seen; None if nothing was
    :param why: why nothing was seen
    :param failed: whether that is because a probe failed
    """

    rule: Rule
    expected: Observation
    seen: Observation | None = None
    why: str = ""
    failed: bool = False

    @property
    def result(self) -> Result:
        """The result of the comparison."""
        if self.seen is None:
            return Result.NOT_TRIED
        return Result.SAME if self.seen == self.expected else Result.DIFFERENT


class Findings:
    """The record of a run.

    :param rules: the observations that a run is compared with
    :param normalizer: replaces what must not be published
    """

    def __init__(self, rules: OrgRules, normalizer: Normalizer) -> None:
        self._rules = rules
        self._normalizer = normalizer
        self._seen: dict[str, Observation] = {}
        self._skipped: dict[str, tuple[str, bool]] = {}
        self.headers: dict[str, list[str]] = {}
        """Names of headers that may have a meaning here, by the kind of response; for people."""

    def saw(self, rule: str, observation: Observation) -> None:
        """Record an observation.

        :param rule: the rule's number
        :param observation: the observation, already normalized
        """
        self._seen[rule] = observation

    def seen(self, *rules: str) -> list[Observation]:
        """Return what was seen of some rules.

        :param rules: their numbers
        """
        return [self._seen[rule] for rule in rules if rule in self._seen]

    def skip(self, *rules: str, why: str, failed: bool = False) -> None:
        """Record why rules are not tried.

        :param rules: their numbers
        :param why: the reason, as a phrase
        :param failed: whether a probe of them failed
        """
        for rule in rules:
            self._skipped.setdefault(rule, (self._normalizer.text(why), failed))

    def all(self) -> list[Finding]:
        """Return one finding for each rule, in the order of the rules."""
        return [self._finding(rule) for rule in RULES.values()]

    def _finding(self, rule: Rule) -> Finding:
        expected = self._rules[rule.id]
        if rule.id in self._seen:
            return Finding(rule, expected, self._seen[rule.id])
        why, failed = self._skipped.get(rule.id, (rule.unprobed, False))
        return Finding(rule, expected, None, why, failed)

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON value: what ``--write`` writes, and a profile of the local org."""
        return {
            "format": FORMAT,
            "version": __version__,
            "rules": {finding.rule.id: _members(finding) for finding in self.all()},
            "headers": self.headers,
        }


def _members(finding: Finding) -> dict[str, Any]:
    members: dict[str, Any] = {"claim": finding.rule.claim, "result": finding.result.value}
    if finding.seen is None:
        return {**members, "why": finding.why}
    if finding.result is Result.DIFFERENT:
        members["expected"] = finding.expected
    return {**members, "seen": finding.seen}
