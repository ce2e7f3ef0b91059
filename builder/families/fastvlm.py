"""FastVLM: FastViTHD tower, two-layer projector, Qwen2 decoder; ``llava_qwen2`` in transformers.js.

Takes the Transformers layout (``fast_vlm``) and Apple's own (``llava_qwen2``; see _apple.py). The projector is part of
``vision_encoder``: the page gets rows that go straight into the prompt. Sources: Vasu et al., FastVLM (CVPR 2025);
transformers' ``FastVlmForConditionalGeneration``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from optimum.utils import DummyVisionInputGenerator, NormalizedConfig
from torch import Tensor, nn, no_grad, rand
from transformers import FastVlmForConditionalGeneration, Qwen2Config

from builder.errors import CheckpointError
from builder.families._apple import is_apple, load_apple
from builder.families._chat import CHAT_ML, web_template
from builder.families._checkpoint import language_weights, load_transformers
from builder.families._contract import Family, Language, Parts, read_demo, read_json
from builder.families._pictures import image_facts
from builder.families._preprocessor import read_image_processor
from builder.families._registry import Graph, WebExporterConfig
from builder.families._tokenizer import read_tokenizer, token_id
from builder.manifest import Context

IMAGE = "<image>"
TEXT_KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
    "max_position_embeddings",
    "rms_norm_eps",
    "hidden_act",
    "eos_token_id",
    "bos_token_id",
)
"""What transformers.js expects flat, as Qwen2 has it."""


class FastVlmExporterConfig(WebExporterConfig):
    NORMALIZED_CONFIG_CLASS = NormalizedConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyVisionInputGenerator,)
    GRAPHS: ClassVar = {
        "vision_encoder": Graph(inputs={"pixel_values": {0: "batch_size"}}, outputs=("image_features",)),
    }


class VisionEncoder(nn.Module):
    """pixel_values [batch, 3, H, W] → image_features [batch, tokens, D]."""

    def __init__(self, model: FastVlmForConditionalGeneration) -> None:
        super().__init__()
        self.tower = model.model.vision_tower.timm_model
        self.projector = model.model.multi_modal_projector

    def forward(self, pixel_values: Tensor) -> Tensor:
        features = self.tower.forward_features(pixel_values)
        projected: Tensor = self.projector(features.flatten(2).transpose(1, 2))
        return projected


def _load(checkpoint: Path) -> Parts:
    if is_apple(checkpoint):
        model, preprocessor, size = load_apple(checkpoint)
    else:
        model = load_transformers(FastVlmForConditionalGeneration, checkpoint)
        preprocessor = read_image_processor(checkpoint)
        size = _image_size(checkpoint, preprocessor)
    encoder = VisionEncoder(model).eval()
    with no_grad():
        dtype = next(encoder.parameters()).dtype
        tokens = int(encoder(rand(1, 3, size, size, dtype=dtype)).shape[1])
    text, vision = model.config.text_config, model.config.vision_config
    assert isinstance(text, Qwen2Config)
    tokenizer = read_tokenizer(checkpoint)
    known = tokenizer.token_to_id(IMAGE)
    image_id = token_id(tokenizer, IMAGE)
    if image_id >= text.vocab_size:
        raise CheckpointError(
            f"{checkpoint} has no row for {IMAGE} in its embedding table of {text.vocab_size}",
            hint="save the tokenizer that the model was trained with",
        )
    prompts, generation = read_demo(checkpoint)
    return Parts(
        model_type="llava_qwen2",
        task="image-text-to-text",
        image=image_facts(preprocessor, tokens=tokens),
        context=Context(text_tokens=text.max_position_embeddings),
        encoders=(FastVlmExporterConfig.encoder("vision_encoder", encoder, vision, image_size=size),),
        language=Language(config=text, weights=language_weights(model.model.language_model, model.lm_head)),
        configs=_configs(checkpoint, text, preprocessor, image_id=image_id, stride=size // round(tokens**0.5)),
        tokenizer=tokenizer if known is None or not (checkpoint / "tokenizer.json").is_file() else None,
        tokenizer_settings={
            "chat_template": web_template(checkpoint, tokenizer, image_token=IMAGE, fallback=CHAT_ML),
        },
        prompts=prompts,
        generation=generation,
    )


def _image_size(checkpoint: Path, preprocessor: dict[str, Any]) -> int:
    size = preprocessor.get("size", {})
    edge = size.get("shortest_edge") or size.get("height")
    if not isinstance(edge, int):
        raise CheckpointError(
            f"{checkpoint / 'preprocessor_config.json'} names no input size",
            hint='add "size": {"shortest_edge": 1024}, or the size that the tower was trained at',
        )
    return edge


def _configs(
    checkpoint: Path, text: Any, preprocessor: dict[str, Any], *, image_id: int, stride: int
) -> dict[str, dict[str, Any]]:
    """The JSON files of the web model, from those of the checkpoint."""
    kind = str(preprocessor.get("image_processor_type", "CLIPImageProcessor")).removesuffix("Fast")
    return {
        "config.json": {
            # not LlavaForConditionalGeneration: that name makes transformers.js 4 load the text model alone
            "architectures": ["LlavaQwen2ForCausalLM"],
            "model_type": "llava_qwen2",
            "image_token_index": image_id,
            "tie_word_embeddings": bool(text.tie_word_embeddings),
            **{key: getattr(text, key) for key in TEXT_KEYS},
            "head_dim": text.hidden_size // text.num_attention_heads,
        },
        "generation_config.json": read_json(checkpoint / "generation_config.json"),
        "preprocessor_config.json": {**preprocessor, "processor_class": "LlavaProcessor", "image_processor_type": kind},
        "processor_config.json": {
            "processor_class": "LlavaProcessor",
            "image_token": IMAGE,
            "num_additional_image_tokens": 0,
            "patch_size": stride,
        },
    }


FAMILY = Family(
    name="fastvlm",
    checkpoints=("apple/FastVLM-0.5B", "apple/FastVLM-1.5B", "apple/FastVLM-7B (with --force)", "fast_vlm"),
    model_types={"transformers": ("fast_vlm", "llava_qwen2")},
    task="image-text-to-text",
    exporter_config=FastVlmExporterConfig,
    load=_load,
)
