"""optimum-onnx's export, quantized with onnxruntime's MatMulNBits as the scripts of transformers.js did it.

Its language models have token ids for inputs, attention out of single operators, and logits for every position.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.bench._contract import Report
from builder.bench._processes import run
from builder.bench.peers._contract import Peer
from builder.bench.peers._environment import peer_python
from builder.errors import BenchError
from builder.folders import new_folder
from builder.manifest import FILE_NAME, file_sha256

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
CAPTIONER_SCRIPT = Path(__file__).with_name("_web_model_script.py")
MADE = "made.json"


@dataclass(frozen=True, kw_only=True)
class OptimumModel:
    """Its q4 graph, with the seconds and the memory of each step: ``export``, ``quantize``."""

    path: Path
    seconds: Mapping[str, float]
    peak_bytes: Mapping[str, int]


def make_decoder(text: Mapping[str, Any], name: str, work: Path, report: Report) -> OptimumModel:
    """Export and quantize a Qwen2 decoder of the sizes ``text`` with random weights; kept under ``name``.

    Raises:
        BenchError: its environment cannot be made, or a step fails.
    """
    settings = json.dumps(dict(text))

    def prepare(part: Path) -> None:
        (part / "text.json").write_text(settings, encoding="utf-8")

    return _make(name, prepare, {"checkpoint": "checkpoint", "export": "export", "quantize": "quantize"}, work, report)


def make_clip(checkpoint: Path, name: str, work: Path, report: Report) -> OptimumModel:
    """Export and quantize a CLIP checkpoint in Transformers' layout; kept under ``name``.

    Raises:
        BenchError: its environment cannot be made, or a step fails.
    """

    def prepare(part: Path) -> None:
        shutil.copytree(checkpoint, part / "checkpoint")

    return _make(name, prepare, {"export": "export_clip", "quantize": "quantize"}, work, report)


def _make(
    name: str, prepare: Callable[[Path], None], steps: Mapping[str, str], work: Path, report: Report
) -> OptimumModel:
    """``steps``: what a step counts as → its name in the script."""
    python = peer_python(PEER, work, report)
    folder = work / "models" / f"{PEER.name}-{name}"
    if not (folder / MADE).is_file():
        with new_folder(folder, error=BenchError) as part:
            prepare(part)
            seconds, peaks = dict[str, float](), dict[str, int]()
            for step, script_step in steps.items():
                report(f"{PEER.name}: {name}, {step}")
                done = run([str(python), str(SCRIPT), script_step, str(part)], what=f"{PEER.name} {step}")
                seconds[step], peaks[step] = round(done.seconds, 1), done.peak_bytes
            (part / MADE).write_text(json.dumps({"seconds": seconds, "peak_bytes": peaks}), encoding="utf-8")
    made = json.loads((folder / MADE).read_text(encoding="utf-8"))
    return OptimumModel(path=folder / "q4" / "model_q4.onnx", **made)


CAPTIONER_DTYPES = {"decoder_model_merged": "q4", "embed_tokens": "fp16", "vision_encoder": "q4"}
"""As the card of the published FastVLM recommends."""


def make_captioner(checkpoint: Path, plain: Path, name: str, work: Path, report: Report) -> Path:
    """Bring a FastVLM checkpoint to transformers.js as the published ones are; kept under ``name``.

    Encoder and embedding table are those of ``plain``, our float32 web model of it, because optimum-onnx exports no
    model that takes pictures; the decoder is optimum-onnx's, and all three are quantized as usual.

    Raises:
        BenchError: its environment cannot be made, or a step fails.
    """
    python = peer_python(PEER, work, report)
    # Under the digest of its manifest: another version of this package may bring or make another model.
    folder = work / "models" / f"{PEER.name}-{name}-{file_sha256(plain / FILE_NAME)[:8]}"
    if not folder.is_dir():
        with new_folder(folder, error=BenchError) as part:
            (part / "onnx").mkdir()
            scratch = part / ".scratch"
            shutil.copytree(checkpoint, scratch / "source")
            (scratch / "web").symlink_to(part, target_is_directory=True)
            for file in plain.glob("*.json"):
                shutil.copy(file, part)
            for component in ("embed_tokens", "vision_encoder"):
                for file in (plain / "onnx").glob(f"{component}.onnx*"):
                    shutil.copy(file, part / "onnx")
            for step in ("language", "export", "quantize"):
                report(f"{PEER.name}: {name}, {step}")
                run([str(python), str(CAPTIONER_SCRIPT), step, str(scratch)], what=f"{PEER.name} {step}")
            shutil.rmtree(scratch)
    return folder
