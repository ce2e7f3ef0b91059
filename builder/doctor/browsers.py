"""Which browsers there are, and what each says of WebGPU when it is started, headless, with a profile of its own.

Start with `look_at_browsers`. A browser is asked by a page on loopback that sends its answer back to the server that it
came from, so no driver is needed, and Chromium and Firefox are asked in the same way. Safari has no headless mode.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.browsers import installed_browsers
from builder.doctor._finding import Finding
from builder.paths import web_template

PATIENCE_S = 40
ELSEWHERE = "pages still run there, on the processor"


@dataclass(frozen=True, kw_only=True)
class Browser:
    """A browser that can be started."""

    name: str
    path: Path
    kind: str

    def command(self, profile: Path, address: str) -> list[str]:
        """Start it headless on an address."""
        if self.kind == "firefox":
            return [str(self.path), "--headless", "--no-remote", "--profile", str(profile), address]
        arguments = ["--headless=new", f"--user-data-dir={profile}", "--no-first-run", "--no-default-browser-check"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            arguments.append("--no-sandbox")  # Chromium refuses to start for root with it
        return [str(self.path), *arguments, "--disable-background-networking", address]


def look_at_browsers() -> Iterator[Finding]:
    """Start every browser that is found, and say what it can do."""
    found = find_browsers()
    if not found:
        yield Finding(
            group="browsers",
            name="browser",
            state="problem",
            what="no Chrome, Chromium, Edge or Firefox is found",
            remedy="install one; on Debian and Ubuntu: apt-get install chromium",
        )
    for browser in found:
        yield _examine(browser)
    if sys.platform == "darwin":
        version = platform.mac_ver()[0]
        what = f"of macOS {version}; it cannot be started headless. WebGPU is in Safari from version 26"
        yield Finding(group="browsers", name="Safari", state="note", what=what, remedy="open the preview in it")


def find_browsers() -> list[Browser]:
    """The browsers of this machine, each program once."""
    once: dict[Path, Browser] = {}
    for name, path in installed_browsers():
        kind = "firefox" if "firefox" in name.lower() else "chromium"
        once.setdefault(path.resolve(), Browser(name=name, path=path, kind=kind))
    return list(once.values())


def _examine(browser: Browser) -> Finding:
    answer = ask(browser)
    base = {"path": str(browser.path)}
    if answer is None:
        return Finding(
            group="browsers",
            name=browser.name,
            state="note",
            what=f"{browser.path} did not answer in {PATIENCE_S} s",
            remedy=f"start it by hand and look: {browser.path}",
            facts=base,
        )
    what = f"{answer.get('version')}, {browser.path}: {_ability(answer)}"
    usable = bool(answer.get("adapter")) and not answer.get("software")
    return Finding(
        group="browsers",
        name=browser.name,
        state="ok" if usable else "note",
        what=what,
        remedy="" if usable else _remedy(browser),
        facts={**base, **answer},
    )


def _ability(answer: Mapping[str, object]) -> str:
    if not answer.get("webgpu"):
        return f"no WebGPU; {ELSEWHERE}"
    if not answer.get("adapter"):
        return f"WebGPU without an adapter; {ELSEWHERE}"
    kind = "a software imitation of WebGPU" if answer.get("software") else f"WebGPU on {answer.get('gpu') or 'a GPU'}"
    return f"{kind}, {'with' if answer.get('shader_f16') else 'without'} shader-f16"


def _remedy(browser: Browser) -> str:
    if browser.kind == "firefox":
        return "Firefox has WebGPU on Windows and on Macs with Apple's processors; elsewhere take Chrome"
    return "see chrome://gpu; without a graphics processor this is as it must be"


def ask(browser: Browser, *, patience_s: float = PATIENCE_S) -> dict[str, object] | None:
    """Start a browser on the page of questions; its answer, or None where none came."""
    with _questions() as (address, answered, answers), tempfile.TemporaryDirectory(prefix="webgpu-demo-") as profile:
        try:
            process = _start(browser.command(Path(profile), address))
        except OSError:
            return None
        try:
            answered.wait(patience_s)
        finally:
            _end(process)
    return answers[0] if answers else None


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own: a browser is many processes."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a browser with all its processes, and wait until they have let go of the profile."""
    import psutil

    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    _, alive = psutil.wait_procs(family, timeout=5)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(alive, timeout=5)
    process.wait(timeout=10)


@contextmanager
def _questions() -> Iterator[tuple[str, threading.Event, list[dict[str, object]]]]:
    """Serve the page of questions on loopback, and take one answer."""
    answered = threading.Event()
    answers: list[dict[str, object]] = []
    folder = web_template() / "preview"
    pages = {
        "/": (b'<!doctype html><title>doctor</title><script type="module" src="/doctor.js"></script>', "text/html"),
        "/doctor.js": ((folder / "doctor.js").read_bytes(), "text/javascript"),
    }

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = pages.get(self.path, (b"", "text/plain"))
            self.send_response(200 if self.path in pages else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            length = min(int(self.headers.get("Content-Length", "0")), 65536)
            answers.append(dict(json.loads(self.rfile.read(length))))
            self.send_response(204)
            self.end_headers()
            answered.set()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the diagnosis is the output."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="doctor", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", answered, answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
