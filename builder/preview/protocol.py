"""Files go from the disk to the socket without passing through Python: ASGI's zero-copy send, on uvicorn's HTTP/1.1.

uvicorn has no such extension (https://asgi.readthedocs.io/en/latest/extensions.html#zero-copy-send), so `FileProtocol`
adds it where it can work: no TLS, and a system with ``sendfile``. An application that finds `EXTENSION` among
``scope["extensions"]`` may send one such message in place of the whole body; elsewhere it sends chunks. h11 is told how
many bytes went by, which is what its ``send_with_data_passthrough`` is for.
"""

from __future__ import annotations

import asyncio
import os
from typing import BinaryIO, cast

import h11
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

EXTENSION = "http.response.zerocopysend"
BREAK_OFF = "preview.break_off"
"""A message of our own: end the connection without an answer, which is what a page sees of a network that is gone."""


class FileProtocol(H11Protocol):
    """uvicorn's protocol with zero-copy send; chosen by ``uvicorn.Config(http=FileProtocol, loop="asyncio")``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._inner = self.app
        self.app = self._with_extension

    async def _with_extension(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_copy(message: Message) -> None:
            if message["type"] == BREAK_OFF:
                self.cycle.disconnected = True
                self.transport.abort()
            if message["type"] == EXTENSION:
                await self._copy(cast(BinaryIO, message["file"]), int(message["offset"]), int(message["count"]))
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        if self.scheme == "http" and hasattr(os, "sendfile"):
            scope["extensions"] = {EXTENSION: {}}
        await self._inner(scope, receive, send_or_copy)

    async def _copy(self, file: BinaryIO, offset: int, count: int) -> None:
        if self.cycle.disconnected or self.transport.is_closing():
            return
        self.conn.send_with_data_passthrough(h11.Data(data=cast(bytes, _Span(count))))
        try:
            await asyncio.get_running_loop().sendfile(self.transport, file, offset, count, fallback=False)
        except (ConnectionError, OSError):
            self.cycle.disconnected = True  # the browser went away, as it does when a video is wound forward
            self.transport.close()


class _Span:
    """What h11 counts in place of bytes."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count
