"""A bare aiohttp session that sends at an even pace and keeps nothing: the least that an event loop can do."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterable


def invoke_all(url: str, token: str, payloads: Iterable[dict[str, Any]], rate: float) -> None:
    """Invoke a flow once per payload.

    :param url: the flow's invoke URL
    :param token: an access token
    :param payloads: the bodies
    :param rate: invocations per second
    """
    asyncio.run(_invoke_all(url, token, payloads, rate))


async def _invoke_all(url: str, token: str, payloads: Iterable[dict[str, Any]], rate: float) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    async def invoke(payload: dict[str, Any]) -> None:
        async with session.post(url, data=json.dumps(payload), headers=headers) as response:
            json.loads(await response.read())

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        asyncio.TaskGroup() as calls,
    ):
        began = asyncio.get_running_loop().time()
        for number, payload in enumerate(payloads):
            wait = began + number / rate - asyncio.get_running_loop().time()
            if wait > 0:
                await asyncio.sleep(wait)
            calls.create_task(invoke(payload))
