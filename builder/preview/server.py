"""The preview server: what a static host would send, on this machine, and beside it what helps to look at it.

Start with `preview`, or `running_server` in tests. `application` puts the parts together, from the outside in: log,
headers of every answer, Host check, then the site's files (files.py) or the preview's own pages (tools.py). uvicorn
speaks HTTP; protocol.py teaches it what it lacks.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from builder.errors import PreviewError
from builder.preview.access import Access, Recorder
from builder.preview.catalog import INDEX, Broken, Catalog, check_folder
from builder.preview.certificates import Credentials, given_credentials, own_credentials
from builder.preview.facts import Checksums
from builder.preview.files import Files
from builder.preview.headers import EveryAnswer
from builder.preview.insert import Insert
from builder.preview.lan import Lan, find_lan, is_private
from builder.preview.modes import Modes, parse_rate
from builder.preview.phone import Invitation, phone_application
from builder.preview.ports import (
    EVERYWHERE,
    FIRST_PORT,
    LOOPBACK,
    WAITING_CONNECTIONS,
    check_port,
    claim_port,
    free_port,
    port_of,
)
from builder.preview.protocol import FileProtocol
from builder.preview.tools import PLACE, Tools
from builder.preview.watch import Live, Source

__all__ = ["Addresses", "check_port", "free_port", "preview", "running_server"]

LOOPBACK_NAMES = ("127.0.0.1", "localhost")
"""Names that a request may be addressed to: a page of elsewhere whose name resolves to 127.0.0.1 gets nothing."""
HTTP_VERSIONS = ("1.0", "1.1")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What goes on beside the server. ``loss`` says what is missing once it has ended by itself."""

    run: Callable[[], Coroutine[object, object, None]]
    loss: str


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where a preview can be opened. ``start`` is what the browser is opened with."""

    site: str
    landing: str
    start: str
    phone: Invitation | None = None
    certificate: Path | None = None


def preview(
    directory: Path,
    *,
    port: int | None = None,
    open_browser: bool = True,
    lan: bool = False,
    https: bool = False,
    cert: Path | None = None,
    key: Path | None = None,
    modes: Modes | None = None,
    source: Source | None = None,
    landing: bool = True,
    report: Callable[[str], None] | None = None,
    log: Callable[[str], None] | None = None,
    on_ready: Callable[[str], None] = print,
    on_addresses: Callable[[Addresses], None] | None = None,
) -> None:
    """Serve ``directory`` until Ctrl-C; ``on_ready`` is given the address.

    ``lan`` listens on all networks of this machine, ``https`` with a certificate of its own (``cert`` and ``key`` are
    given ones, and mean https). ``modes`` show the page as other visitors will see it. ``source`` is watched for
    changes. The browser opens the preview's landing page, or with ``landing`` False the site. ``log`` is given a line
    for every request.

    Raises:
        PreviewError: no such folder, the port is taken, or a certificate cannot be used; there is no way back to http.
            Without ``port`` the first free one from 8000 is used, and ``report`` says so where it is another.
    """
    say = report or (lambda line: None)
    check_folder(directory)
    shown = modes or Modes()
    if shown.throttle is not None:
        parse_rate(shown.throttle)
    network = find_lan() if lan else None
    names = [*LOOPBACK_NAMES, *(network.names if network is not None else ())]
    credentials = (
        given_credentials(cert, key, report=say)
        if cert or key
        else own_credentials(_to_vouch_for(names, network))
        if https
        else None
    )
    if credentials is not None:
        names += [name for name in credentials.names if name not in names]
    if network is not None and credentials is None:
        say("other devices get no camera and no WebGPU over http; --lan --https gives them both")
    access = Access(names=names, on_line=log)
    live = Live(source, on_line=say) if source is not None else None
    app = application(directory, names=names, access=access, modes=shown, live=live, tools=True)
    for site in Catalog(directory).sites():
        if isinstance(site, Broken):
            say(site.why)
    with contextlib.ExitStack() as open_until_the_end:
        listener = open_until_the_end.enter_context(claim_port(port, host=EVERYWHERE if lan else LOOPBACK))
        if port is None and port_of(listener) != FIRST_PORT:
            say(f"port {FIRST_PORT} is taken; the next free one is {port_of(listener)}")
        scheme = "https" if credentials is not None else "http"
        root = f"{scheme}://{_host(LOOPBACK_NAMES, credentials, say)}:{port_of(listener)}/"
        tasks = _live_tasks(live)
        if log is not None:
            tasks.append(Task(run=lambda: access.tell_when_quiet(log), loss="requests are no longer counted up here"))
        invitation = None
        if network is not None:
            page = f"{scheme}://{_host(network.names, credentials, say)}:{port_of(listener)}/"
            invitation = Invitation(page=page)
            if credentials is not None and credentials.authority is not None:
                helper = open_until_the_end.enter_context(claim_port(None, host=EVERYWHERE))
                invitation = Invitation(page=page, trust=f"http://{network.address}:{port_of(helper)}/")
                guide = EveryAnswer(phone_application(credentials.authority, invitation, names))
                tasks.append(Task(run=lambda: _serve_beside(guide, helper), loss="phones find no guide any more"))
        addresses = Addresses(
            site=root
            if (directory / INDEX).is_file()
            else root + PLACE[1:],  # a folder of sites may have no page itself
            landing=root + PLACE[1:],
            start=_start(root, shown, landing),
            phone=invitation,
            certificate=credentials.authority if credentials is not None else None,
        )

        def announce() -> None:
            on_ready(addresses.site)
            if on_addresses is not None:
                on_addresses(addresses)
            if open_browser and _has_desktop():
                # A browser that starts in the foreground would keep the server from answering.
                threading.Thread(target=webbrowser.open, args=(addresses.start,), name="browser", daemon=True).start()

        server = _Server(
            _config(app, credentials),
            on_started=announce,
            on_stopping=live.close if live is not None else None,
            tasks=tasks,
            on_failure=lambda loss, error: say(f"{loss}: {error}"),
        )
        with contextlib.suppress(KeyboardInterrupt):  # raised again by uvicorn once all connections are closed
            server.run(sockets=[listener])
    say(f"{access.requests} requests answered; {access.summary()}")


@contextmanager
def running_server(
    directory: Path, *, port: int = 0, modes: Modes | None = None, source: Source | None = None, tools: bool = False
) -> Iterator[str]:
    """Serve ``directory`` from a thread as long as the block runs; yields the address. Port 0 is any free one.

    Without ``tools`` and ``source`` every byte is as a static host would send it: nothing is added to any page.
    """
    check_folder(directory)
    live = Live(source) if source is not None else None
    app = application(
        directory,
        names=LOOPBACK_NAMES,
        access=Access(names=LOOPBACK_NAMES),
        modes=modes or Modes(),
        live=live,
        tools=tools or live is not None,
    )
    started = threading.Event()
    failures: list[BaseException] = []
    with claim_port(port) as listener:
        server = _Server(
            _config(app, None),
            on_started=started.set,
            on_stopping=live.close if live is not None else None,
            tasks=_live_tasks(live),
            on_failure=lambda loss, error: failures.append(error),
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="preview", daemon=True)
        thread.start()
        try:
            if not started.wait(timeout=30):
                raise PreviewError("the server did not start in 30 s", hint="run the command again")
            yield f"http://{LOOPBACK}:{port_of(listener)}/"
        finally:
            server.should_exit = True
            thread.join(timeout=30)
    if failures:
        raise failures[0]


def application(
    directory: Path, *, names: Sequence[str], access: Access, modes: Modes, live: Live | None, tools: bool
) -> ASGIApp:
    """Put the server's parts together."""
    catalog = Catalog(directory, fresh=live.files if live is not None else dict)
    insert = Insert(version=lambda: live.version if live is not None else None) if tools else None
    files = Files(catalog, insert=insert)
    own = Tools(
        catalog=catalog,
        files=files,
        access=access,
        names=names,
        checksums=Checksums(),
        modes=modes,
        live=live,
    )

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["http_version"] not in HTTP_VERSIONS:  # h11 takes any
            await PlainTextResponse("this server speaks HTTP/1.1\n", 505)(scope, receive, send)
            return
        two_lengths = {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}
        if two_lengths or not scope["path"].startswith("/"):
            await PlainTextResponse("this is no request\n", 400)(scope, receive, send)
            return
        if tools and scope["path"].startswith(PLACE):
            await own.answer(scope, receive, send)
        else:
            await files.answer(scope, receive, send, address=scope["path"], modes=modes)

    checked = TrustedHostMiddleware(route, allowed_hosts=list(names), www_redirect=False)
    return Recorder(EveryAnswer(checked), access)


class _Server(uvicorn.Server):
    """Says when it listens, and has tasks beside it that end with it."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        on_started: Callable[[], None],
        on_stopping: Callable[[], None] | None = None,
        tasks: Sequence[Task] = (),
        on_failure: Callable[[str, BaseException], None] = lambda loss, error: None,
    ) -> None:
        super().__init__(config)
        self._on_failure = on_failure
        self._full = False
        self._on_started = on_started
        self._on_stopping = on_stopping
        self._to_start = tasks
        self._running: list[asyncio.Task[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._note)
        await super().startup(sockets)
        if self.started:
            self._running = [asyncio.create_task(self._attend(task)) for task in self._to_start]
            self._on_started()

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Say once that no file can be opened: asyncio says so hundreds of times a second, and goes on by itself."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif not self._full:
            self._full = True
            self._on_failure("more connections than `ulimit -n` allows, so new ones wait", error)

    async def _attend(self, task: Task) -> None:
        """Run a task; the server goes on without it, and says so."""
        try:
            await task.run()
        except Exception as error:
            self._on_failure(task.loss, error)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._on_stopping is not None:
            self._on_stopping()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await super().shutdown(sockets)


class _Beside(_Server):
    """A second server in the same loop, which leaves the signals to the first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve_beside(app: ASGIApp, listener: socket.socket) -> None:
    server = _Beside(_config(app, None), on_started=lambda: None)
    try:
        await server.serve(sockets=[listener])
    finally:
        listener.close()


def _live_tasks(live: Live | None) -> list[Task]:
    return [] if live is None else [Task(run=live.run, loss="changes are no longer seen; start the preview again")]


def _config(app: ASGIApp, credentials: Credentials | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=FileProtocol,
        loop="asyncio",  # the protocol needs its sendfile; uvicorn would take uvloop where it is installed
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        backlog=WAITING_CONNECTIONS,
        timeout_graceful_shutdown=1,  # a browser keeps connections open; Ctrl-C does not wait for it
        ssl_certfile=credentials.cert if credentials is not None else None,
        ssl_keyfile=credentials.key if credentials is not None else None,
    )


def _to_vouch_for(names: Sequence[str], network: Lan | None) -> list[str]:
    """The names that the local authority may vouch for; a public one that a phone would be sent to is its own error."""
    return [name for name in names if is_private(name) or (network is not None and name == network.address)]


def _host(names: Sequence[str], credentials: Credentials | None, say: Callable[[str], None]) -> str:
    """The first of this machine's names that the certificate is for; a name of the certificate must lead here."""
    host = names[0] if credentials is None else credentials.host(names)
    if host is None:
        say(f"the certificate is for none of {', '.join(names)}: browsers will warn of it")
        return names[0]
    if host not in names:
        say(f"the certificate is for {host}, so that name must lead to this machine")
    return host


def _start(root: str, modes: Modes, landing: bool) -> str:
    if modes.space:
        return f"{root}{PLACE[1:]}space"
    return root + PLACE[1:] if landing else root


def _has_desktop() -> bool:
    """Tell whether a window can be opened: without one, Python would start a text browser in this terminal."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
