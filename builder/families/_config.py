"""What of a Transformers config goes into that of a web model, where several families take the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig

TEXT_KEYS = (
    "model_type",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
    "max_position_embeddings",
    "rms_norm_eps",
    "hidden_act",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
VISION_KEYS = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size")


def text_config(text: PretrainedConfig) -> dict[str, Any]:
    """What transformers.js and its users read of a language model."""
    return {
        **{key: getattr(text, key) for key in TEXT_KEYS},
        "head_dim": getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
    }


def vision_config(vision: PretrainedConfig) -> dict[str, Any]:
    """What is told of a ViT."""
    return {key: getattr(vision, key) for key in VISION_KEYS}
