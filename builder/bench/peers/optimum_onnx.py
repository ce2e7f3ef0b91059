"""optimum-onnx's export, quantized with onnxruntime's MatMulNBits as the scripts of transformers.js did it.

Its language models have token ids for inputs, attention out of single operators, and logits for every position.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.bench._contract import Report
from builder.bench._processes import Finished, run
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
DECODER_STEPS = {"export": "export", "quantize": "quantize"}
CLIP_STEPS = {"export": "export_clip", "quantize": "quantize"}
"""What a step counts as → its name in the script."""


def make_decoder(text: Mapping[str, Any], name: str, work: Path, report: Report) -> Path:
    """The q4 graph of a Qwen2 decoder of the sizes ``text`` with random weights, kept.

    Raises:
        BenchError: its environment cannot be made, or a step fails.
    """
    checkpoint = make_decoder_checkpoint(text, name, work, report)
    folder = work / "models" / f"{PEER.name}-{checkpoint.name}"
    if not folder.is_dir():
        with new_folder(folder, error=BenchError) as part:
            run_steps(checkpoint, part, DECODER_STEPS, work, report)
            (part / "checkpoint").unlink()
            shutil.rmtree(part / "onnx")
    return folder / "q4" / "model_q4.onnx"


def make_decoder_checkpoint(text: Mapping[str, Any], name: str, work: Path, report: Report) -> Path:
    """A Qwen2 checkpoint of the sizes ``text`` with random weights, kept.

    Raises:
        BenchError: the peer's environment cannot be made, or the checkpoint cannot be written.
    """
    python = peer_python(PEER, work, report)
    settings = json.dumps(dict(text))
    folder = work / "checkpoints" / f"{name}-{_digest(settings)}"
    if not folder.is_dir():
        with new_folder(folder, error=BenchError) as part:
            (part / "text.json").write_text(settings, encoding="utf-8")
            report(f"{PEER.name}: {name}, checkpoint")
            run([str(python), str(SCRIPT), "checkpoint", str(part)], what=f"{PEER.name} checkpoint")
    return folder


def run_steps(
    checkpoint: Path, folder: Path, steps: Mapping[str, str], work: Path, report: Report
) -> dict[str, Finished]:
    """Export a checkpoint into the empty ``folder`` and quantize it there: what each step took.

    Raises:
        BenchError: its environment cannot be made, or a step fails.
    """
    python = peer_python(PEER, work, report)
    inner = checkpoint / "checkpoint"
    (folder / "checkpoint").symlink_to(inner if inner.is_dir() else checkpoint, target_is_directory=True)
    taken = {}
    for step, script_step in steps.items():
        report(f"{PEER.name}: {checkpoint.name}, {step}")
        taken[step] = run([str(python), str(SCRIPT), script_step, str(folder)], what=f"{PEER.name} {step}")
    return taken


def _digest(more: str) -> str:
    """Of all that makes its models: another script or another version makes them anew."""
    digest = hashlib.sha256("\n".join([*PEER.requirements, more]).encode())
    for script in (SCRIPT, CAPTIONER_SCRIPT):
        digest.update(script.read_bytes())
    return digest.hexdigest()[:16]


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
    # Another version of this package may bring or make another model.
    folder = work / "models" / f"{PEER.name}-{name}-{_digest(file_sha256(plain / FILE_NAME))}"
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
