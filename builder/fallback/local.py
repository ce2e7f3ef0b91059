"""Run the fallback on this machine, in a process of its own, until it is told to stop.

Start with `fallback`, or `running_app` in tests. The app listens on loopback only; what visitors upload lies in a
temporary folder that is gone when the process is.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from builder.errors import FallbackError
from builder.manifest import read_manifest
from builder.paths import spaces
from builder.redaction import without_tokens

HOST = "127.0.0.1"
FIRST_PORT = 7860
PORTS_TRIED = 100
START_SECONDS = 300
STOP_SECONDS = 15
HEALTH = "gradio_api/run/health"
OURS = ("GRADIO_", "SPACES_", "MODEL_", "PYTHONPATH")
"""Variables that would make the app listen elsewhere, be shared, or serve another model; a checkout on PYTHONPATH has a
folder of the name of a package that Gradio looks for."""
Report = Callable[[str], None]


def fallback(
    model_dir: Path,
    *,
    port: int | None = None,
    on_ready: Callable[[str], None] = print,
    report: Report | None = None,
) -> None:
    """Serve a web model with Gradio until Ctrl-C; ``on_ready`` is given the address.

    Raises:
        ModelError: the folder is no web model.
        FallbackError: Gradio is not installed, the port is taken, or the app does not start.
    """
    with _terminated_as_interrupted(), running_app(model_dir, port=port, report=report) as (address, process):
        on_ready(address)
        with contextlib.suppress(KeyboardInterrupt):
            code = process.wait()
            raise FallbackError(f"the server stopped by itself with code {code}", hint="run the command again")
    # After a Ctrl-C everything is closed; the command line then says that it was stopped.


@contextmanager
def running_app(
    model_dir: Path, *, port: int | None = None, report: Report | None = None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the app as long as the block runs; yields its address and its process.

    Raises:
        ModelError, FallbackError: as `fallback`.
    """
    manifest = read_manifest(model_dir)
    program = spaces() / "gradio" / "app.py"
    if importlib.util.find_spec("gradio") is None:
        raise FallbackError("Gradio is not installed", hint="pip install 'webgpu-demo-builder[fallback]'")
    chosen = _choose_port(port)
    if report is not None:
        report(f"starting Gradio with {manifest.name}")
    said: deque[str] = deque(maxlen=20)
    with tempfile.TemporaryDirectory(prefix="webgpu-demo-fallback-") as scratch:
        process = subprocess.Popen(
            [sys.executable, str(program)],
            env=_environment(model_dir, chosen, scratch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        listener = threading.Thread(target=_listen, args=(process, said), name="fallback", daemon=True)
        listener.start()
        try:
            address = f"http://{HOST}:{chosen}/"
            _wait(address, process, listener, said)
            yield address, process
        finally:
            _stop(process)
            listener.join(timeout=STOP_SECONDS)


def _environment(model_dir: Path, port: int, scratch: str) -> dict[str, str]:
    kept = {name: value for name, value in without_tokens(os.environ).items() if not name.startswith(OURS)}
    return {
        **kept,
        "MODEL_DIR": str(model_dir.resolve()),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": scratch,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST, "localhost"])),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _listen(process: subprocess.Popen[str], said: deque[str]) -> None:
    """Keep the last lines that the app wrote; a pipe that nobody reads would stop it."""
    assert process.stderr is not None
    with process.stderr as lines:
        said.extend(line.rstrip() for line in lines)


def _wait(address: str, process: subprocess.Popen[str], listener: threading.Thread, said: deque[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_healthy(address):
        if process.poll() is not None:
            listener.join(timeout=STOP_SECONDS)
            last = next((line for line in reversed(said) if line.strip()), f"code {process.returncode}")
            raise FallbackError(
                f"the server did not start: {last.removeprefix('error: ')}",
                hint="check the folder with `webgpu-demo check`, and the port",
            )
        if time.monotonic() > deadline:
            raise FallbackError(f"the server did not start in {START_SECONDS} s", hint="run the command again")
        time.sleep(0.2)


def _is_healthy(address: str) -> bool:
    request = urllib.request.Request(
        address + HEALTH, data=b'{"data": []}', headers={"content-type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _choose_port(port: int | None) -> int:
    """A port that nobody listens on: the given one, or the first free one from 7860; 0 is any."""
    wanted = range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else (port,)
    for candidate in wanted:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, candidate))
                return int(probe.getsockname()[1])
    if port is None:
        raise FallbackError(f"no port from {FIRST_PORT} on is free", hint="give a port with --port")
    raise FallbackError(f"port {port} is taken", hint="leave --port out, or give another")


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end the app as Ctrl-C does: without this it would outlive the command."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
