"""Answers GET and HEAD with the files of a catalog: validators, ranges, compression, and what the modes change.

Start with `Files.answer`. Models go out by zero-copy send where the server has it, in chunks where it has not, so that
memory does not grow with them. Text is compressed and kept; nothing else is. Only what the preview adds to a page or to
its worker makes their bytes differ from those on the disk.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from collections import OrderedDict
from functools import lru_cache
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from builder.policy import site_policy
from builder.preview.catalog import Broken, Catalog, Found, Redirect
from builder.preview.headers import AS_SPACE
from builder.preview.insert import Insert
from builder.preview.modes import Modes, Throttle, parse_rate
from builder.preview.protocol import BREAK_OFF, EXTENSION
from builder.preview.ranges import names_version, wanted_span

IN_MEMORY_BYTES = 8 << 20
"""Larger texts are sent as they are."""
WORTH_COMPRESSING_BYTES = 1 << 10
KEPT_BYTES = 32 << 20
CHUNK_BYTES = 256 << 10
LINES = 16
"""How many rates have a line of their own at a time, which all requests at that rate share."""
HASHED_NAME = re.compile(r"[.-][0-9a-f]{8,64}\.[a-z0-9]+$")
"""A name with a digest of the contents in it, which therefore never change."""
COMPRESSED = ("text/", "application/json", "application/manifest+json", "image/svg+xml")
MODELS = re.compile(r"(^|/)models/")


class Files:
    """The site's part of the server."""

    def __init__(self, catalog: Catalog, *, insert: Insert | None = None) -> None:
        self._catalog = catalog
        self._insert = insert
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lines = lru_cache(maxsize=LINES)(Throttle)

    async def answer(self, scope: Scope, receive: Receive, send: Send, *, address: str, modes: Modes) -> None:
        """Answer a request for ``address``, a path below the site's root, as the modes have it."""
        if scope["method"] not in ("GET", "HEAD"):
            refusal = PlainTextResponse("method not allowed", status_code=405, headers={"allow": "GET, HEAD"})
            return await refusal(scope, receive, send)
        if modes.space:
            scope[AS_SPACE] = True
        found = self._catalog.find(address)
        if isinstance(found, Redirect):
            query = scope["query_string"].decode("latin-1")
            location = quote(scope["path"]) + "/" + (f"?{query}" if query else "")
            return await RedirectResponse(location)(scope, receive, send)
        if isinstance(found, Broken):
            return await PlainTextResponse(f"{found.why}\n", status_code=500)(scope, receive, send)
        if found is None:
            return await PlainTextResponse("not found", status_code=404)(scope, receive, send)
        if modes.offline and MODELS.search(found.name):
            return await send({"type": BREAK_OFF})
        throttle = self.line(modes)
        if found.info is None or (_is_text(found) and found.info.st_size <= IN_MEMORY_BYTES):
            return await self._send_text(scope, receive, send, found, modes, throttle)
        return await self._send_file(scope, receive, send, found, throttle)

    def line(self, modes: Modes) -> Throttle | None:
        """The line that requests in these modes share; None where nothing slows them down."""
        return None if modes.throttle is None else self._lines(parse_rate(modes.throttle))

    async def _send_text(
        self, scope: Scope, receive: Receive, send: Send, found: Found, modes: Modes, throttle: Throttle | None
    ) -> None:
        """Send something small and readable, with what the preview adds, compressed where that is wanted."""
        try:
            body = found.body if found.body is not None else await asyncio.to_thread(found.path.read_bytes)
        except OSError:  # gone since it was found, or not ours to read
            return await PlainTextResponse("not found", status_code=404)(scope, receive, send)
        headers = Headers(scope=scope)
        if self._insert is not None:
            body = self._insert.into(body, found, worker=headers.get("sec-fetch-dest") == "worker", modes=modes)
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        marks = self._marks(found, modes) | {"vary": "accept-encoding, sec-fetch-dest"}
        span = wanted_span(scope["method"], headers, size=len(body), etag=etag)
        packed = "gzip" in _accepted(headers) and span.whole and len(body) >= WORTH_COMPRESSING_BYTES
        if packed:
            etag = f'{etag[:-1]}-gzip"'
            body = await asyncio.to_thread(self._compress, etag, body)
            marks["content-encoding"] = "gzip"
        if names_version(headers.get("if-none-match"), etag):
            return await _send(scope, send, 304, marks | {"etag": etag}, b"", None)
        if span.count is None:
            return await _send(scope, send, 416, {"content-range": f"bytes */{len(body)}"}, b"", None)
        if not span.whole:
            marks["content-range"] = f"bytes {span.start}-{span.start + span.count - 1}/{len(body)}"
            body = body[span.start : span.start + span.count]
        marks |= {"etag": etag, "content-type": found.kind, "accept-ranges": "bytes"}
        return await _send(scope, send, 200 if span.whole else 206, marks, body, throttle)

    async def _send_file(
        self, scope: Scope, receive: Receive, send: Send, found: Found, throttle: Throttle | None
    ) -> None:
        info = found.info
        assert info is not None
        headers = Headers(scope=scope)
        etag = f'"{info.st_mtime_ns:x}-{info.st_size:x}-{info.st_ino:x}"'
        marks = self._marks(found, Modes()) | {"etag": etag}
        if names_version(headers.get("if-none-match"), etag):
            return await _send(scope, send, 304, marks, b"", None)
        span = wanted_span(scope["method"], headers, size=info.st_size, etag=etag)
        if span.count is None:
            return await _send(scope, send, 416, {"content-range": f"bytes */{info.st_size}"}, b"", None)
        marks |= {"content-type": found.kind, "accept-ranges": "bytes", "content-length": str(span.count)}
        if not span.whole:
            marks["content-range"] = f"bytes {span.start}-{span.start + span.count - 1}/{info.st_size}"
        try:
            file = found.path.open("rb")
        except OSError:
            return await PlainTextResponse("not found", status_code=404)(scope, receive, send)
        with file:
            await _start(send, 200 if span.whole else 206, marks)
            if scope["method"] == "HEAD" or span.count == 0:
                return await send({"type": "http.response.body", "body": b""})
            if throttle is None and EXTENSION in scope.get("extensions", {}):
                return await send({"type": EXTENSION, "file": file, "offset": span.start, "count": span.count})
            gone = asyncio.create_task(_wait_until_gone(receive))
            file.seek(span.start)
            left = span.count
            while left and not gone.done():
                size = min(left, throttle.chunk_bytes if throttle is not None else CHUNK_BYTES)
                chunk = await asyncio.to_thread(file.read, size)
                if not chunk:
                    raise OSError(f"{found.path} became shorter while it was sent")
                left -= len(chunk)
                if throttle is not None:
                    await throttle.wait(len(chunk))
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
            gone.cancel()
            return None

    def _marks(self, found: Found, modes: Modes) -> dict[str, str]:
        """Headers of one file; those of every answer are added by builder/preview/headers.py."""
        cache = "public, max-age=31536000, immutable" if HASHED_NAME.search(found.name) else "no-cache"
        return {"cache-control": cache, "content-security-policy": site_policy() if modes.offline else found.policy}

    def _compress(self, etag: str, body: bytes) -> bytes:
        """Compress once per version; the oldest are forgotten first."""
        packed = self._kept.pop(etag, None)
        if packed is None:
            packed = gzip.compress(body, 6, mtime=0)
        self._kept[etag] = packed
        while sum(map(len, self._kept.values())) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return packed


def _is_text(found: Found) -> bool:
    return found.kind.startswith(COMPRESSED)


def _accepted(headers: Headers) -> set[str]:
    """The encodings that a request accepts; those with ``q=0`` are refused."""
    entries = [entry.replace(" ", "").partition(";q=") for entry in headers.get("accept-encoding", "").split(",")]
    return {name for name, _, quality in entries if not re.fullmatch(r"0(\.0*)?", quality)}


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _start(send: Send, status: int, marks: dict[str, str]) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in marks.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _send(
    scope: Scope, send: Send, status: int, marks: dict[str, str], body: bytes, throttle: Throttle | None
) -> None:
    await _start(send, status, marks if status == 304 else marks | {"content-length": str(len(body))})
    if scope["method"] == "HEAD":
        body = b""
    while throttle is not None and len(body) > throttle.chunk_bytes:
        await throttle.wait(throttle.chunk_bytes)
        await send({"type": "http.response.body", "body": body[: throttle.chunk_bytes], "more_body": True})
        body = body[throttle.chunk_bytes :]
    if throttle is not None:
        await throttle.wait(len(body))
    await send({"type": "http.response.body", "body": body})
