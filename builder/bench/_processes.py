"""Programs in processes of their own, whose seconds and peak memory are theirs alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BenchError

LAST_LINES = 4


@dataclass(frozen=True, kw_only=True)
class Finished:
    """``peak_bytes`` is the most memory that the process held, 0 where the system does not tell (Windows)."""

    output: str
    seconds: float
    peak_bytes: int


def run(command: Sequence[str], *, what: str, environment: Mapping[str, str] | None = None) -> Finished:
    """Run a program to its end, and give back what it printed to stdout.

    Raises:
        BenchError: it cannot be started or fails; the message has the end of what it said.
    """
    import tempfile

    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=said, env={**os.environ, **(environment or {})}
            )
        except OSError as error:
            raise BenchError(f"{what} cannot be started: {error.strerror}", hint=f"install {command[0]}") from error
        try:
            status, peak = _wait(process)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.monotonic() - started
        out.seek(0)
        said.seek(0)
        output = out.read().decode("utf-8", "replace")
        if status != 0:
            lines = [line for line in (said.read().decode("utf-8", "replace") or output).splitlines() if line.strip()]
            raise BenchError(f"{what} failed: {' '.join(lines[-LAST_LINES:]) or f'exit code {status}'}")
    return Finished(output=output, seconds=seconds, peak_bytes=peak)


def run_ourselves(*arguments: str, what: str) -> Finished:
    """Run `webgpu-demo` with these arguments, of this very package."""
    package = Path(__file__).parents[2]
    paths = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH", "")]))
    return run([sys.executable, "-m", "builder", *arguments], what=what, environment={"PYTHONPATH": paths})


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Exit code and peak memory in bytes."""
    if not hasattr(os, "wait4"):
        return process.wait(), 0
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
