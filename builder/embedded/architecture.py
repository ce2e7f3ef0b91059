"""What the embedded models are made of, in their big sisters' own classes and configurations.

scenes-vlm is a `FastVlmForConditionalGeneration` (FastViT tower, two-layer projector, Qwen2 decoder) and scenes-clip
an open_clip model with the same tower, as FastVLM-0.5B and MobileCLIP2-S0 are. Needs the ``export`` extra.
"""

from __future__ import annotations

from typing import Any

import timm
from timm.models import register_model
from timm.models.fastvit import FastVit

from builder.embedded.vocabulary import CHAT_VOCABULARY, CLIP_CONTEXT, CLIP_VOCABULARY

IMAGE_SIZE = 128
STRIDE = 32
IMAGE_TOKENS = (IMAGE_SIZE // STRIDE) ** 2
TOWER_WIDTH = 384
"""Channels of the tower's last feature map: twice the last stage, as FastVLM's 3072 are twice 1536."""
TOWER_ARGS: dict[str, Any] = {"layers": [2, 2, 4, 2], "embed_dims": [24, 48, 96, 192], "stem_use_scale_branch": False}
"""What makes `fastvit_mci0`, MobileCLIP2-S0's tower, small."""
TEXT_WIDTH = 192
EMBED_WIDTH = 128


@register_model
def fastvit_scenes(pretrained: bool = False, **kwargs: Any) -> FastVit:
    """Scenes' tower under a name of its own: open_clip's config has no place for a tower's arguments."""
    tower = timm.create_model("fastvit_mci0", pretrained=pretrained, **{**TOWER_ARGS, **kwargs})
    assert isinstance(tower, FastVit)
    return tower


def clip_config() -> dict[str, Any]:
    """open_clip's ``model_cfg`` of scenes-clip."""
    return {
        "embed_dim": EMBED_WIDTH,
        "vision_cfg": {
            "timm_model_name": "fastvit_scenes",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": None,
            "timm_drop": 0.0,
            "timm_drop_path": 0.0,
            "image_size": IMAGE_SIZE,
        },
        "text_cfg": {
            "context_length": CLIP_CONTEXT,
            "vocab_size": CLIP_VOCABULARY,
            "width": 128,
            "heads": 4,
            "layers": 3,
            "no_causal_mask": True,
        },
        "custom_text": True,
    }


def text_config(*, bos: int, eos: int) -> dict[str, Any]:
    """Qwen2's configuration at small size."""
    return {
        "model_type": "qwen2",
        "vocab_size": CHAT_VOCABULARY,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 384,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "bos_token_id": bos,
        "eos_token_id": eos,
    }
