"""The error that a check of a release raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 12


class ReleaseError(Exception):
    """Reason not to release.

    :param reason: the reason, one sentence
    :param findings: what shows it, one line each; only the first twelve are kept
    """

    def __init__(self, reason: str, findings: Sequence[str] = ()) -> None:
        more = [f"… and {len(findings) - _SHOWN} more"] if len(findings) > _SHOWN else []
        super().__init__("\n".join([reason, *(f"  {line}" for line in [*findings[:_SHOWN], *more])]))
