"""optimum-onnx's export, quantized with onnxruntime's MatMulNBits as the scripts of transformers.js did it.

Its language models have token ids for inputs, attention out of single operators, and logits for every position.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.bench._contract import Report
from builder.bench._processes import run
from builder.bench.peers._contract import Peer
from builder.bench.peers._environment import peer_python
from builder.errors import BenchError
from builder.folders import new_folder

PEER = Peer(
    name="optimum-onnx",
    summary="optimum-onnx 0.1.0 and MatMulNBits, the usual way to a transformers.js model",
    requirements=(
        "optimum-onnx==0.1.0",
        "transformers<4.58",
        "torch==2.13.0",
        "onnx",
        "onnxruntime==1.31.1",
        "onnx-ir",
        "ml_dtypes",
    ),
)
SCRIPT = Path(__file__).with_name("_optimum_onnx_script.py")
MADE = "made.json"


@dataclass(frozen=True, kw_only=True)
class OptimumDecoder:
    """Its q4 graph, with the seconds and the memory of each step: ``export``, ``quantize``."""

    path: Path
    seconds: Mapping[str, float]
    peak_bytes: Mapping[str, int]


def make_decoder(text: Mapping[str, Any], name: str, work: Path, report: Report) -> OptimumDecoder:
    """Export and quantize a Qwen2 decoder of the sizes ``text`` with random weights; kept under ``name``.

    Raises:
        BenchError: its environment cannot be made, or a step fails.
    """
    python = peer_python(PEER, work, report)
    folder = work / "models" / f"{PEER.name}-{name}"
    if not (folder / MADE).is_file():
        with new_folder(folder, error=BenchError) as part:
            (part / "text.json").write_text(json.dumps(dict(text)), encoding="utf-8")
            seconds, peaks = dict[str, float](), dict[str, int]()
            for step in ("checkpoint", "export", "quantize"):
                report(f"{PEER.name}: {step}")
                done = run([str(python), str(SCRIPT), step, str(part)], what=f"{PEER.name} {step}")
                seconds[step], peaks[step] = round(done.seconds, 1), done.peak_bytes
            (part / MADE).write_text(json.dumps({"seconds": seconds, "peak_bytes": peaks}), encoding="utf-8")
    made = json.loads((folder / MADE).read_text(encoding="utf-8"))
    return OptimumDecoder(path=folder / "q4" / "model_q4.onnx", **made)
