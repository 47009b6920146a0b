"""Registration of each secret with Airflow's log masker as soon as it is known.

Airflow masks a multi-line key only as one exact string, so callers pass every form in which the key can appear. Masks
belong to a process: each task registers its own.
"""

from __future__ import annotations

import re
import sys
import threading
from typing import Any

from airflow.providers.common.compat.sdk import mask_secret

from airflow_okta_workflows.core.forking import cached_property, renew_in_child
from airflow_okta_workflows.core.runtime import Runtime

_GRACE = 600.0
"""Seconds for which a token or an assertion stays masked after it has expired, because clocks differ."""

_LONG = 16
"""Length from which a secret is masked here; Airflow decides whether to mask a shorter one, such as a passphrase."""

_ends: dict[str, float] = {}
"""When each masked secret may be forgotten, in seconds since the epoch."""
_lock = threading.Lock()
renew_in_child(sys.modules[__name__], "_lock")


def mask(texts: tuple[str, ...], until: float = float("inf")) -> None:
    """Mask secrets in the logs of this process and of its supervisor.

    :param texts: the secrets
    :param until: when they stop being secrets, in seconds since the epoch
    """
    if texts:
        _mask_at_once(texts, until)
        mask_secret(list(texts))


async def amask(texts: tuple[str, ...], until: float = float("inf")) -> None:
    """Mask secrets as :func:`mask` does, without blocking the event loop.

    :param texts: the secrets
    :param until: when they stop being secrets, in seconds since the epoch
    """
    if not texts:
        return
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        # Before Airflow 3.3.2 masking is only synchronous: it waits for the supervisor, which would block the loop.
        from asgiref.sync import sync_to_async

        await sync_to_async(mask)(texts, until)
    else:
        _mask_at_once(texts, until)
        await amask_secret(list(texts))


def _mask_at_once(texts: tuple[str, ...], until: float) -> None:
    """Mask secrets in this process with one compilation for all of them, and forget those that have expired.

    Airflow compiles a regular expression of all masked strings again for each one added: 50 ms for the lines of an
    RSA key. It also forgets none, so the tokens of months would slow down every line that a triggerer logs. If its
    masker is not found or has an unknown structure, Airflow's own function, which is called next, does all the work.
    """
    masker = _find_masker()
    if masker is None:
        return
    with _lock:
        # A separate function, because of a bug in Python 3.12 and 3.13: if a signal handler raises at the filter of a
        # comprehension, a with block in the same function is left without releasing the lock.
        _mask_with(masker, texts, until)


def _mask_with(masker: Any, texts: tuple[str, ...], until: float) -> None:
    now = Runtime.clock()
    for text in [text for text, end in _ends.items() if end < now]:
        del _ends[text]
        masker.patterns.discard(re.escape(text))
    for text in texts:
        _ends[text] = max(_ends.get(text, 0.0), until + _GRACE)
    new = {re.escape(text) for text in texts if len(text) >= _LONG} - masker.patterns
    if new:
        # The replacer first: a child forked between the two lines would never mask what only the list contains.
        masker.replacer = _Replacer(masker.patterns | new)
        masker.patterns |= new


class _Replacer:
    """The masker's regular expression, compiled when it is first used to log a line.

    :param patterns: regular expressions of the masked strings
    """

    def __init__(self, patterns: set[str]) -> None:
        self._patterns = frozenset(patterns)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile("|".join(self._patterns))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)


def _find_masker() -> Any:
    """Return the masker of this process, or None if it is missing or has an unknown structure."""
    try:
        from airflow.sdk._shared.secrets_masker import _secrets_masker
    except ImportError:
        return None
    masker = _secrets_masker()
    known = isinstance(getattr(masker, "patterns", None), set) and hasattr(masker, "replacer")
    return masker if known else None
