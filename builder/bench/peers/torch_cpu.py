"""PyTorch on the CPU with the checkpoint itself, as programs do that search photos from the command line.

It runs in this package's own environment, which needs PyTorch and OpenCLIP for the export anyway.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from builder.bench._processes import run
from builder.bench.peers._contract import Peer

PEER = Peer(name="torch", summary="PyTorch on the CPU with an OpenCLIP checkpoint, as rclip does it")
SCRIPT = Path(__file__).with_name("_torch_clip_script.py")


def photos_per_second(checkpoint: Path, photos: Path, *, batch: int, threads: int) -> float:
    """Encode every photo of a folder, ``batch`` at a time.

    Raises:
        BenchError: PyTorch or OpenCLIP is missing, or the checkpoint does not load.
    """
    command = [sys.executable, str(SCRIPT), str(checkpoint), str(photos), str(batch), str(threads)]
    return float(json.loads(run(command, what="PyTorch").output.splitlines()[-1])["rate"])
