"""Limits to one search for private keys, so that no string takes longer than a few hundredths of a second."""

from __future__ import annotations

from airflow_okta_workflows.core.errors import configuration_error

MAX_KEY_CHARS = 50_000
"""Maximum length of a pasted key in characters; a longer string is not a key. An RSA key of 16,384 bits has 13,000."""
MOST_PARTS = 1000
"""Most members of JSON, PEM lines, encodings and so on that one search looks at."""
MOST_CHARS = 8 * MAX_KEY_CHARS
"""Most characters that one search looks at, in all encodings together."""


class Work:
    """What one search for private keys has looked at so far."""

    def __init__(self) -> None:
        self._parts = self._chars = 0

    def spend(self, chars: int = 0, *, parts: int = 1) -> None:
        """Count more work.

        :param chars: the number of characters that were looked at
        :param parts: the number of parts that they are
        :raises CoreError: if the search has looked at too much
        """
        self._parts += parts
        self._chars += chars
        if self._parts > MOST_PARTS or self._chars > MOST_CHARS:
            raise configuration_error(
                "The private key is in a string with too many parts to search, such as members or encodings.",
                "OKW-1120: Give the key alone.",
            )
