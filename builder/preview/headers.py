"""The headers of every answer: those that the Space will send, and the policy that a Space has in its pages only."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from builder.policy import EVERY_HOST, SITE_POLICY, SPACE_HEADERS

DEFAULTS = {**SPACE_HEADERS, **EVERY_HOST, "content-security-policy": SITE_POLICY, "cache-control": "no-cache"}
AS_SPACE = "preview.as_space"
"""Key of a scope whose answer has no policy header, as in a Space."""


class EveryAnswer:
    """Sets `DEFAULTS` wherever the answer itself says nothing else, refusals and errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in DEFAULTS.items():
                    headers.setdefault(name, value)
                if AS_SPACE in scope:
                    del headers["content-security-policy"]
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except Exception:  # else uvicorn would answer, and without them
            if not started:
                await PlainTextResponse("internal server error\n", 500)(scope, receive, send_marked)
            raise
