"""What the tiny dual encoders of three families share: CLIP's tokenizer made small, and OpenCLIP's layout."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTokenizer

from tests.checkpoints._case import DualEncoder, useful_weights, write_json

START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 600
CONTEXT = 16
SCALE = 12.0
"""Factor of the similarities: small enough that no softmax or sigmoid of a few labels is 0 or 1."""


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer with its first merges only; as there, "!" is token 0 and the end mark the last one."""
    own = open_clip.SimpleTokenizer()
    merges = list(own.bpe_ranks)[: VOCABULARY - 2 - 512]
    tokens = [*list(own.encoder)[:512], *("".join(pair) for pair in merges), START, END]
    vocab = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CONTEXT)


def save_tokenizer(folder: Path, **settings: object) -> None:
    """tokenizer.json and a tokenizer_config.json as OpenAI's checkpoints have it, with ``settings`` laid over."""
    clip_tokenizer().backend_tokenizer.save(str(folder / "tokenizer.json"))
    token = {"__type": "AddedToken", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    own = {
        "add_prefix_space": False,
        "bos_token": {**token, "content": START},
        "do_lower_case": True,
        "eos_token": {**token, "content": END},
        "errors": "replace",
        "model_max_length": CONTEXT,
        "pad_token": END,
        "tokenizer_class": "CLIPTokenizer",
        "unk_token": {**token, "content": END},
    }
    write_json(folder / "tokenizer_config.json", {**own, **settings})


def text_cfg(**more: object) -> dict[str, Any]:
    return {"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": 64, "heads": 4, "layers": 2, **more}


def open_clip_encoder(model: Any) -> DualEncoder:
    model.eval()

    def logits(ids: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = model.get_logits(pixels, ids)[0]
        return answer

    return DualEncoder(texts=model.encode_text, images=model.encode_image, logits=logits)


def save_open_clip(
    folder: Path,
    config: dict[str, Any],
    preprocess: dict[str, Any],
    *,
    dtype: torch.dtype = torch.float32,
    tokenizer: bool = True,
    prepare: Any = useful_weights,
) -> DualEncoder:
    """Write OpenCLIP's two files, and a tokenizer; the PyTorch side is OpenCLIP's own class, not reparameterized."""
    custom = config.get("custom_text") or config["vision_cfg"].get("timm_model_name")
    model: nn.Module = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(
        config["embed_dim"], config["vision_cfg"], config["text_cfg"], quick_gelu=config.get("quick_gelu", False)
    )
    prepare(model)
    with torch.no_grad():
        model.get_parameter("logit_scale").fill_(math.log(SCALE))
    model.to(dtype).float()
    weights = {name: tensor.to(dtype).contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": preprocess})
    if tokenizer:
        save_tokenizer(folder)
    return open_clip_encoder(model)
