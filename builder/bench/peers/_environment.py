"""A virtual environment for each peer, so that what it needs never meets what this package needs."""

from __future__ import annotations

import os
import re
import shutil
import sys
import venv
from pathlib import Path

from builder.bench._contract import Report
from builder.bench._processes import run
from builder.bench.peers._contract import Peer
from builder.errors import BenchError

STAMP = "requirements.txt"


def peer_python(peer: Peer, work: Path, report: Report) -> Path:
    """Python of the peer's environment, which is made when it is not there or its requirements have changed.

    Raises:
        BenchError: the environment cannot be made, or a package cannot be installed.
    """
    folder, python = work / "peers" / peer.name, _python(peer, work)
    wanted = "\n".join(peer.requirements) + "\n"
    stamp = folder / STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and python.exists():
        return python
    report(f"{peer.name}: installing {', '.join(peer.requirements)}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
    except (OSError, RuntimeError) as error:
        raise BenchError(f"no environment for {peer.name}: {error}", hint="install python3-venv") from error
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(
        [*pip, *peer.requirements],
        what=f"pip for {peer.name} (Python {sys.version_info.major}.{sys.version_info.minor})",
    )
    stamp.write_text(wanted, encoding="utf-8")
    return python


def installed(peer: Peer, work: Path) -> str:
    """What a peer's environment has of its requirements: ``optimum-onnx 0.1.0, torch 2.13.0``.

    Raises:
        BenchError: there is no such environment yet.
    """
    names = [re.split(r"[<>=!~]", requirement)[0] for requirement in peer.requirements]
    code = "import sys; from importlib.metadata import version; [print(n, version(n)) for n in sys.argv[1:]]"
    return (
        run([str(_python(peer, work)), "-c", code, *names], what=f"the environment of {peer.name}")
        .output.strip()
        .replace("\n", ", ")
    )


def _python(peer: Peer, work: Path) -> Path:
    return work / "peers" / peer.name / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
