"""A captioner brought to transformers.js as the published ones are, in the environment of optimum-onnx: STEP FOLDER.

``FOLDER/source`` is a FastVLM checkpoint, ``FOLDER/web`` gets the graphs; vision_encoder.onnx and embed_tokens.onnx in
float32 lie there already, because optimum-onnx exports no model that takes pictures. It knows nothing of this package.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PREFIX = "model.language_model."


def language(folder: Path) -> None:
    """The language model as a checkpoint of its own."""
    from safetensors.torch import load_file
    from transformers import Qwen2Config, Qwen2ForCausalLM

    text = json.loads((folder / "source" / "config.json").read_text(encoding="utf-8"))["text_config"]
    text["rope_theta"] = text.get("rope_parameters", {}).get("rope_theta", text.get("rope_theta", 10000.0))
    weights = load_file(folder / "source" / "model.safetensors")
    found = {f"model.{key.removeprefix(PREFIX)}": w.float() for key, w in weights.items() if key.startswith(PREFIX)}
    found["lm_head.weight"] = weights.get("lm_head.weight", found["model.embed_tokens.weight"]).float()
    model = Qwen2ForCausalLM(Qwen2Config(**{k: v for k, v in text.items() if k not in ("dtype", "rope_parameters")}))
    model.load_state_dict(found)
    model.save_pretrained(folder / "language")


def export(folder: Path) -> None:
    """optimum-onnx's decoder, with the one change that a captioner needs: embeddings in place of token ids."""
    import torch
    from optimum.exporters.onnx import onnx_export_from_model
    from optimum.exporters.onnx.model_configs import Qwen2OnnxConfig
    from transformers import AutoModelForCausalLM

    class WithEmbeddings(Qwen2OnnxConfig):  # type: ignore[misc]
        taking_ids = False

        @property
        def inputs(self) -> dict[str, dict[int, str]]:
            taken: dict[str, dict[int, str]] = super().inputs
            return (
                taken
                if self.taking_ids
                else {("inputs_embeds" if k == "input_ids" else k): v for k, v in taken.items()}
            )

        def generate_dummy_inputs(self, *args: Any, **options: Any) -> dict[str, Any]:
            self.taking_ids = True
            try:
                found: dict[str, Any] = super().generate_dummy_inputs(*args, **options)
            finally:
                self.taking_ids = False
            ids = found.pop("input_ids")
            return {"inputs_embeds": torch.rand(*ids.shape, width), **found}

    model = AutoModelForCausalLM.from_pretrained(folder / "language", attn_implementation="sdpa")
    width = model.config.hidden_size
    config = WithEmbeddings(model.config, task="text-generation", use_past=True, use_past_in_inputs=True)
    onnx_export_from_model(
        model,
        output=folder / "decoder",
        task="text-generation-with-past",
        custom_onnx_configs={"model": config},
        do_validation=False,
    )


def quantize(folder: Path) -> None:
    """The dtypes that the card of the published FastVLM recommends: decoder and encoder q4, embedding table fp16."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.transformers.float16 import convert_float_to_float16

    web = folder / "web" / "onnx"
    for source, name in ((folder / "decoder" / "model.onnx", "decoder_model_merged"), (None, "vision_encoder")):
        model = onnx.load(source or web / f"{name}.onnx")
        quantizer = MatMulNBitsQuantizer(model, bits=4, block_size=32, is_symmetric=True)
        quantizer.process()
        quantizer.model.save_model_to_file(str(web / f"{name}_q4.onnx"), use_external_data_format=False)
    table = convert_float_to_float16(onnx.load(web / "embed_tokens.onnx"), keep_io_types=True)
    onnx.save(table, web / "embed_tokens_fp16.onnx")
    for name in ("vision_encoder", "embed_tokens"):
        (web / f"{name}.onnx").unlink()


if __name__ == "__main__":
    {"language": language, "export": export, "quantize": quantize}[sys.argv[1]](Path(sys.argv[2]))
