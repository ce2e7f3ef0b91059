"""Checkpoints of published architectures at full size with random weights: no bench has to download a model.

Weights are scaled so that outputs are of order 1 and normalisations hold the statistics of real inputs: what
quantization does to such a model, and how long it takes, is then like what it does to a trained one. Sizes are equal:
the tokenizer too has as many tokens, of the usual length. PyTorch is needed, as export needs it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from builder.bench._tokenizers import CHAT_ML, write_tokenizer

if TYPE_CHECKING:
    from torch import Tensor, nn

QWEN2_05B: Mapping[str, Any] = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": True,
}
SMALLEST_TOWER: Mapping[str, Any] = {
    "layers": [1, 1, 1, 1, 1],
    "embed_dims": [16, 32, 64, 64, 128],
    "mlp_ratios": [2] * 5,
}
"""Arguments of FastViTHD, as small as it gets: for where it is the decoder that counts."""
QWEN2_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>")
TOWERS = ("text_model", "vision_model")
CLIP_SPECIAL = ("<|startoftext|>", "<|endoftext|>")
QWEN2_TOKENS = 151_647
"""Tokens of Qwen2's tokenizer and ``<image>``; the embedding table has some rows more."""
CALIBRATION_SCENES = 4
BIAS_SPREAD, NORM_SCALE, NORM_SPREAD = 0.3, 0.5, 0.5
LAYER_SCALE = {"fastvlm": 0.3, "mobileclip2": 0.1}
"""timm starts with 1e-5: features would be of the order 1e-25."""
SIMILARITY = 0.5
"""Of a picture to a text, about: trained ones have 0.1 to 0.4 of a pair."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One published architecture: how its checkpoint is written into an empty folder.

    ``components`` are those to export, all of them if empty: of a dual encoder the combined graph is left out, which is
    for a pipeline that no page here uses.
    """

    name: str
    write: Callable[[Path], None]
    components: tuple[str, ...] = ()


def write_fastvlm(folder: Path, *, text: Mapping[str, Any] = QWEN2_05B, tower: Mapping[str, Any] | None = None) -> None:
    """Write FastVLM in the Transformers layout, bfloat16: FastViTHD at 1024 pixels and Qwen2-0.5B by default.

    ``tower`` lays timm's arguments over FastViTHD's, and ``text`` replaces the decoder's sizes, for smaller ones.
    """
    import torch
    from torch import nn
    from transformers import FastVlmConfig, FastVlmForConditionalGeneration

    torch.manual_seed(0)
    ids = write_tokenizer(folder, tokens=min(QWEN2_TOKENS, int(text["vocab_size"])), special=QWEN2_SPECIAL)
    width = (tower or {}).get("embed_dims", (96, 192, 384, 768, 1536))[-1] * 2
    config = FastVlmConfig(
        text_config={"model_type": "qwen2", **text, "eos_token_id": ids["<|im_end|>"]},
        vision_config={
            "model_type": "timm_wrapper",
            "architecture": "fastvit_mci3",
            "do_pooling": True,
            "hidden_size": width,
            "num_labels": 0,
            "model_args": {"inference_mode": True, **(tower or {})},
        },
        image_token_index=ids["<image>"],
        tie_word_embeddings=bool(text["tie_word_embeddings"]),
    )
    model = FastVlmForConditionalGeneration(config)
    size = 1024 if tower is None else 256
    with torch.no_grad():
        for name, parameter in model.model.vision_tower.named_parameters():
            if "gamma" in name:
                parameter.fill_(LAYER_SCALE["fastvlm"])
        pixels = _scenes(size)[:1]
        with _unit_scale(model.model.vision_tower), _unit_scale(model.model.multi_modal_projector):
            model.get_image_features(pixels, return_dict=True)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    nn.Module.to(model, torch.bfloat16)
    model.save_pretrained(folder)
    write_json(
        folder / "tokenizer_config.json",
        {
            "chat_template": CHAT_ML,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "tokenizer_class": "Qwen2Tokenizer",
        },
    )
    pictures = {
        "crop_size": {"height": size, "width": size},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.0, 0.0, 0.0],
        "image_processor_type": "CLIPImageProcessor",
        "image_std": [1.0, 1.0, 1.0],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": size},
    }
    processor = {"image_token": "<image>", "patch_size": 64, "processor_class": "LlavaProcessor"}
    write_json(folder / "processor_config.json", {"image_processor": pictures, **processor})


def write_mobileclip2(folder: Path, name: str) -> None:
    """Write an OpenCLIP checkpoint of ``name``, with its branches not yet merged, as timm publishes it."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    config = open_clip.get_model_config(name)
    model = open_clip.CustomTextCLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    size = config["vision_cfg"]["image_size"]
    words = config["text_cfg"]["vocab_size"]
    context = config["text_cfg"].get("context_length", 77)
    model.eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "layer_scale" in key or "gamma" in key:
                parameter.fill_(LAYER_SCALE["mobileclip2"])
        with _unit_scale(model):
            pictures = model.encode_image(_scenes(size))
            texts = model.encode_text(torch.randint(0, words, (CALIBRATION_SCENES, context)))
        _lean_towards(model.visual.trunk.head.fc.bias, pictures, texts)
    tensors = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    preprocess = {"mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear", "resize_mode": "shortest"}
    write_json(folder / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": preprocess})
    write_tokenizer(folder, tokens=words, special=CLIP_SPECIAL)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer"})


def _lean_towards(bias: Tensor, pictures: Tensor, texts: Tensor) -> None:
    """Give picture vectors a part of the texts' mean: similarities near 0 would be all rounding errors."""
    mean = texts.mean(dim=0)
    bias.add_(mean / mean.norm() * pictures.norm(dim=-1).mean() * SIMILARITY)


def _scenes(size: int) -> Tensor:
    """Drawn scenes as pixels from 0 to 1: float32 [4, 3, size, size]."""
    import torch

    from builder.embedded.painting import render
    from builder.embedded.score import held_out_scenes

    scenes = [render(scene, size) for scene in held_out_scenes(CALIBRATION_SCENES)]
    pixels = np.stack([np.asarray(scene, np.float32) for scene in scenes]) / 255
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


class _unit_scale:  # noqa: N801 - read as a statement: with _unit_scale(model)
    """Scale every layer of a model while data passes through it, so that what it gives has a deviation of 1.

    Normalisations by running statistics get those of the data. One pass is enough: each layer hands on what it gives
    after its weights were scaled. Biases get a spread of their own: without it a deep random network raises any change
    a hundredfold, as no trained one does. With it 8-bit weights change the features of either tower by 1 to 2 %.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.hooks: list[Any] = []

    def __enter__(self) -> None:
        from torch import nn

        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(NORM_SCALE)
                module.bias.normal_(std=NORM_SPREAD)
                self.hooks.append(module.register_forward_pre_hook(_take_statistics))
            elif isinstance(module, (nn.Conv2d, nn.Linear)):
                self.hooks.append(module.register_forward_hook(_scale))

    def __exit__(self, *error: object) -> None:
        for hook in self.hooks:
            hook.remove()


def _take_statistics(module: Any, inputs: tuple[Tensor, ...]) -> None:
    (values,) = inputs
    module.running_mean.copy_(values.mean(dim=(0, 2, 3)))
    # Not the variance: a channel that hardly varies about its mean would have its rounding errors raised.
    module.running_var.copy_(values.square().mean(dim=(0, 2, 3)).clamp_min(1e-3))


def _scale(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    del inputs
    bias: Tensor | None = module.bias
    if bias is None:
        factor = 1.0 / output.std().clamp_min(1e-6)
        module.weight.mul_(factor)
        return output * factor
    shape = (1, -1, 1, 1) if module.weight.dim() == 4 else (-1,)
    product = output - bias.reshape(shape)
    factor = 1.0 / product.std().clamp_min(1e-6)
    module.weight.mul_(factor)
    bias.normal_(std=BIAS_SPREAD)
    return product * factor + bias.reshape(shape)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")


ARCHITECTURES: Mapping[str, Architecture] = {
    found.name: found
    for found in (
        Architecture(name="FastVLM-0.5B", write=write_fastvlm),
        *(
            Architecture(name=name, write=partial(write_mobileclip2, name=name), components=TOWERS)
            for name in ("MobileCLIP2-S0", "MobileCLIP2-S4")
        ),
    )
}
