"""How Airflow's log masker learns each secret, the moment there is one.

Airflow masks a multi-line key only as one exact text, so every form of it is named here. Masks belong to the
process: each task masks anew.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from typing import Any

from airflow.providers.common.compat.sdk import mask_secret

from airflow_okta_workflows.core.forking import cached_property, renew_in_child

_GRACE = 600.0
"""Seconds for which a token or an assertion stays masked beyond its end: clocks differ."""

_LONG = 16
"""Characters; whether a shorter text, such as a passphrase, is masked is up to Airflow."""

_ends: dict[str, float] = {}
"""When each text that was masked may be forgotten, in seconds since the epoch."""
_lock = threading.Lock()
renew_in_child(sys.modules[__name__], "_lock")


def mask(texts: tuple[str, ...], until: float = float("inf")) -> None:
    """MaskSecrets texts in the logs of this process and of the supervisor that watches it.

    :param texts: the secrets
    :param until: when they stop being secrets, in seconds since the epoch
    """
    if texts:
        _mask_at_once(texts, until)
        mask_secret(list(texts))


async def amask(texts: tuple[str, ...], until: float = float("inf")) -> None:
    """MaskSecrets texts as :func:`mask` does, safely on an event loop.

    :param texts: the secrets
    :param until: when they stop being secrets, in seconds since the epoch
    """
    if not texts:
        return
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        # Before Airflow 3.3.2 the supervisor is only told synchronously, which must not happen on the loop.
        from asgiref.sync import sync_to_async

        await sync_to_async(mask)(texts, until)
    else:
        _mask_at_once(texts, until)
        await amask_secret(list(texts))


def _mask_at_once(texts: tuple[str, ...], until: float) -> None:
    """MaskSecrets texts in this process with one compilation for all, and forget those that are no secrets any more.

    Airflow compiles one regular expression of all that is masked, anew for each added text: 50 ms for the lines of
    an RSA key. And it forgets nothing, so that the tokens of a triggerer's months would weigh on each line of its
    log. Where its masker is not found, or is made in another way, its own function does what there is to do.
    """
    masker = _find_masker()
    if masker is None:
        return
    with _lock:
        # In a function of its own: on Python 3.12 and 3.13 an exception that a signal handler raises at the filter of a
        # comprehension leaves the with block of the same function without releasing the lock.
        _mask_with(masker, texts, until)


def _mask_with(masker: Any, texts: tuple[str, ...], until: float) -> None:
    now = time.time()
    for text in [text for text, end in _ends.items() if end < now]:
        del _ends[text]
        masker.patterns.discard(re.escape(text))
    for text in texts:
        _ends[text] = max(_ends.get(text, 0.0), until + _GRACE)
    new = {re.escape(text) for text in texts if len(text) >= _LONG} - masker.patterns
    if new:
        # First what masks: a child that is forked in between masks what is then listed.
        masker.replacer = _Replacer(masker.patterns | new)
        masker.patterns |= new


class _Replacer:
    """The masker's regular expression, compiled only once a line is to be logged.

    :param patterns: what is masked
    """

    def __init__(self, patterns: set[str]) -> None:
        self._patterns = frozenset(patterns)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile("|".join(self._patterns))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)


def _find_masker() -> Any:
    """Return the masker of this process if it is of the make that is known here, else None."""
    try:
        from airflow.sdk._shared.secrets_masker import _secrets_masker
    except ImportError:
        return None
    masker = _secrets_masker()
    known = isinstance(getattr(masker, "patterns", None), set) and hasattr(masker, "replacer")
    return masker if known else None
