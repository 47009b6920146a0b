"""Regular expressions that are compiled at their first use.

Most of them recognize what is unusual. A task process and a DAG file need few of them, and would pay for each that is
compiled on import.
"""

from __future__ import annotations

import re
from typing import Any, cast


class _Lazy:
    def __init__(self, pattern: str, flags: int) -> None:
        self._given = pattern, flags

    def __getattr__(self, name: str) -> Any:
        value = getattr(re.compile(*self._given), name)
        # From now on without this method.
        setattr(self, name, value)
        return value


def lazy_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Return a regular expression that is compiled at its first use.

    :param pattern: the pattern
    :param flags: flags of :mod:`re`
    """
    return cast("re.Pattern[str]", _Lazy(pattern, flags))
