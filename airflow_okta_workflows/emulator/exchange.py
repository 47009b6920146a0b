"""One HTTP exchange of the local org: the response, and ways to break it off."""

from __future__ import annotations

import socket
import struct
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, NoReturn

from aiohttp import web

from airflow_okta_workflows.emulator.responses import BrokenOff

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from airflow_okta_workflows.emulator.responses import RawResponse


async def drop_empty_date(_: web.BaseRequest, response: web.StreamResponse) -> None:
    """Drop the ``Date`` of an undated response just before it is sent: aiohttp adds one to each without the header.

    :param response: the response
    """
    if response.headers.get("Date") == "":
        del response.headers["Date"]


class Exchange:
    """One request, and the connection on which its response is sent.

    :param request: the request
    :param now: returns the org's time, in seconds since the epoch
    :param rate_limit: invocations per second that each flow accepts; None for no limit
    :param dated: whether the response has a ``Date``
    :param kept: whether the connection is kept open after it
    """

    def __init__(
        self,
        request: web.Request,
        now: Callable[[], float],
        rate_limit: int | None,
        *,
        dated: bool = True,
        kept: bool = True,
    ) -> None:
        self.now = now
        self.rate_limit = rate_limit
        self._dated = dated
        self._kept = kept
        self.sent: web.StreamResponse = web.Response()
        """The response that was sent; an aiohttp handler must return one."""
        self.request = request

    async def respond(self, response: RawResponse, *, missing: int = 0) -> None:
        """Send a response.

        :param response: the response
        :param missing: bytes that its Content-Length promises beyond its body; the connection is closed before them
        """
        dated = {"Date": formatdate(self.now(), usegmt=True) if self._dated else "", **response.headers}
        if not missing:
            self.sent = web.Response(status=response.status, body=response.body, headers=dated)
            if not self._kept:
                self.sent.force_close()
            await self.sent.prepare(self.request)
            return
        headers = {**dated, "Content-Length": str(len(response.body) + missing)}
        self.sent = part = web.StreamResponse(status=response.status, headers=headers)
        await part.prepare(self.request)
        await part.write(response.body)
        self._transport.close()

    def write(self, data: bytes) -> bool:
        """Write raw bytes, and return whether the client is still connected.

        :param data: the bytes
        """
        self._transport.write(data)
        return not self._transport.is_closing()

    def reset(self) -> NoReturn:
        """Cut the connection with a TCP RST, as a crashed host does.

        :raises BrokenOff: always
        """
        transport = self._transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        raise BrokenOff

    def close(self) -> NoReturn:
        """Close the connection without a response.

        :raises BrokenOff: always
        """
        self._transport.close()
        raise BrokenOff

    @property
    def _transport(self) -> asyncio.WriteTransport:
        transport: Any = self.request.transport
        if transport is None:
            raise BrokenOff
        return transport  # type: ignore[no-any-return]  # aiohttp types only the base class
