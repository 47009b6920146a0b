"""Results of a search for private keys: keys, and reasons why something is not a usable key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_okta_workflows.core.errors import CoreError
    from airflow_okta_workflows.core.keys.key_text import KeyText

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


@dataclass(frozen=True)
class Found:
    """One part of a pasted string that is a private key, or could be mistaken for one.

    :param place: where it is, for error messages; empty if it is the whole string
    :param key: the private key, or None
    :param problem: why it is not a usable private key; None if it is one
    :param is_other: whether it may accompany the key, such as a certificate or a public key
    :param unusable: a private key that is masked in logs, although it cannot be used because of the problem
    """

    place: str = ""
    key: KeyText | None = None
    problem: CoreError | None = None
    is_other: bool = False
    unusable: KeyText | None = None

    def decoded_from(self, text: str) -> Found:
        """Return this result with a key that is also masked in the form of the string that it was decoded from.

        :param text: the string
        """
        return replace(
            self,
            key=self.key and self.key.decoded_from(text),
            unusable=self.unusable and self.unusable.decoded_from(text),
        )


def problem(error: CoreError) -> Found:
    """Return the result for a private key that cannot be used.

    :param error: what was found, and what to change
    """
    return Found(problem=error)


def other(error: CoreError) -> Found:
    """Return the result for something that may accompany the key.

    :param error: what was found, and what to change if there is no key beside it
    """
    return Found(problem=error, is_other=True)


def ordinal(index: int) -> str:
    """Return the name of a place in a sequence: ``first``, ``second`` and so on.

    :param index: the index, from 0
    """
    return _ORDINALS[index] if index < len(_ORDINALS) else f"{index + 1}th"
