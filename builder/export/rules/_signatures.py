"""What each session takes and gives, by name, as transformers.js feeds and reads it.

Source: encode_text, encode_image, decoder_forward and encoder_forward in src/models/modeling_utils.js, and the model
files of the families named here. Sessions that are not here are not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from builder.export.rules._model import WebModel
from builder.export.rules._tables import IDEFICS_LIKE, LLAVA_LIKE, TOWERS, tables

TYPES: Mapping[str, str] = {
    "input_ids": "int64",
    "attention_mask": "int64",
    "token_type_ids": "int64",
    "position_ids": "int64",
    "num_logits_to_keep": "int64",
    "pixel_values": "float32",
    "pixel_attention_mask": "bool",
    "use_cache_branch": "bool",
    "inputs_embeds": "float32",
}
"""Input → the type of the tensor that JavaScript makes for it."""

TEXT_FEEDS = ("input_ids", "attention_mask", "token_type_ids")
DECODER_FEEDS = ("inputs_embeds", "attention_mask", "position_ids", "num_logits_to_keep", "use_cache_branch")


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a session must have. ``ranks`` are of inputs and outputs; ``fed`` is None where anything may be fed."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ranks: Mapping[str, int]
    fed: frozenset[str] | None


def signature(model: WebModel, session: str) -> Signature | None:
    """The contract of one session of a model, or None where it is not known here."""
    if model.model_type in TOWERS and model.model_type in ("clip", "siglip"):
        return _contrastive(model.model_type, session)
    if model.kind == "ImageTextToText" and model.config.get("is_encoder_decoder") is not True:
        return _captioner(model, session)
    if model.kind == "DecoderOnly" and session == "model":
        return Signature(inputs=("input_ids",), outputs=("logits",), ranks={"input_ids": 2, "logits": 3}, fed=None)
    return None


def _contrastive(model_type: str, session: str) -> Signature | None:
    text, image = ("text_embeds", "image_embeds") if model_type == "clip" else ("pooler_output", "pooler_output")
    ranks = {"input_ids": 2, "attention_mask": 2, "pixel_values": 4, text: 2, image: 2, "logits_per_image": 2}
    parts = {
        "text_model": (("input_ids",), (text,), frozenset(TEXT_FEEDS)),
        "vision_model": (("pixel_values",), (image,), frozenset({"pixel_values", "pixel_mask"})),
        "model": (
            ("input_ids", "pixel_values"),
            ("logits_per_image",),
            frozenset({*TEXT_FEEDS, "pixel_values", "pixel_mask"}),
        ),
    }
    if session not in parts:
        return None
    inputs, outputs, fed = parts[session]
    return Signature(inputs=inputs, outputs=outputs, ranks=ranks, fed=fed)


def _captioner(model: WebModel, session: str) -> Signature | None:
    if session == "embed_tokens":
        ranks = {"input_ids": 2, "inputs_embeds": 3}
        return Signature(inputs=("input_ids",), outputs=("inputs_embeds",), ranks=ranks, fed=frozenset({"input_ids"}))
    if session == "vision_encoder":
        ranks = {"pixel_values": 4} if model.model_type in LLAVA_LIKE else {}
        if model.model_type in IDEFICS_LIKE:
            ranks = {"pixel_values": 5, "pixel_attention_mask": 4}
        known = model.model_type in LLAVA_LIKE | IDEFICS_LIKE
        params = tables().forward_params.get(model.model_class, ())
        fed = frozenset(params) - {"input_ids", "attention_mask", "position_ids", "past_key_values"}
        return Signature(inputs=("pixel_values",), outputs=("image_features",), ranks=ranks, fed=fed if known else None)
    if session == "decoder_model_merged":
        plain = model.model_type in LLAVA_LIKE | IDEFICS_LIKE
        ranks = {"inputs_embeds": 3, "attention_mask": 2, "num_logits_to_keep": 0, "logits": 3}
        return Signature(
            inputs=("inputs_embeds",),
            outputs=("logits",),
            ranks={**ranks, "position_ids": 2} if plain else ranks,
            fed=frozenset(DECODER_FEEDS) if plain else None,
        )
    return None
