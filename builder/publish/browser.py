"""A headless browser, if a Chromium is installed: to see that a page comes up, and to take its picture.

It is driven over two pipes by the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/), which needs
no package of its own. Windows hands no pipes down in this way: there, nothing is looked at.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from builder.browsers import find_chromium
from builder.redaction import without_tokens

SIZE = (1280, 720)
GOOD, BAD = frozenset({"ready", "running", "paused", "done"}), frozenset({"error"})
"""Values of a page's ``data-state`` once its model is loaded, and once it has given up."""
STARTER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Puts the pipes where the browser wants them, at 3 and 4, and becomes the browser."""


class BrowserError(Exception):
    """The browser did not start, or went away."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen: the last ``data-state``, what the page said, and a picture (PNG)."""

    state: str
    said: str
    picture: bytes

    @property
    def is_good(self) -> bool:
        return self.state in GOOD

    @property
    def is_bad(self) -> bool:
        return self.state in BAD


def find_browser() -> str | None:
    """A Chromium of this machine that can be driven: Windows hands no pipes down."""
    return None if sys.platform == "win32" else find_chromium()


def look(executable: str, address: str, *, seconds: float, settle_s: float = 0, flags: tuple[str, ...] = ()) -> Look:
    """Open ``address`` and wait until its model runs, it gives up, or the time is over.

    ``settle_s`` is how long to wait on after that, until there is something to see in a picture.

    Raises:
        BrowserError: the browser did not start, or crashed.
    """
    with _started(executable, flags) as pipe:
        page = pipe.open_page(address)
        deadline = time.monotonic() + seconds
        state = ""
        while time.monotonic() < deadline and state not in GOOD | BAD:
            time.sleep(0.25)
            state = str(pipe.evaluate(page, "document.documentElement.dataset.state ?? ''"))
        if state in GOOD:
            time.sleep(settle_s)
        said = pipe.evaluate(page, "document.querySelector('[data-role=status]')?.textContent ?? ''")
        shot = pipe.call("Page.captureScreenshot", {"format": "png"}, page)
        return Look(state=state, said=str(said).strip(), picture=base64.b64decode(shot["data"]))


@dataclass(kw_only=True)
class _Pipe:
    """The protocol: JSON messages that end in a zero byte, answers by number."""

    writes: int
    reads: int
    process: subprocess.Popen[bytes]
    number: int = 0
    buffer: bytearray = field(default_factory=bytearray)

    def open_page(self, address: str) -> str:
        target = self.call("Target.createTarget", {"url": "about:blank"})
        page = self.call("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})["sessionId"]
        self.call("Page.enable", {}, page)
        self.call("Page.navigate", {"url": address}, page)
        return str(page)

    def evaluate(self, page: str, expression: str) -> object:
        answer = self.call("Runtime.evaluate", {"expression": expression, "returnByValue": True}, page)
        return answer.get("result", {}).get("value", "")

    def call(self, method: str, parameters: dict[str, object], session: str | None = None) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        try:
            os.write(self.writes, json.dumps(message).encode() + b"\0")
        except OSError as error:
            raise BrowserError(f"the browser is gone: {error.strerror}") from error
        deadline = time.monotonic() + 60
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error'].get('message')}")
                result: dict[str, Any] = answer.get("result", {})
                return result

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.reads], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BrowserError("the browser does not answer")
            chunk = os.read(self.reads, 1 << 16)
            if not chunk:
                raise BrowserError("the browser has closed")
            self.buffer += chunk
        raw, _, rest = bytes(self.buffer).partition(b"\0")
        self.buffer = bytearray(rest)
        message: dict[str, Any] = json.loads(raw)
        return message


@contextmanager
def _started(executable: str, flags: tuple[str, ...]) -> Iterator[_Pipe]:
    import fcntl

    # Numbers from 10 on cannot be the 3 and 4 that they are copied to.
    ends = [*os.pipe(), *os.pipe()]
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    commands, writes, reads, answers = moved
    with tempfile.TemporaryDirectory(prefix="webgpu-demo-browser-", ignore_cleanup_errors=True) as profile:
        arguments = [
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            f"--window-size={SIZE[0]},{SIZE[1]}",
            "--no-first-run",
            "--hide-scrollbars",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # the sandbox refuses to start for root
            *flags,
        ]
        process = subprocess.Popen(
            [sys.executable, "-c", STARTER, str(commands), str(answers), executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(commands, answers),
            env=without_tokens(os.environ),
        )
        os.close(commands)
        os.close(answers)
        pipe = _Pipe(writes=writes, reads=reads, process=process)
        try:
            yield pipe
        finally:
            os.close(writes)
            os.close(reads)
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """A browser whose pipe closes ends by itself; one that does not is made to."""
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
