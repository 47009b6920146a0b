"""A thread pool that sends everything at once and retries blindly after any failure."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Sequence

THREADS = 32
PAUSE = 1.0
"""Seconds between two attempts."""


def invoke_all(url: str, token: str, payloads: Sequence[dict[str, Any]]) -> int:
    """Invoke a flow once per payload, and return how many got 200 in the end.

    :param url: the flow's invoke URL
    :param token: an access token
    :param payloads: the bodies
    """
    own = threading.local()

    def invoke(payload: dict[str, Any]) -> bool:
        session = vars(own).setdefault("session", requests.Session())
        for _ in range(1000):
            try:
                response = session.post(url, json=payload, headers={"Authorization": f"Bearer {token}"}, timeout=65)
            except requests.RequestException:
                time.sleep(PAUSE)
                continue
            if response.status_code == 200:
                return True
            time.sleep(PAUSE)
        return False

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(invoke, payloads))
