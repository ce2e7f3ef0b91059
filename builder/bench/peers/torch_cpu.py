"""PyTorch on the CPU with the checkpoint itself, as programs do that search photos from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from builder.bench._contract import Report
from builder.bench._processes import run
from builder.bench.peers._contract import Peer
from builder.bench.peers._environment import peer_python

PEER = Peer(
    name="torch",
    summary="PyTorch on the CPU with an OpenCLIP checkpoint, as rclip does it",
    requirements=("torch==2.14.1", "torchvision==0.29.1", "open_clip_torch==3.3.0", "safetensors", "pillow"),
)
SCRIPT = Path(__file__).with_name("_torch_clip_script.py")


def photos_per_second(checkpoint: Path, photos: Path, *, batch: int, threads: int, work: Path, report: Report) -> float:
    """Encode every photo of a folder, ``batch`` at a time.

    Raises:
        BenchError: its environment cannot be made, or the checkpoint does not load.
    """
    python = peer_python(PEER, work, report)
    command = [str(python), str(SCRIPT), str(checkpoint), str(photos), str(batch), str(threads)]
    return float(json.loads(run(command, what="PyTorch").output.splitlines()[-1])["rate"])
