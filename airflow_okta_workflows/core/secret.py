"""A text that must not be shown."""

from __future__ import annotations

import hmac


class Secret:
    """Hold a secret text so that it is shown only where :meth:`reveal` is called.

    ``repr``, ``str`` and formatting give ``***``; pickling, and with it most ways into a database row or a
    log, is refused.

    :param value: the secret text
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret text."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._value.encode("utf-8", "surrogatepass"), other._value.encode("utf-8", "surrogatepass")
        )

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled: pass the connection id on, and read the connection there")


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Replace each secret that occurs in a text by ``***``.

    :param text: the text, for example what a server answered
    :param secrets: the secrets that were sent to that server
    """
    for secret in secrets:
        if secret and secret in text:
            text = text.replace(secret, "***")
    return text
