"""A static host on this machine, over a line as slow as is asked for: what contestants are visited on."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

CHUNK_BYTES = 32 * 1024


class _Line:
    """So many bits a second for all connections together."""

    def __init__(self, bits_per_second: float) -> None:
        self._seconds_per_byte = 8 / bits_per_second
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, count: int) -> None:
        """Return when ``count`` bytes have gone through."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(now, self._free_at) + count * self._seconds_per_byte
            until = self._free_at
        time.sleep(until - now)


@contextmanager
def serve(folder: Path, *, megabits: float | None = None, asked: list[str] | None = None) -> Iterator[str]:
    """Serve a folder; yields its address, with a slash at the end. ``megabits`` are those that go through a second.

    The paths that are asked for are put into ``asked``, by pages and by workers, in the order of their coming.
    """
    line = None if megabits is None else _Line(megabits * 1e6)

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections stay open, as a real host's do

        def do_GET(self) -> None:
            if asked is not None:
                asked.append(self.path.partition("?")[0].lstrip("/"))
            super().do_GET()

        def copyfile(self, source: IO[bytes], outputfile: Any) -> None:  # type: ignore[override]
            if line is None:
                shutil.copyfileobj(source, outputfile)
                return
            while chunk := source.read(CHUNK_BYTES):
                line.wait(len(chunk))
                outputfile.write(chunk)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # the browser was closed meanwhile
                self.close_connection = True

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
