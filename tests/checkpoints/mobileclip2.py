"""MobileCLIP and MobileCLIP2 as timm publishes them: towers as they were trained, texts with and without a causal mask.

OpenCLIP's configs name a tower and nothing else about it, so small towers are registered with timm under names of
their own, of the kind by which the family knows them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import register_model
from timm.models.vision_transformer_hybrid import ConvStem, _create_vision_transformer_hybrid
from torch import nn

from tests.checkpoints._case import Case, DualEncoder, useful_weights
from tests.checkpoints._clip import save_open_clip, text_cfg

EDGE = 64
PREPROCESS = {"interpolation": "bilinear", "mean": [0.0, 0.0, 0.0], "resize_mode": "shortest", "std": [1.0, 1.0, 1.0]}


@register_model
def fastvit_test_mci(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """`fastvit_mci0`, the tower of MobileCLIP2-S0, with a block in each stage; the last one attends."""
    small = {"layers": [1, 1, 1, 1], "embed_dims": [16, 32, 64, 128]}
    return timm.create_model("fastvit_mci0", pretrained=pretrained, **{**small, **kwargs})


@register_model
def vit_test_mci(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """`vit_base_mci_224`, the tower of MobileCLIP-B and MobileCLIP2-B: convolutions before the transformer."""
    stem = ConvStem(channels=(16, 16, 64), stride=(4, 2, 2), kernel_size=(4, 2, 2), padding=0, act_layer=nn.GELU)
    small = {"img_size": EDGE, "embed_dim": 64, "depth": 2, "num_heads": 4, "no_embed_class": True}
    return _create_vision_transformer_hybrid(
        "vit_base_mci_224", backbone=stem, embed_args={"proj": False}, pretrained=pretrained, **{**small, **kwargs}
    )


@register_model
def vit_test_patch16_clip(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """`vit_large_patch14_clip_224`, the tower of MobileCLIP2-L-14."""
    small = {"img_size": EDGE, "patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 4}
    return timm.create_model("vit_large_patch14_clip_224", pretrained=pretrained, **{**small, **kwargs})


def tower_weights(model: nn.Module, seed: int = 0) -> None:
    """Useful weights; parallel branches add up, so that FastViT's features have to be brought back to order 1."""
    useful_weights(model, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "visual.trunk.head.fc.weight":
                parameter.mul_(0.001)
            elif name.endswith(("trunk.pos_embed", "trunk.cls_token")):
                drawn = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
                parameter.copy_(drawn * 0.3)  # what is the same for all pictures must not drown them


def config(tower: str, *, pool: str, causal: bool) -> dict[str, Any]:
    return {
        "embed_dim": 48,
        "vision_cfg": {
            "timm_model_name": tower,
            "timm_model_pretrained": False,
            "timm_pool": pool,
            "timm_proj": None,
            "timm_drop": 0.0,
            "timm_drop_path": 0.0,
            "image_size": EDGE,
        },
        "text_cfg": text_cfg(no_causal_mask=not causal),
        "custom_text": True,
    }


def make_fastvit(folder: Path) -> DualEncoder:
    """MobileCLIP2-S0, -S2 and -S4: FastViT with its branches, texts without a causal mask."""
    return save_open_clip(
        folder, config("fastvit_test_mci", pool="avg", causal=False), PREPROCESS, prepare=tower_weights
    )


def make_vit_hybrid(folder: Path) -> DualEncoder:
    """MobileCLIP-B and MobileCLIP2-B: ViT behind a stem of convolutions, causal texts; in bfloat16."""
    return save_open_clip(
        folder,
        config("vit_test_mci", pool="token", causal=True),
        PREPROCESS,
        prepare=tower_weights,
        dtype=torch.bfloat16,
    )


def make_vit(folder: Path) -> DualEncoder:
    """MobileCLIP2-L-14: plain ViT, texts without a causal mask."""
    return save_open_clip(
        folder, config("vit_test_patch16_clip", pool="token", causal=False), PREPROCESS, prepare=tower_weights
    )


CASES = (
    Case(name="mobileclip2-fastvit", family="mobileclip2", make=make_fastvit),
    Case(name="mobileclip2-vit-hybrid", family="mobileclip2", make=make_vit_hybrid),
    Case(name="mobileclip2-vit", family="mobileclip2", make=make_vit),
)
