"""Who asked for what, and how many requests left this machine.

The server sees only what reaches it, so requests to other addresses are counted by the pages themselves: the script
that the preview adds reports every one that the browser lists (Resource Timing), of the page and of its worker. What
the Content Security Policy refused did not leave and is counted apart. Frames and workers of other origins would not be
seen; the policy allows none. A worker whose script a service worker kept is not seen either, so the preview has service
workers off, but for the view as published.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from builder.preview.protocol import EXTENSION

OWN = "/_preview/"
LINES_KEPT = 500
LONGEST_ADDRESS = 200
LONGEST_SPAN = 60
QUIET_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One answered request; ``size_bytes`` is what was sent of the body, ``span`` the range asked for."""

    method: str
    address: str
    status: int
    size_bytes: int
    took_s: float
    span: str = ""

    def line(self) -> str:
        """The request for the access log."""
        size = f"{self.size_bytes / 1e6:.1f} MB" if self.size_bytes >= 1e6 else f"{self.size_bytes / 1e3:.1f} kB"
        span = f" {self.span}" if self.span else ""
        return f"{self.status} {self.method} {self.address}{span} {size} {self.took_s * 1e3:.0f} ms"


class Access:
    """The log of one server. ``names`` are the hosts that it answers to; they are this machine."""

    def __init__(self, *, names: Collection[str] = (), on_line: Callable[[str], None] | None = None) -> None:
        self.requests = 0
        self.outside: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._names = {name.lower() for name in names}
        self._on_line = on_line

    def note(self, visit: Visit) -> None:
        """Count a request that was answered."""
        self.requests += 1
        self._say(visit.line())

    def note_outside(self, url: str, *, page: str, refused: bool) -> None:
        """Count what a page reports of itself; addresses of this machine are none."""
        try:
            parts = urlsplit(url)
        except ValueError:  # such as "http://[::1"; no browser asks for that
            return
        host = (parts.hostname or "").lower()
        if parts.scheme not in ("http", "https", "ws", "wss") or not host or host in self._names:
            return
        if len(self.outside) + len(self.refused) < LINES_KEPT:
            where = _harmless(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
            (self.refused if refused else self.outside)[where] += 1
            what = "refused by its policy" if refused else "LEFT THIS MACHINE"
            self._say(f"{what}: {where}, asked for by {_harmless(page)}")

    def note_failure(self, address: str, error: Exception) -> None:
        """Say that this program failed: the page sees a 500 and nothing of why."""
        self._say(f"this program failed at {_harmless(address)}: {_harmless(repr(error))}")

    def summary(self) -> str:
        """One line for the terminal and for the landing page."""
        refused = f" ({self.refused.total()} more were refused by their policy)" if self.refused else ""
        return f"requests that left this machine: {self.outside.total()}{refused}"

    async def tell_when_quiet(self, say: Callable[[str], None]) -> None:
        """Say the summary each time that pages have loaded; runs until cancelled."""
        told = seen = self.requests
        while True:
            await asyncio.sleep(QUIET_S)
            if self.requests == seen and self.requests != told:
                told = self.requests
                say(self.summary())
            seen = self.requests

    def _say(self, line: str) -> None:
        if self._on_line is not None:
            self._on_line(line)


class Recorder:
    """Notes every request that the application answers, and what it fails at."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, sent, began = 0, 0, monotonic()

        async def send_counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += message["count"] if message["type"] == EXTENSION else len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_counted)
        except Exception as error:
            self._access.note_failure(scope["path"], error)
            raise
        finally:
            own = scope["path"].startswith(OWN) and not scope["path"].startswith(f"{OWN}as/")
            if not own:  # what the landing page asks every two seconds is nobody's visit
                self._access.note(_visit(scope, status, sent, monotonic() - began))


def _visit(scope: Scope, status: int, size_bytes: int, took_s: float) -> Visit:
    span = next((value for name, value in scope["headers"] if name == b"range"), b"").decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return Visit(
        method=scope["method"],
        address=_harmless(scope["path"] + (f"?{query}" if query else "")),
        status=status,
        size_bytes=0 if scope["method"] == "HEAD" else size_bytes,
        took_s=took_s,
        span=_harmless(span)[:LONGEST_SPAN] if status == 206 else "",
    )


def _harmless(text: str) -> str:
    """What comes from elsewhere, for the terminal: control characters would steer it."""
    return ascii(text)[1:-1][:LONGEST_ADDRESS]
