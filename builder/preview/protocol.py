"""What this server needs of HTTP/1.1 and uvicorn's protocol lacks.

Zero-copy send (https://asgi.readthedocs.io/en/latest/extensions.html#zero-copy-send): files go from the disk to the
socket without passing through Python, where it can work: no TLS, and a system with ``sendfile``. An application that
finds `EXTENSION` among ``scope["extensions"]`` may send one such message in place of the whole body; elsewhere it sends
chunks. h11 is told how many bytes went by, which is what its ``send_with_data_passthrough`` is for.

Targets in absolute form (RFC 9112 §3.2.2), the headers of every answer on refusals that uvicorn writes itself, and an
end to connections on which no whole request comes: each holds a descriptor, of which a process has few.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from typing import BinaryIO, cast
from urllib.parse import unquote
from weakref import WeakKeyDictionary

import h11
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from builder.preview.headers import DEFAULTS

EXTENSION = "http.response.zerocopysend"
BREAK_OFF = "preview.break_off"
"""A message of our own: end the connection without an answer, which is what a page sees of a network that is gone."""
PATIENCE_S = 15.0
"""How long a request may take to arrive. Pages send small ones; only answers are long."""
DESCRIPTORS = 1024
"""How many a process has at least where the system does not say."""
ABSOLUTE = re.compile(rb"https?://([^/]*)(.*)", re.IGNORECASE | re.DOTALL)


class FileProtocol(H11Protocol):
    """uvicorn's protocol with the above; chosen by ``uvicorn.Config(http=FileProtocol, loop="asyncio")``."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._inner = self.app
        self.app = self._with_extension
        self._watch_the_clock()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_the_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_the_clock()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what h11 cannot read, as uvicorn does, with the headers of every answer."""
        if self.cycle is not None:
            self.cycle.disconnected = True  # what is still being answered has nobody to go to
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        body = f"{msg}\n".encode()
        marks = {"content-type": "text/plain; charset=utf-8", "connection": "close", "content-length": str(len(body))}
        headers = [(name.encode(), value.encode()) for name, value in (marks | DEFAULTS).items()]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch_the_clock(self) -> None:
        """Start when a request is awaited or has begun, stop when it is whole; more bytes give no more time.

        Half of all descriptors may wait: beyond that, who has waited longest makes room.
        """
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_the_clock()
        elif self._patience is None:
            waiting = WAITING.setdefault(self.server_state, {})
            if len(waiting) >= _descriptors() // 2:
                next(iter(waiting))._give_up()
            waiting[self] = None
            self._patience = self.loop.call_later(PATIENCE_S, self._give_up)

    def _give_up(self) -> None:
        self._stop_the_clock()
        self.transport.abort()

    def _stop_the_clock(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
            WAITING[self.server_state].pop(self)

    async def _with_extension(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_or_copy(message: Message) -> None:
            if message["type"] == BREAK_OFF:
                self.cycle.disconnected = True
                self.transport.abort()
            if message["type"] == EXTENSION:
                await self._copy(cast(BinaryIO, message["file"]), int(message["offset"]), int(message["count"]))
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        _read_absolute_form(scope)
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


WAITING: WeakKeyDictionary[ServerState, dict[FileProtocol, None]] = WeakKeyDictionary()
"""The connections of each server on which a whole request is awaited, the oldest first."""


def _descriptors() -> int:
    if sys.platform == "win32":
        return DESCRIPTORS
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else sys.maxsize


def _read_absolute_form(scope: Scope) -> None:
    """Take the host of ``http://host/path`` in place of the Host header, as a server must, and the path as the path."""
    if match := ABSOLUTE.fullmatch(scope["raw_path"]):
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"host"] + [
            (b"host", match[1])
        ]
        scope["raw_path"] = match[2] or b"/"
        scope["path"] = unquote(scope["raw_path"].decode("ascii"))


class _Span:
    """What h11 counts in place of bytes."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count
