"""CLIP as it lies on the Hub: of transformers 4 and 5, in OpenCLIP's layout, and in both side by side."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from tests.checkpoints._case import Case, DualEncoder, useful_weights, write_json
from tests.checkpoints._clip import (
    CONTEXT,
    END,
    SCALE,
    VOCABULARY,
    clip_tokenizer,
    save_open_clip,
    save_tokenizer,
    text_cfg,
)

EDGE = 64
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
LEGACY_IDS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}


def clip_config(*, legacy: bool) -> CLIPConfig:
    end = clip_tokenizer().convert_tokens_to_ids(END)
    common = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_act": "quick_gelu", "projection_dim": 48}
    return CLIPConfig(
        text_config={
            **common,
            "hidden_size": 64,
            "intermediate_size": 96,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": CONTEXT,
            **(LEGACY_IDS if legacy else {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}),
        },
        vision_config={
            **common,
            "hidden_size": 32,
            "intermediate_size": 64,
            "image_size": EDGE,
            "patch_size": 16,
        },
        projection_dim=48,
        logit_scale_init_value=math.log(SCALE),
    )


def clip_model(*, legacy: bool, seed: int = 0) -> CLIPModel:
    model = CLIPModel(clip_config(legacy=legacy))
    useful_weights(model, seed)
    return model


def encoder(model: CLIPModel) -> DualEncoder:
    """The PyTorch side, by Transformers' own methods."""
    model.eval()

    def logits(ids: Tensor, pixels: Tensor) -> Tensor:
        answer: Tensor = model(input_ids=ids, pixel_values=pixels).logits_per_image
        return answer

    return DualEncoder(
        texts=lambda ids: model.get_text_features(input_ids=ids).pooler_output,
        images=lambda pixels: model.get_image_features(pixel_values=pixels).pooler_output,
        logits=logits,
    )


def make_old(folder: Path) -> DualEncoder:
    """openai/clip-vit-base-patch32: plain numbers for sizes, an end mark called 2, counters among the weights."""
    model = clip_model(legacy=True)
    config = json.loads(model.config.to_json_string(use_diff=False))
    write_json(folder / "config.json", {**config, "architectures": ["CLIPModel"], "transformers_version": None})
    positions = {
        f"{tower}_model.embeddings.position_ids": torch.arange(length)[None]
        for tower, length in (("text", CONTEXT), ("vision", (EDGE // 16) ** 2 + 1))
    }
    save_file({**model.state_dict(), **positions}, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(
        folder / "preprocessor_config.json",
        {
            "crop_size": EDGE,
            "do_center_crop": True,
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "image_mean": MEAN,
            "image_std": STD,
            "resample": 3,
            "size": EDGE,
        },
    )
    save_tokenizer(folder)
    return encoder(model)


def make_new(folder: Path) -> DualEncoder:
    """A fine-tune saved by transformers 5 in bfloat16: shards, one processor_config.json, its end mark by its id."""
    model = clip_model(legacy=False).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="200KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    write_json(
        folder / "processor_config.json",
        {
            "image_processor": {
                "crop_size": {"height": EDGE, "width": EDGE},
                "data_format": "channels_first",
                "image_mean": MEAN,
                "image_processor_type": "CLIPImageProcessorPil",
                "image_std": STD,
                "resample": 3,
                "size": {"shortest_edge": EDGE},
            },
            "processor_class": "CLIPProcessor",
        },
    )
    clip_tokenizer().save_pretrained(folder)
    return encoder(model.float())


def vision_cfg() -> dict[str, Any]:
    return {"image_size": EDGE, "layers": 2, "width": 64, "head_width": 16, "patch_size": 16}


def make_open_clip(folder: Path) -> DualEncoder:
    """apple/DFN5B-CLIP-ViT-*: OpenCLIP's layout, QuickGELU, pictures stretched to the square."""
    config = {"embed_dim": 48, "quick_gelu": True, "vision_cfg": vision_cfg(), "text_cfg": text_cfg()}
    preprocess = {"interpolation": "bicubic", "mean": MEAN, "resize_mode": "squash", "size": [EDGE, EDGE], "std": STD}
    return save_open_clip(folder, config, preprocess, dtype=torch.float16)


def make_both_layouts(folder: Path) -> DualEncoder:
    """laion/CLIP-ViT-B-32-laion2B-*: both layouts in one folder; here of two models, so that it shows which is read."""
    make_old(folder)
    config = {"embed_dim": 40, "vision_cfg": vision_cfg(), "text_cfg": text_cfg()}
    return save_open_clip(folder, config, {"mean": MEAN, "std": STD})


CASES = (
    Case(name="clip-v4", family="clip", make=make_old),
    Case(name="clip-v5-bf16-shards", family="clip", make=make_new),
    Case(name="clip-open-clip", family="clip", make=make_open_clip),
    Case(name="clip-both-layouts", family="clip", make=make_both_layouts),
)
