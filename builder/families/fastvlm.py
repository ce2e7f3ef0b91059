"""FastVLM: FastViT tower, two-layer projector, Qwen2 decoder; ``llava_qwen2`` in transformers.js.

Takes the Transformers layout (``fast_vlm``). The projector is part of ``vision_encoder``: the page gets rows that go
straight into the prompt. Sources: Vasu et al., FastVLM (CVPR 2025); transformers' ``FastVlmForConditionalGeneration``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builder.errors import CheckpointError
from builder.families._contract import Encoder, Family, Language, Parts, read_demo, read_json
from builder.manifest import Context, Generation, ImageFacts, Prompt

DEFAULT_PROMPTS = (
    Prompt(id="describe", label="Describe", text="Describe the image in one sentence."),
    Prompt(id="read", label="Read the text", text="What does the text in the image say?"),
)


def _recognises(checkpoint: Path) -> bool:
    return read_json(checkpoint / "config.json").get("model_type") == "fast_vlm"


def _image_size(checkpoint: Path) -> int:
    size = read_json(checkpoint / "preprocessor_config.json").get("size", {})
    edge = size.get("shortest_edge") or size.get("height")
    if not isinstance(edge, int):
        raise CheckpointError(
            f"{checkpoint / 'preprocessor_config.json'} names no input size",
            hint='add "size": {"shortest_edge": 1024}, or the size that the tower was trained at',
        )
    return edge


def _load(checkpoint: Path) -> Parts:
    import torch
    from torch import Tensor, nn
    from transformers import FastVlmForConditionalGeneration, Qwen2Config, Qwen2ForCausalLM

    model = FastVlmForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32, use_safetensors=True)
    model.train(False)
    size = _image_size(checkpoint)

    class VisionEncoder(nn.Module):
        """pixel_values [batch, 3, H, W] → image_features [batch, tokens, D]."""

        def __init__(self) -> None:
            super().__init__()
            self.tower = model.model.vision_tower.timm_model
            self.projector = model.model.multi_modal_projector

        def forward(self, pixel_values: Tensor) -> Tensor:
            features = self.tower.forward_features(pixel_values)
            return self.projector(features.flatten(2).transpose(1, 2))  # type: ignore[no-any-return]

    encoder = VisionEncoder().eval()
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tokens = int(encoder(pixels[:1]).shape[1])
    text = model.config.text_config
    assert isinstance(text, Qwen2Config)
    language = Qwen2ForCausalLM(text)
    language.model = model.model.language_model
    language.lm_head = model.lm_head
    prompts, generation = read_demo(checkpoint)
    return Parts(
        model_type="llava_qwen2",
        task="image-text-to-text",
        image=ImageFacts(width=size, height=size, tokens=tokens),
        context=Context(text_tokens=text.max_position_embeddings),
        encoders=(
            Encoder(
                name="vision_encoder",
                module=encoder,
                inputs={"pixel_values": pixels},
                axes={"pixel_values": {0: "batch_size"}},
                outputs=("image_features",),
            ),
        ),
        language=Language(model=language.train(False)),
        configs=_configs(checkpoint, model.config, stride=size // round(tokens**0.5)),
        copied=("tokenizer.json",),
        prompts=prompts or DEFAULT_PROMPTS,
        generation=generation or Generation(max_new_tokens=128),
    )


def _configs(checkpoint: Path, config: Any, *, stride: int) -> dict[str, dict[str, Any]]:
    """The JSON files of the web model, from those of the checkpoint."""
    text = config.text_config
    keys: tuple[str, ...] = (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
    )
    keys += ("vocab_size", "max_position_embeddings", "rms_norm_eps", "hidden_act", "eos_token_id", "bos_token_id")
    preprocessor = {**read_json(checkpoint / "preprocessor_config.json"), "processor_class": "LlavaProcessor"}
    preprocessor["image_processor_type"] = str(preprocessor["image_processor_type"]).removesuffix("Fast")
    return {
        "config.json": {
            # not LlavaForConditionalGeneration: that name makes transformers.js 4 load the text model alone
            "architectures": ["LlavaQwen2ForCausalLM"],
            "model_type": "llava_qwen2",
            "image_token_index": config.image_token_index,
            "tie_word_embeddings": bool(config.tie_word_embeddings),
            **{key: getattr(text, key) for key in keys},
            "head_dim": text.hidden_size // text.num_attention_heads,
        },
        "generation_config.json": read_json(checkpoint / "generation_config.json"),
        "preprocessor_config.json": preprocessor,
        "processor_config.json": {
            "processor_class": "LlavaProcessor",
            "image_token": "<image>",
            "num_additional_image_tokens": 0,
            "patch_size": stride,
        },
        "tokenizer_config.json": read_json(checkpoint / "tokenizer_config.json"),
    }


FAMILY = Family(name="fastvlm", checkpoints=("fast_vlm",), recognises=_recognises, load=_load)
