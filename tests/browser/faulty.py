"""A static host that fails as real ones do: breaks off, damages, refuses ranges, answers something else.

Start with `running_host`. It keeps a log of what was asked for and how much of it was sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from builder.preview.catalog import TYPES


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with the next ``times`` answers.

    ``cut`` and ``stall`` are the part of the file that still comes; ``pause_s`` is waited after each quarter megabyte.
    """

    times: int = 1
    cut: float | None = None
    stall: float | None = None
    pause_s: float = 0.0
    damage: bool = False
    status: int | None = None
    page: bool = False


@dataclass(frozen=True, kw_only=True)
class Sent:
    path: str
    range: str | None
    sent_bytes: int


@dataclass(kw_only=True)
class Host:
    """``faults`` is end of a path → what goes wrong with it."""

    root: Path
    address: str = ""
    faults: dict[str, Fault] = field(default_factory=dict)
    refuses_ranges: bool = False
    log: list[Sent] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)

    def asked(self, ending: str) -> list[Sent]:
        return [entry for entry in self.log if entry.path.endswith(ending)]

    def fault(self, path: str) -> Fault | None:
        for ending, fault in self.faults.items():
            if path.endswith(ending) and fault.times > 0:
                fault.times -= 1
                return fault
        return None


def _handler(host: Host) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            file = host.root / path.lstrip("/")
            file = file / "index.html" if path.endswith("/") else file
            fault = host.fault(path)
            if (fault and fault.status) or not file.is_file():
                self._plain(fault.status if fault and fault.status else 404)
                return
            content = b"<!doctype html><title>front page</title>" if fault and fault.page else file.read_bytes()
            kind = "text/html" if fault and fault.page else TYPES.get(file.suffix, "application/octet-stream")
            wanted = self.headers.get("range")
            start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted and not host.refuses_ranges else 0
            self._send(path, content, kind, start if not host.refuses_ranges and wanted else None, fault)

        def _plain(self, status: int) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def _send(self, path: str, content: bytes, kind: str, start: int | None, fault: Fault | None) -> None:
            body = content[start or 0 :]
            end = len(body)
            if fault and (fault.cut or fault.stall):
                end = max(0, int(len(content) * (fault.cut or fault.stall or 1)) - (start or 0))
            if fault and fault.damage:
                body = bytes([body[0] ^ 0xFF]) + body[1:]
            self.send_response(200 if start is None else 206)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("cache-control", "no-cache")
            self.send_header("access-control-allow-origin", "*")
            if start is not None:
                self.send_header("content-range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            sent = 0
            with suppress(OSError):  # the browser has gone
                while sent < end:
                    sent += self.wfile.write(body[sent : min(end, sent + (1 << 18))])
                    time.sleep(fault.pause_s if fault else 0)
                self.wfile.flush()
            host.log.append(Sent(path=path, range=self.headers.get("range"), sent_bytes=sent))
            if fault and fault.stall:
                host.stalled.wait(timeout=60)
            if end < len(body):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the log is `Host.log`."""

    return Handler


@contextmanager
def running_host(root: Path, *, port: int = 0) -> Iterator[Host]:
    """Serve ``root`` on loopback as long as the block runs."""
    host = Host(root=root)
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(host))
    server.daemon_threads = True
    host.address = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, name="faulty host", daemon=True)
    thread.start()
    try:
        yield host
    finally:
        host.stalled.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
