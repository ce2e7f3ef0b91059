"""The addresses of static Spaces: each has an origin of its own, which serves its newest commit as the Hub does."""

from __future__ import annotations

import re
from urllib.parse import unquote

import yaml
from starlette.requests import Request
from starlette.responses import Response

from tests.hub.cards import FRONT_MATTER
from tests.hub.contents import refusal
from tests.hub.written import WrittenRepository

TYPES = {
    "css": "text/css",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "mjs": "text/javascript; charset=utf-8",
    "png": "image/png",
    "wasm": "application/wasm",
    "webm": "video/webm",
}
ONE_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


def serve(repository: WrittenRepository, request: Request) -> Response:
    """Answer with a file of the Space, and with the headers that its README.md asks for."""
    path = unquote(request.url.path).lstrip("/") or "index.html"
    file = repository.head.files.get(path)
    if request.method not in ("GET", "HEAD"):
        return Response(status_code=405)
    if file is None:
        return refusal(404)
    data = file.content.read_bytes()
    headers = {**_custom(repository), "accept-ranges": "bytes"}
    kind = TYPES.get(path.rpartition(".")[2], "application/octet-stream")
    if wanted := ONE_RANGE.fullmatch(request.headers.get("range", "")):
        start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        headers["content-range"] = f"bytes {start}-{end}/{len(data)}"
        return Response(data[start : end + 1], status_code=206, headers=headers, media_type=kind)
    return Response(data if request.method == "GET" else b"", headers=headers, media_type=kind)


def _custom(repository: WrittenRepository) -> dict[str, str]:
    card = repository.head.files.get("README.md")
    found = FRONT_MATTER.match(card.content.read_text(encoding="utf-8")) if card is not None else None
    fields = yaml.safe_load(found[1]) if found is not None else {}
    return dict(fields.get("custom_headers") or {})
