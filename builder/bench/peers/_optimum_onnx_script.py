"""What runs in the environment of optimum-onnx, as STEP FOLDER. It knows nothing of this package."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def checkpoint(folder: Path) -> None:
    """A Qwen2 with random weights."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    text = json.loads((folder / "text.json").read_text(encoding="utf-8"))
    Qwen2ForCausalLM(Qwen2Config(**text)).save_pretrained(folder / "checkpoint")


def export(folder: Path) -> None:
    from optimum.exporters.onnx import main_export

    main_export(
        str(folder / "checkpoint"), output=folder / "onnx", task="text-generation-with-past", do_validation=False
    )


def export_clip(folder: Path) -> None:
    from optimum.exporters.onnx import main_export

    main_export(str(folder / "checkpoint"), output=folder / "onnx", task="feature-extraction", do_validation=False)


def quantize(folder: Path) -> None:
    """As quantize.py of transformers.js does q4: blocks of 32, symmetric, every MatMul."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model = onnx.load(folder / "onnx" / "model.onnx")
    quantizer = MatMulNBitsQuantizer(model, bits=4, block_size=32, is_symmetric=True)
    quantizer.process()
    (folder / "q4").mkdir()
    quantizer.model.save_model_to_file(str(folder / "q4" / "model_q4.onnx"), use_external_data_format=True)


if __name__ == "__main__":
    steps = {"checkpoint": checkpoint, "export": export, "export_clip": export_clip, "quantize": quantize}
    steps[sys.argv[1]](Path(sys.argv[2]))
