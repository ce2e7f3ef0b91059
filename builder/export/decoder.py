"""Language decoders, built by onnxruntime-genai: grouped attention, fused norms and rotary, last-token logits.

The builder gets the language model as a plain checkpoint in a temporary folder. Its graph is then brought to what
transformers.js expects; each change below says what goes wrong without it.
"""

from __future__ import annotations

import io
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import onnx

from builder.errors import ExportError
from builder.families import Language
from builder.logs import keep_root_logger


def build_decoder(language: Language, path: Path) -> None:
    """Write ``decoder_model_merged`` in float32 and check it against PyTorch, prompt and one cached step.

    Raises:
        ExportError: the builder does not know the architecture, or the logits differ by more than the tolerance.
    """
    with keep_root_logger():
        from onnxruntime_genai.models import builder as genai

    with tempfile.TemporaryDirectory(prefix="webgpu-demo-") as scratch:
        plain, built, cache = (Path(scratch) / name for name in ("plain", "built", "cache"))
        log = io.StringIO()
        with redirect_stdout(log), redirect_stderr(log):
            language.model.save_pretrained(plain)
            try:
                options = genai.parse_extra_options(
                    None, str(plain), str(built), "fp32", "webgpu", str(cache),
                    ["exclude_embeds=true", "prune_lm_head=true", "use_webgpu_fp32=true", "hf_token=false"],
                )  # fmt: skip
                genai.create_model(None, str(plain), str(built), "fp32", "webgpu", str(cache), **options)
            except (NotImplementedError, ValueError, KeyError) as error:
                kind = language.model.config.model_type
                raise ExportError(
                    f"onnxruntime-genai cannot build a {kind} decoder: {error}",
                    hint="its builder lists the architectures that it knows",
                ) from error
        model = onnx.load(str(built / "model.onnx"))
    _fit_transformers_js(model, language)
    onnx.save(model, path)
    _check_parity(language, path)


def _fit_transformers_js(model: onnx.ModelProto, language: Language) -> None:
    config = language.model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    for value in (*model.graph.input, *model.graph.output):
        axes = value.type.tensor_type.shape.dim
        if value.name.startswith(("past_key_values.", "present.")):
            # The builder leaves head_dim symbolic; transformers.js resolves unknown symbols to 0 and the first token
            # fails: "Input 'past_key' dimension 3 should match the packed KV head dimension, got 0".
            axes[1].dim_value = config.num_key_value_heads
            axes[3].dim_value = head_dim
    model.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""


def embedding_table(language: Language) -> np.ndarray:
    """The model's embedding table as float32 [vocabulary, D]."""
    from torch import nn

    embedding = language.model.get_input_embeddings()
    assert isinstance(embedding, nn.Embedding)
    table: np.ndarray = embedding.weight.detach().float().numpy()
    return table


def empty_cache(session_inputs: dict[str, list[int | str]]) -> dict[str, np.ndarray]:
    """A cache of length 0 for every ``past_key_values`` input; name → declared shape."""
    return {
        name: np.zeros((1, int(shape[1]), 0, int(shape[3])), np.float32)
        for name, shape in session_inputs.items()
        if name.startswith("past_key_values.")
    }


def _check_parity(language: Language, path: Path) -> None:
    import onnxruntime as ort
    import torch

    width = language.model.config.hidden_size
    generator = torch.Generator().manual_seed(0)
    scale = float(embedding_table(language).std())
    embeds = torch.randn(1, 9, width, generator=generator) * scale
    with torch.no_grad():
        wanted = language.model(inputs_embeds=embeds).logits.numpy()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    cache = empty_cache({i.name: i.shape for i in session.get_inputs()})
    names = [o.name for o in session.get_outputs()]
    for start, stop in ((0, 8), (8, 9)):
        feeds = {
            "inputs_embeds": embeds[:, start:stop].numpy(),
            "attention_mask": np.ones((1, stop), np.int64),
            **cache,
        }
        got = dict(zip(names, session.run(None, feeds), strict=True))
        cache = {
            name.replace("present.", "past_key_values."): value
            for name, value in got.items()
            if name.startswith("present.")
        }
        off = float(np.abs(got["logits"][0, -1] - wanted[0, stop - 1]).max() / np.abs(wanted).max())
        if not off <= language.tolerance:
            raise ExportError(
                f"the decoder differs from PyTorch by {off:.2e} of its largest logit "
                f"({language.tolerance:.0e} is allowed)",
                hint="this is a fault of the export: please report it with the checkpoint's config.json",
            )
