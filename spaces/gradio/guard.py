"""What stands before Gradio: only the routes that this app needs, bodies of a bounded size, and no addresses to fetch.

Gradio would download a picture that is given by its address. Here pictures come with the request or by upload, so any
other place is refused before Gradio looks at it. Nothing of a request is written anywhere.
"""

from __future__ import annotations

import json
import re
from typing import Any

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
EVERY_ANSWER = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


class Guard:
    """Wraps the whole app; ``largest`` is the number of bytes that a JSON body may have."""

    def __init__(self, app: ASGIApp, *, largest: int) -> None:
        self._app = app
        self._largest = largest

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
        if scope["method"] != "POST" or scope["path"].rstrip("/") == f"{API}upload":  # Gradio bounds what is uploaded
            await self._app(scope, receive, send_marked)
            return
        body = await self._read(scope, receive)
        if body is None:
            await _refuse(413, "What was sent is too large. Send a smaller picture.")(scope, receive, send_marked)
        elif why := objection(body):
            await _refuse(400, why)(scope, receive, send_marked)
        else:
            await self._app(scope, _again(body, receive), send_marked)

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
