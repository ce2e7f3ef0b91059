"""What the preview serves besides the site, all below ``/_preview/``: landing page, frame, modes, reports, events.

Start with `Tools.answer`. The HTML is rendered from web_template/preview/, the scripts and styles there are sent as
they are. None of this is part of a site.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from builder.paths import web_template
from builder.policy import EVERY_HOST, SPACE_HEADERS, site_policy
from builder.preview.access import Access
from builder.preview.catalog import TYPES, Catalog
from builder.preview.facts import Checksums, look
from builder.preview.files import Files
from builder.preview.modes import Modes, parse_modes
from builder.preview.space import ALLOW, SANDBOX, other_origin
from builder.preview.watch import Live
from builder.versions import GENERATOR

PLACE = "/_preview/"
LONGEST_REPORT_BYTES = 64 << 10
MODE_LINKS = (
    (Modes(space=True), "As published", "with a Space's headers alone, and its service worker"),
    (Modes(webgpu=False), "Without WebGPU", "as a visitor whose browser has none"),
    (Modes(offline=True), "Network gone", "the page came, the model does not"),
    (Modes(throttle="10mbit"), "10 Mbit/s", "a first visit over a slow line"),
)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The preview's own part of the server. ``names`` are the hosts that it answers to."""

    catalog: Catalog
    files: Files
    access: Access
    names: Sequence[str]
    checksums: Checksums
    modes: Modes
    live: Live | None

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request below `PLACE`."""
        path = scope["path"].removeprefix(PLACE)
        if path.startswith("as/"):
            words, slash, address = path.removeprefix("as/").partition("/")
            modes = parse_modes(words)
            if modes is not None and slash:
                await self.files.answer(scope, receive, send, address=f"/{address}", modes=self.modes.joined(modes))
                return
        await (await self._respond(path, Request(scope, receive)))(scope, receive, send)

    async def _respond(self, path: str, request: Request) -> Response:
        if path == "report":
            return await self._take_report(request)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("method not allowed", status_code=405, headers={"allow": "GET, HEAD"})
        if path == "":
            return await self._landing()
        if path == "space":
            return self._space(request)
        if path == "count.json":
            return JSONResponse(self._counted())
        if path == "state.json":
            pages = await asyncio.to_thread(look, self.catalog, self.checksums)
            return JSONResponse({"pages": [asdict(page) for page in pages], **self._counted()})
        if path == "events" and self.live is not None:
            return StreamingResponse(
                self.live.events(), media_type="text/event-stream", headers={"cache-control": "no-store"}
            )
        return _asset(path)

    async def _landing(self) -> Response:
        pages = await asyncio.to_thread(look, self.catalog, self.checksums)
        return _html(
            "landing.html",
            pages=pages,
            headers={**SPACE_HEADERS, **EVERY_HOST},
            modes=[{"path": ",".join(m.words()), "name": n, "about": a} for m, n, a in MODE_LINKS],
            here=self.modes.words(),
            summary=self.access.summary(),
            watching=self.live is not None,
            generator=GENERATOR,
        )

    def _space(self, request: Request) -> Response:
        page = request.query_params.get("page", "")
        modes = parse_modes(request.query_params.get("as", "")) or Modes()
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        origin = other_origin(request.url.scheme, request.url.hostname or "", port, list(self.names))
        inside = ",".join(modes.joined(Modes(space=True)).words())
        # Quoted, so that an address from the query string stays a path of this server.
        place = quote(page.lstrip("/"))
        beside = f"as/{','.join(modes.words())}/" if modes.words() else ""
        return _html(
            "space.html",
            frame=f"{origin}{PLACE}as/{inside}/{place}",
            direct=f"{PLACE}{beside}{place}" if beside else f"/{place}",
            allow="; ".join(ALLOW),
            sandbox=" ".join(SANDBOX),
            frames=(origin,),
        )

    def _counted(self) -> dict[str, object]:
        return {
            "requests": self.access.requests,
            "outside": dict(self.access.outside),
            "refused": dict(self.access.refused),
            "summary": self.access.summary(),
        }

    async def _take_report(self, request: Request) -> Response:
        """Take what a page says of its own requests. Other sites may not speak for it."""
        if request.method != "POST":
            return PlainTextResponse("method not allowed", status_code=405, headers={"allow": "POST"})
        own = request.headers.get("origin", "").partition("://")[2] == request.headers.get("host", "")
        body = b""
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > LONGEST_REPORT_BYTES:
                    return PlainTextResponse("too long", status_code=413, headers={"connection": "close"})
        except ClientDisconnect:
            return PlainTextResponse("half a report", status_code=400)  # to nobody
        try:
            report = json.loads(body)
            entries = [(str(e["url"])[:2000], bool(e["refused"])) for e in report["requests"]]
            page = str(report["page"])[:200]
        except (ValueError, KeyError, TypeError, RecursionError):
            return PlainTextResponse("no report", status_code=400)
        if not own:
            return PlainTextResponse("a report of another site", status_code=403)
        for url, refused in entries:
            self.access.note_outside(url, page=page, refused=refused)
        return Response(status_code=204)


def _html(name: str, *, frames: Sequence[str] = (), **values: object) -> Response:
    template = Environment(
        loader=FileSystemLoader(web_template() / "preview"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)
    policy = "; ".join((site_policy(), " ".join(("frame-src 'self'", *frames))))
    headers = {"content-security-policy": policy, "cache-control": "no-store"}
    return HTMLResponse(template.render(**values), headers=headers)


def _asset(name: str) -> Response:
    """A script or style of the preview; style.css is the pages' own."""
    folder = web_template() / ("shared" if name == "style.css" else "preview")
    known = {path.name: path for path in folder.iterdir() if path.suffix in (".js", ".css")}
    path: Path | None = known.get(name)
    if path is None:
        return PlainTextResponse("not found", status_code=404)
    return Response(path.read_bytes(), media_type=TYPES[path.suffix])
