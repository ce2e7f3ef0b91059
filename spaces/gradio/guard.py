"""What stands before Gradio: only the routes that this app needs, bodies of a bounded size, and no addresses to fetch.

Gradio would download a picture that is given by its address. Here pictures come with the request or by upload, so any
other place is refused before Gradio looks at it. Nothing of a request is written anywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/gradio_api/"
API_ROUTES = frozenset(
    {
        *("app_id", "heartbeat", "info", "openapi.json", "startup-events", "theme.css"),
        *("call", "cancel", "queue", "reset", "run", "upload", "upload_progress"),
    }
)
FILES = re.compile(r"(file=|file/)(?!/?[a-z]+:)", re.IGNORECASE)
PAGES = frozenset(
    {
        *("/", "/assets", "/config", "/favicon.ico", "/manifest.json", "/pwa_icon", "/robots.txt"),
        *("/static", "/svelte", "/theme.css"),
    }
)
ADDRESS = re.compile(r"\s*([a-z][a-z0-9+.-]*:|//|\\\\)", re.IGNORECASE)
"""How a place that is no path of this machine begins; a drive letter too, which no upload folder here has."""
LARGEST_UPLOAD = 64_000_000
ROOM = 512_000_000
"""For everything that is uploaded and not deleted yet: a disk is not to be filled."""
FULL = "The server is busy: there is no room for more pictures now. Try again in ten minutes."
EVERY_ANSWER = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


class Guard:
    """Wraps the whole app; ``largest`` is the number of bytes that a JSON body may have.

    ``uploads`` is the folder in which Gradio keeps what is uploaded, until it is deleted: it does not grow over ROOM.
    """

    def __init__(self, app: ASGIApp, *, largest: int, uploads: Path) -> None:
        self._app = app
        self._largest = largest
        self._uploads = uploads
        self._arriving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(EVERY_ANSWER)
            await send(message)

        if not is_known(scope["path"]):
            await _refuse(404, "There is nothing here.")(scope, receive, send_marked)
            return
        if scope["method"] != "POST":
            await self._app(scope, receive, send_marked)
            return
        if scope["path"].rstrip("/") == f"{API}upload":
            await self._upload(scope, receive, send_marked)
            return
        body = await self._read(scope, receive)
        if body is None:
            await _refuse(413, "What was sent is too large. Send a smaller picture.")(scope, receive, send_marked)
        elif why := objection(body):
            await _refuse(400, why)(scope, receive, send_marked)
        else:
            await self._app(scope, _again(body, receive), send_marked)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let files through to Gradio, which bounds each of them, but not how many there are."""
        length = Headers(scope=scope).get("content-length", "")
        if not length.isdecimal():
            await _refuse(411, "Say how long it is that you send.")(scope, receive, send)
            return
        size = int(length)
        if size > LARGEST_UPLOAD:
            await _refuse(413, "What was sent is too large. Send fewer or smaller pictures.")(scope, receive, send)
            return
        if size + self._arriving + await run_in_threadpool(_size_of, self._uploads) > ROOM:
            await _refuse(503, FULL)(scope, receive, send)
            return
        self._arriving += size
        try:
            await self._app(scope, receive, send)
        finally:
            self._arriving -= size

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, or None as soon as it is too large."""
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > self._largest:
            return None
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > self._largest:
                return None
            if not message.get("more_body"):
                return bytes(body)


def is_known(path: str) -> bool:
    """Tell whether a route is one that visitors and clients need."""
    if not path.startswith(API):
        return path == "/" or "/" + path.split("/")[1] in PAGES
    name = path.removeprefix(API)
    return name.split("/")[0] in API_ROUTES or FILES.match(name) is not None


def objection(body: bytes) -> str:
    """Say why a JSON body is refused, or nothing."""
    try:
        waiting: list[Any] = [json.loads(body)] if body else []
    except RecursionError:
        return "What was sent is nested too deeply."
    except ValueError:
        return "What was sent is no JSON."
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and ADDRESS.match(path):
                return "A picture must be sent itself; addresses are not fetched."
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return ""


def _size_of(folder: Path) -> int:
    """Bytes of all files below a folder; one that is deleted meanwhile has none."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total


def _refuse(status: int, why: str) -> JSONResponse:
    return JSONResponse({"detail": why, "error": why}, status_code=status)


def _again(body: bytes, receive: Receive) -> Receive:
    """Hand over a body that was read already, and then whatever follows."""
    handed = False

    async def read() -> Message:
        nonlocal handed
        if handed:
            return await receive()
        handed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return read
