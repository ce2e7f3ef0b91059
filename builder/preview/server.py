"""A static file server on 127.0.0.1: right types, ranges, ETags, and the headers that give a page threads.

Start with `preview`, or `running_server` in tests. What is served is one folder and nothing outside it: no listing, no
dotfiles, no links that lead away, no fallback page. `_Files` answers requests, `_Headers` marks every answer, errors
included. Starlette's FileResponse does ranges; the type table is our own, because the system's differs between machines
and a browser refuses a module or a WebAssembly file of another type.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import uvicorn
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from builder.errors import PreviewError
from builder.policy import SITE_POLICY

HOST = "127.0.0.1"
FIRST_PORT = 8000
PORTS_TRIED = 100
LOOPBACK_NAMES = ["127.0.0.1", "localhost"]
"""Names that a request may be addressed to: a page of elsewhere whose name resolves to 127.0.0.1 gets nothing."""

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".mp4": "video/mp4",
    ".onnx": "application/octet-stream",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webp": "image/webp",
}
EVERY_ANSWER = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": SITE_POLICY,
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
"""The first two make the page cross-origin isolated, without which WebAssembly has one thread. The policy is in the
page already, but a worker takes its own from the header of its script."""
ONE_RANGE = re.compile(r"bytes=(\d+-\d*|-\d+)")


def preview(
    directory: Path,
    *,
    port: int | None = None,
    open_browser: bool = True,
    on_ready: Callable[[str], None] = print,
) -> None:
    """Serve ``directory`` until Ctrl-C; ``on_ready`` is given the address.

    Raises:
        PreviewError: no such folder, or the port is taken. Without ``port`` the first free one from 8000 is used.
    """
    app = _application(directory)
    with _claim_port(port) as listener:
        address = _address(listener)
        server = _server(app, on_started=lambda: _announce(address, on_ready, open_browser))
        with contextlib.suppress(KeyboardInterrupt):  # raised again by uvicorn once all connections are closed
            server.run(sockets=[listener])


@contextmanager
def running_server(directory: Path, *, port: int = 0) -> Iterator[str]:
    """Serve ``directory`` from a thread as long as the block runs; yields the address. Port 0 is any free one."""
    app = _application(directory)
    started = threading.Event()
    with _claim_port(port) as listener:
        server = _server(app, on_started=started.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="preview", daemon=True)
        thread.start()
        try:
            if not started.wait(timeout=30):
                raise PreviewError("the server did not start in 30 s", hint="run the command again")
            yield _address(listener)
        finally:
            server.should_exit = True
            thread.join(timeout=30)


def free_port(first: int = FIRST_PORT) -> int:
    """Find the first port from ``first`` that nobody listens on.

    Raises:
        PreviewError: a hundred ports in a row are taken.
    """
    for port in range(first, min(first + PORTS_TRIED, 65536)):
        try:
            _bind(port).close()
        except OSError:
            continue
        return port
    raise PreviewError(f"no port from {first} on is free", hint="give a port with --port")


def check_port(port: int) -> None:
    """Make sure that a port can be used.

    Raises:
        PreviewError: it is taken; the hint names the next free one.
    """
    _claim_port(port).close()


class _Server(uvicorn.Server):
    """Says when it listens; uvicorn itself only logs it."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()


class _Files:
    """Answers GET and HEAD with the files below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("method not allowed", status_code=405, headers={"allow": "GET, HEAD"})
        path = self._find(scope["path"])
        if path is not None and path.is_dir():
            if not scope["path"].endswith("/"):
                query = scope["query_string"].decode("latin-1")
                return RedirectResponse(quote(scope["path"]) + "/" + (f"?{query}" if query else ""))
            path /= "index.html"
        elif scope["path"].endswith("/"):
            path = None
        if path is None or not path.is_file():
            return PlainTextResponse("not found", status_code=404)
        return self._send_file(scope, path)

    def _find(self, path: str) -> Path | None:
        """Map an address to what lies there, or None: dotfiles, ``..``, empty parts and links outwards do not exist."""
        parts = path.strip("/").split("/") if path.strip("/") else []
        if path.startswith("//") or any(not part or part.startswith(".") or set(part) & set("\\\0:") for part in parts):
            return None
        try:
            found = self._root.joinpath(*parts).resolve(strict=True)
        except (OSError, ValueError):
            return None
        return found if found.is_relative_to(self._root) else None

    def _send_file(self, scope: Scope, path: Path) -> Response:
        stat = path.stat()
        etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}-{stat.st_ino:x}"'
        headers = Headers(scope=scope)
        if etag in (tag.strip().removeprefix("W/") for tag in headers.get("if-none-match", "").split(",")):
            return Response(status_code=304, headers={"etag": etag})
        if (wanted := headers.get("range")) is not None and not ONE_RANGE.fullmatch(wanted):
            # RFC 9110 §14.2: a server may ignore what it does not support; Starlette would send 400 or multipart.
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"range"]
        kind = TYPES.get(path.suffix.lower(), "application/octet-stream")
        return FileResponse(path, headers={"etag": etag}, media_type=kind, stat_result=stat)


class _Headers:
    """Sets `EVERY_ANSWER` on every answer, whoever gives it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(EVERY_ANSWER)
            await send(message)

        await self._app(scope, receive, send_marked)


def _application(directory: Path) -> ASGIApp:
    if not directory.is_dir():
        raise PreviewError(
            f"there is no folder {directory}", hint="build a site first: webgpu-demo build camera-caption"
        )
    if not (directory / "index.html").is_file():
        raise PreviewError(f"{directory} holds no index.html", hint="give the folder that `webgpu-demo build` made")
    return _Headers(TrustedHostMiddleware(_Files(directory), allowed_hosts=LOOPBACK_NAMES, www_redirect=False))


def _server(app: ASGIApp, *, on_started: Callable[[], None]) -> _Server:
    config = uvicorn.Config(
        app,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=1,  # a browser keeps connections open; Ctrl-C does not wait for it
    )
    return _Server(config, on_started)


def _claim_port(port: int | None) -> socket.socket:
    if port is None:
        return _bind(free_port())
    try:
        return _bind(port)
    except OSError as error:
        raise PreviewError(
            f"port {port} cannot be used: {(error.strerror or str(error)).lower()}",
            hint=f"the next free one: --port {free_port(max(port + 1, 1024))}",
        ) from error


def _bind(port: int) -> socket.socket:
    """Listen on the port; bound here and handed to the server, so that nobody can take it in between."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # allows what another socket has just left; on Windows it would allow sharing
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def _address(listener: socket.socket) -> str:
    return f"http://{HOST}:{listener.getsockname()[1]}/"


def _announce(address: str, on_ready: Callable[[str], None], open_browser: bool) -> None:
    on_ready(address)
    if open_browser and _has_desktop():
        # A browser that starts in the foreground would keep the server from answering.
        threading.Thread(target=webbrowser.open, args=(address,), name="browser", daemon=True).start()


def _has_desktop() -> bool:
    """Tell whether a window can be opened: without one, Python would start a text browser in this terminal."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
