"""What transformers.js knows by name: model types, classes, processors, dtypes, sessions.

The lists come from `transformersjs.json`, which a test holds against the source of the version it names; the session
table repeats src/models/session_config.js.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MAX_OPSET = 26
MAX_IR_VERSION = 13
"""The newest that the onnxruntime-web of transformers.js 4.3.1 (1.31.0-dev.20260914) opens; tried, one by one."""

OPERATOR_DOMAINS = frozenset(
    {"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "com.microsoft", "com.ms.internal.nhwc"}
)
"""Operator sets in onnxruntime-web. com.microsoft.nchwc is not: those graphs were optimised for one kind of CPU."""


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The contents of transformersjs.json; see tests/export/read_transformersjs.mjs for what each is read from."""

    version: str
    max_external_chunks: int
    dtype_suffixes: Mapping[str, str]
    model_classes: Mapping[str, tuple[str, ...]]
    class_kinds: Mapping[str, str]
    forward_params: Mapping[str, tuple[str, ...]]
    layer_keys: Mapping[str, str]
    processors: frozenset[str]
    processors_with_tokenizer: frozenset[str]
    processors_reading_processor_config: frozenset[str]
    processors_reading_chat_template_file: frozenset[str]
    image_processors: frozenset[str]
    feature_extractors: frozenset[str]

    def kind(self, class_name: str) -> str:
        return self.class_kinds.get(class_name, "EncoderOnly")


@cache
def tables() -> Tables:
    """Read the stored tables once."""
    raw = json.loads(Path(__file__).with_name("transformersjs.json").read_text(encoding="utf-8"))
    return Tables(
        version=raw["version"],
        max_external_chunks=raw["max_external_chunks"],
        dtype_suffixes=raw["dtype_suffixes"],
        model_classes={key: tuple(value) for key, value in raw["model_classes"].items()},
        class_kinds=raw["class_kinds"],
        forward_params={key: tuple(value) for key, value in raw["forward_params"].items()},
        layer_keys=raw["layer_keys"],
        processors=frozenset(raw["processors"]),
        processors_with_tokenizer=frozenset(raw["processors_with_tokenizer"]),
        processors_reading_processor_config=frozenset(raw["processors_reading_processor_config"]),
        processors_reading_chat_template_file=frozenset(raw["processors_reading_chat_template_file"]),
        image_processors=frozenset(raw["image_processors"]),
        feature_extractors=frozenset(raw["feature_extractors"]),
    )


MERGED = ("encoder_model", "decoder_model_merged")
SESSIONS: Mapping[str, tuple[str, ...]] = {
    "Seq2Seq": MERGED,
    "Vision2Seq": MERGED,
    "EncoderDecoder": MERGED,
    "Musicgen": ("text_encoder", "decoder_model_merged", "encodec_decode"),
    "MaskGeneration": ("vision_encoder", "prompt_encoder_mask_decoder"),
    "ImageTextToText": ("embed_tokens", "vision_encoder", "decoder_model_merged"),
    "AudioTextToText": ("embed_tokens", "audio_encoder", "decoder_model_merged"),
    "VoxtralRealtime": ("embed_tokens", "audio_encoder", "decoder_model_merged"),
    "ImageAudioTextToText": ("embed_tokens", "audio_encoder", "vision_encoder", "decoder_model_merged"),
    "Phi3V": ("prepare_inputs_embeds", "model", "vision_encoder"),
    "MultiModality": (
        "prepare_inputs_embeds",
        "language_model",
        "lm_head",
        "gen_head",
        "gen_img_embeds",
        "image_decode",
    ),
    "AutoEncoder": ("encoder_model", "decoder_model"),
    "Supertonic": ("text_encoder", "latent_denoiser", "voice_decoder"),
    "Chatterbox": ("embed_tokens", "speech_encoder", "language_model", "conditional_decoder"),
}
"""Kind of class → file names of its sessions; every other kind loads `model`. Source: src/models/session_config.js."""

TOWERS: Mapping[str, tuple[str, ...]] = {
    "clip": ("text_model", "vision_model"),
    "siglip": ("text_model", "vision_model"),
    "jina_clip": ("text_model", "vision_model"),
    "clap": ("text_model", "audio_model"),
}
"""Types whose halves can stand alone, in files of these names, with or without a `model` of both."""

KIND_ORDER = (
    "ImageAudioTextToText",
    "ImageTextToText",
    "AudioTextToText",
    "Phi3V",
    "MultiModality",
    "Musicgen",
    "Vision2Seq",
    "Seq2Seq",
    "VoxtralRealtime",
    "DecoderOnly",
    "MaskGeneration",
    "AutoEncoder",
)
"""Which of a type's classes stands for it where the config names none: the one that needs the most."""

GENERATING = frozenset({*KIND_ORDER[:10], "Chatterbox"})
IMAGE_TEXT = frozenset({"ImageTextToText", "ImageAudioTextToText", "Phi3V", "MultiModality"})

LLAVA_LIKE = frozenset({"llava", "llava_qwen2", "moondream1", "paligemma", "gemma3", "mistral3", "lighton_ocr"})
"""One class, one picture per row: pixel_values [n, 3, H, W]."""
IDEFICS_LIKE = frozenset({"idefics3", "smolvlm"})
"""Pictures in tiles: pixel_values [batch, n, 3, H, W] and a mask."""
