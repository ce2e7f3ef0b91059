"""Language decoders, built by onnxruntime-genai: grouped attention, fused norms and rotary, last-token logits.

The builder gets the language model as a plain checkpoint in a scratch folder, in the dtype that it came in. Its graph
is then brought to what transformers.js expects; each change below says what goes wrong without it.

A layer of Llama, Mistral or Qwen2 without biases has at most 12 nodes. Each bias adds one, and heads whose width is no
multiple of 16 add four: their rotary embedding stands outside of attention, which then takes ``position_ids``.
"""

from __future__ import annotations

import gc
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from builder.errors import ExportError
from builder.graphs import CHUNK_BYTES, save_graph
from builder.logs import keep_root_logger

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel

    from builder.families import Language

HEAD_MULTIPLE = 8
"""onnxruntime's GroupQueryAttention: "head_size must be a multiple of 8"."""
FUSED_ROTARY_MULTIPLE = 16
"""onnxruntime's GroupQueryAttention: "head_size shall be a multiple of 16" where it does the rotary embedding."""
FIXED_ROPE_TYPES = ("default", "linear", "llama3", "yarn")
"""Those whose angles depend on the position alone; those of dynamic and longrope change with the prompt's length."""
MOST_CHECKED_ROWS = 64


def check_config(config: PretrainedConfig) -> None:
    """Refuse what cannot be exported, before any work is done.

    Raises:
        ExportError: the heads have a width that onnxruntime does not take, the rotary angles of a position change with
            the length of the prompt, or layers are as wide as the vocabulary.
    """
    if _head_dim(config) % HEAD_MULTIPLE:
        raise ExportError(
            f"heads of the {config.model_type} decoder are {_head_dim(config)} wide: onnxruntime's attention takes "
            f"multiples of {HEAD_MULTIPLE}",
            hint=f"train with a head_dim that is a multiple of {FUSED_ROTARY_MULTIPLE}",
        )
    for width in ("intermediate_size", "hidden_size"):
        # The builder knows the output head by its width.
        if config.vocab_size == getattr(config, width, None):
            raise ExportError(
                f"{width} of the {config.model_type} decoder is its vocab_size, {config.vocab_size}: "
                "onnxruntime-genai takes such layers for the output head",
                hint=f"train with another {width}, or add a row to the embedding table and to the head",
            )
    kind = _rope(config)["rope_type"]
    if kind not in FIXED_ROPE_TYPES:
        raise ExportError(
            f"rope_type {kind!r} of the {config.model_type} decoder cannot be exported: its angles are no fixed table",
            hint=f"types that can: {', '.join(FIXED_ROPE_TYPES)}; export a checkpoint that uses one of these",
        )


def _rope(config: PretrainedConfig) -> dict[str, Any]:
    return {"rope_type": "default", **(getattr(config, "rope_parameters", None) or {})}


def _head_dim(config: PretrainedConfig) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _window(config: PretrainedConfig) -> int | None:
    """How many positions Mistral's layers look back on, their own included; None for all."""
    return getattr(config, "sliding_window", None) if config.model_type == "mistral" else None


def save_plain(language: Language, folder: Path) -> None:
    """Write the language model as a checkpoint of its own, a shard at a time."""
    from huggingface_hub import save_torch_state_dict
    from transformers import AutoModelForCausalLM

    config = language.config
    kind: Any = AutoModelForCausalLM._model_mapping[type(config)]
    config.architectures = [kind.__name__]
    config.tie_word_embeddings = "lm_head.weight" not in language.weights
    config.save_pretrained(folder)
    _save_stand_in_tokenizer(folder)
    tensors = {name: tensor.detach().contiguous() for name, tensor in language.weights.items()}
    save_torch_state_dict(tensors, folder, max_shard_size="512MB", metadata={"format": "pt"})


def _save_stand_in_tokenizer(folder: Path) -> None:
    """Write a tokenizer of one word.

    The builder loads one, to describe to its own runtime where answers end; without a file Transformers makes an empty
    one for Qwen2, but for Llama: "You need to have sentencepiece or tiktoken installed".
    """
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({"end": 0}, unk_token="end")).save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "end"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def build_decoder(plain: Path, path: Path, *, tolerance: float, chunk_bytes: int = CHUNK_BYTES) -> None:
    """Write ``decoder_model_merged`` in float32 from a plain checkpoint and check it against PyTorch.

    Raises:
        ExportError: `check_config` refuses, the builder fails, weights are not finite, or the logits differ by more
            than ``tolerance``.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(plain)
    check_config(config)
    built = plain.with_name("built")
    _run_builder(plain, built, config)
    model = ir.load(built / "model.onnx")
    _write_rotary_tables(model, config)
    _fit_transformers_js(model, config)
    save_graph(model, path, chunk_bytes=chunk_bytes)
    del model  # in cycles, and with all weights mapped
    gc.collect()
    _check_parity(plain, path, tolerance)


def _run_builder(plain: Path, built: Path, config: PretrainedConfig) -> None:
    with keep_root_logger():
        from onnxruntime_genai.models import builder as genai

    fused = _head_dim(config) % FUSED_ROTARY_MULTIPLE == 0
    names, cache = (str(plain), str(built), "fp32", "webgpu"), str(plain.with_name("cache"))
    settings = ["exclude_embeds=true", "prune_lm_head=true", "use_webgpu_fp32=true", "hf_token=false"]
    log = io.StringIO()
    with (
        _default_rope(plain),
        _rotary_in_attention(genai.Model, fused=fused),
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        try:
            options = genai.parse_extra_options(None, *names, cache, [*settings, f"fuse_qkv={str(fused).lower()}"])
            genai.create_model(None, *names, cache, **options)
        except Exception as error:
            raise ExportError(
                f"onnxruntime-genai cannot build a {config.model_type} decoder: {type(error).__name__}: {error}",
                hint="please report this with the checkpoint's config.json",
            ) from error


@contextmanager
def _default_rope(plain: Path) -> Iterator[None]:
    """Show the builder plain rotary embeddings: it computes other types wrongly, or divides by zero."""
    path = plain / "config.json"
    text = path.read_text(encoding="utf-8")
    settings = json.loads(text)
    rope = settings.get("rope_parameters") or {}
    settings["rope_parameters"] = {"rope_type": "default", "rope_theta": rope.get("rope_theta", 10000.0)}
    path.write_text(json.dumps(settings), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


@contextmanager
def _rotary_in_attention(base: Any, *, fused: bool) -> Iterator[None]:
    """Have the builder make rotary embeddings in attention, or as nodes of their own: it has no option for it."""
    original = base.is_fused_rope_supported
    base.is_fused_rope_supported = lambda _: fused
    try:
        yield
    finally:
        base.is_fused_rope_supported = original


def _write_rotary_tables(model: ir.Model, config: PretrainedConfig) -> None:
    """Replace cos_cache and sin_cache, [positions, head_dim / 2], by those of Transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    kind: Any = AutoModelForCausalLM._model_mapping[type(config)]
    names = vars(sys.modules[kind.__module__])
    rotary = next(value for name, value in names.items() if name.endswith("RotaryEmbedding"))(config)
    positions = torch.arange(config.max_position_embeddings)[None]
    with torch.no_grad():
        tables = rotary(torch.zeros(1), positions)
    for name, table in zip(("cos_cache", "sin_cache"), tables, strict=True):
        half = np.ascontiguousarray(table[0, :, : table.shape[-1] // 2].numpy())
        value = model.graph.initializers[name]
        value.const_value = ir.Tensor(half, name=name)
        value.shape = ir.Shape(half.shape)


def _fit_transformers_js(model: ir.Model, config: PretrainedConfig) -> None:
    head_dim, window = _head_dim(config), _window(config)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.name is not None and value.name.startswith(("past_key_values.", "present.")):
            assert value.shape is not None
            # The builder leaves head_dim symbolic; transformers.js resolves unknown symbols to 0 and the first token
            # fails: "Input 'past_key' dimension 3 should match the packed KV head dimension, got 0".
            value.shape = ir.Shape([value.shape[0], heads, value.shape[2], head_dim])
    model.metadata_props.clear()
    model.graph.doc_string = None
    for node in model.graph.all_nodes():
        node.doc_string = None
        node.metadata_props.clear()
        if node.op_type == "GroupQueryAttention" and window is not None:
            # The builder knows windows of single layers; that Mistral's holds for all of them, it overlooks.
            node.attributes["local_window_size"] = ir.AttrInt64("local_window_size", window)


def _check_parity(plain: Path, path: Path, tolerance: float) -> None:
    """Compare the logits of a prompt's last row, and of one row more on its cache, with PyTorch's.

    The prompt has 8 rows; 4 more than the window where there is one, but no more than 64. Nothing beyond these
    positions is compared: not the far end of a wider window, nor of the rotary tables.
    """
    from builder.sessions import Session

    embeds, wanted = _ask_pytorch(plain)
    gc.collect()  # PyTorch's model is full of cycles, and onnxruntime's comes next
    rows = wanted.shape[1] - 1
    session = Session(path, prepack=False)
    cache = session.empty_cache()
    for start, stop in ((0, rows), (rows, rows + 1)):
        fed = {"inputs_embeds": embeds[:, start:stop], "attention_mask": np.ones((1, stop), np.int64)}
        if "position_ids" in session.inputs:
            fed["position_ids"] = np.arange(start, stop)[None]
        got = session.run({**fed, **cache})
        cache = {n.replace("present.", "past_key_values."): v for n, v in got.items() if n.startswith("present.")}
        off = float(np.abs(got["logits"][0, -1] - wanted[0, stop - 1]).max() / np.abs(wanted).max())
        if not off <= tolerance:
            raise ExportError(
                f"the decoder differs from PyTorch by {off:.2e} of its largest logit ({tolerance:.0e} is allowed)",
                hint="this is a fault of the export: please report it with the checkpoint's config.json",
            )


def _ask_pytorch(plain: Path) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [1, rows + 1, D] as long as `_check_parity` wants them, and the logits [1, rows + 1, vocabulary] of each.

    Weights stay mapped in the dtype that they came in, and are float32 only while their layer runs.

    Raises:
        ExportError: the logits are not finite.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(plain, dtype="auto", use_safetensors=True)
    model.train(False)
    for module in model.modules():
        if any(True for _ in module.parameters(recurse=False)):
            _widen_while_it_runs(module)
    window = _window(model.config)
    rows = 8 if window is None else max(8, min(window + 4, MOST_CHECKED_ROWS))
    table = model.get_input_embeddings().weight
    assert isinstance(table, torch.Tensor)
    scale = float(table[:1000].detach().float().std())
    embeds = torch.randn(1, rows + 1, model.config.hidden_size, generator=torch.Generator().manual_seed(0)) * scale
    with torch.no_grad():
        wanted = model(inputs_embeds=embeds).logits.numpy()
    if not np.isfinite(wanted).all():
        raise _not_finite(model)
    return embeds.numpy(), wanted


def _widen_while_it_runs(module: nn.Module) -> None:
    """Make the weights of one layer float32 before it runs, and give that memory back afterwards."""
    narrow = {name: weight.data for name, weight in module.named_parameters(recurse=False)}

    def widen(module: nn.Module, inputs: object) -> None:
        for name, weight in module.named_parameters(recurse=False):
            weight.data = narrow[name].float()

    def restore(module: nn.Module, inputs: object, output: object) -> None:
        for name, weight in module.named_parameters(recurse=False):
            weight.data = narrow[name]

    module.register_forward_pre_hook(widen)
    module.register_forward_hook(restore)


def _not_finite(model: PreTrainedModel) -> ExportError:
    """Tell whose fault it is that PyTorch's own logits are NaN or infinite."""
    names = [name for name, weight in model.named_parameters() if not bool(weight.detach().isfinite().all())]
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        what = f"the checkpoint's weights are not finite: {names[0]}{more} hold NaN or infinities"
    else:
        what = "the checkpoint's own logits are NaN or infinite in PyTorch, though its weights are finite"
    return ExportError(what, hint="download the checkpoint anew, or export one that answers in PyTorch")
