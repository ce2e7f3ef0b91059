"""LLaVA 1.5 and its kin, and LLaVA-OneVision: CLIP or SigLIP tower, two-layer projector, a plain decoder.

A picture is one square of the tower's size. LLaVA-OneVision's anyres tiles are left out, as Transformers leaves them
out for a picture among several: its rows are those of the base tile and the line break behind them. transformers.js has
no processor of its own for it; LlavaProcessor gives what it needs. Sources: Liu et al., Improved Baselines with Visual
Instruction Tuning (CVPR 2024); Li et al., LLaVA-OneVision (2024); transformers' modeling_llava.py and
modeling_llava_onevision.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optimum.utils import DummyVisionInputGenerator, NormalizedConfig
from torch import Tensor, cat, nn
from transformers import LlavaForConditionalGeneration, LlavaOnevisionForConditionalGeneration

from builder.errors import CheckpointError
from builder.families._chat import CHAT_ML, web_template
from builder.families._checkpoint import language_weights, load_transformers
from builder.families._config import text_config, vision_config
from builder.families._contract import Family, Language, Parts, read_demo, read_json, section
from builder.families._pictures import image_facts
from builder.families._preprocessor import ALWAYS, processor_kind, read_image_processor
from builder.families._registry import Graph, WebExporterConfig
from builder.families._tokenizer import read_tokenizer
from builder.manifest import Context

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    Model = LlavaForConditionalGeneration | LlavaOnevisionForConditionalGeneration

CLASSES: Mapping[str, type[Model]] = {
    "llava": LlavaForConditionalGeneration,
    "llava_onevision": LlavaOnevisionForConditionalGeneration,
}
TOWERS: Mapping[str, int] = {"clip_vision_model": 1, "siglip_vision_model": 0}
"""Vision towers, and the rows that each puts before those of the patches."""
DECODERS = ("llama", "mistral", "qwen2")
UNUSED = ("model.vision_tower.head.",)
"""SigLIP's pooling, which a config may leave out and a checkpoint still hold."""
VICUNA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{{ message['content'] + ' ' }}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
HALF = [0.5, 0.5, 0.5]
PREPROCESSORS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "CLIP": ("CLIPImageProcessor", {"do_center_crop": True, "image_mean": CLIP_MEAN, "image_std": CLIP_STD}),
    "Llava": ("CLIPImageProcessor", {"do_center_crop": True, "image_mean": CLIP_MEAN, "image_std": CLIP_STD}),
    "Siglip": ("SiglipImageProcessor", {"do_center_crop": False, "image_mean": HALF, "image_std": HALF}),
    "LlavaOnevision": (
        "SiglipImageProcessor",
        {"do_center_crop": False, "image_mean": CLIP_MEAN, "image_std": CLIP_STD},
    ),
}
"""By Transformers' image processor: that of transformers.js, and what Transformers takes where a config is silent."""
MODEL_KEYS = ("vision_feature_layer", "vision_feature_select_strategy", "projector_hidden_act")


class LlavaExporterConfig(WebExporterConfig):
    NORMALIZED_CONFIG_CLASS = NormalizedConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyVisionInputGenerator,)
    GRAPHS: ClassVar = {
        "vision_encoder": Graph(inputs={"pixel_values": {0: "batch_size"}}, outputs=("image_features",)),
    }


class VisionEncoder(nn.Module):
    """pixel_values [batch, 3, H, W] → image_features [batch, rows, D].

    Transformers' ``get_image_features``, without the layers behind the last one that it reads.
    """

    def __init__(self, model: Model, chosen: list[int]) -> None:
        super().__init__()
        inner, tower = model.model, model.model.vision_tower
        tower.set_attn_implementation("eager")  # of others the tracer makes ten nodes more per layer
        self.chosen = chosen
        self.embeddings = tower.embeddings
        self.norm = getattr(tower, "pre_layrnorm", None) or nn.Identity()
        self.layers = tower.encoder.layers[: max(chosen)]
        self.projector = inner.multi_modal_projector
        self.first = int(model.config.vision_feature_select_strategy == "default")
        self.newline = getattr(inner, "image_newline", None)

    def forward(self, pixel_values: Tensor) -> Tensor:
        states = [self.norm(self.embeddings(pixel_values))]
        for layer in self.layers:
            states.append(layer(states[-1], None))
        features: Tensor = self.projector(cat([states[i][:, self.first :] for i in self.chosen], dim=-1))
        if self.newline is None:
            return features
        return cat([features, self.newline.expand(features.shape[0], 1, -1)], dim=1)


def _load(checkpoint: Path) -> Parts:
    model_type = _check_kind(checkpoint)
    model = load_transformers(CLASSES[model_type], checkpoint, dropped=UNUSED)
    config: Any = model.config
    text, vision = config.text_config, config.vision_config
    preprocessor = _preprocessor(checkpoint, vision.image_size)
    tokenizer = read_tokenizer(checkpoint)
    image_token = _image_token(checkpoint, config, tokenizer)
    patches = (vision.image_size // vision.patch_size) ** 2
    extra = TOWERS[vision.model_type] - (config.vision_feature_select_strategy == "default")
    extra += model_type == "llava_onevision"
    template = web_template(
        checkpoint, tokenizer, image_token=image_token, fallback=CHAT_ML if text.model_type == "qwen2" else VICUNA
    )
    encoder = VisionEncoder(model, _chosen_layers(checkpoint, config))
    prompts, generation = read_demo(checkpoint)
    return Parts(
        model_type=model_type,
        task="image-text-to-text",
        image=image_facts(preprocessor, tokens=patches + extra),
        context=Context(text_tokens=text.max_position_embeddings),
        encoders=(LlavaExporterConfig.encoder("vision_encoder", encoder, vision, image_size=vision.image_size),),
        language=Language(config=text, weights=language_weights(model.model.language_model, model.lm_head)),
        configs={
            "config.json": _config(type(model).__name__, config),
            "generation_config.json": _ends(checkpoint, text, tokenizer),
            "preprocessor_config.json": preprocessor,
            "processor_config.json": {
                "processor_class": "LlavaProcessor",
                "image_token": image_token,
                "patch_size": vision.patch_size,
                "num_additional_image_tokens": extra,
            },
        },
        tokenizer=None if (checkpoint / "tokenizer.json").is_file() else tokenizer,
        tokenizer_settings={"chat_template": template},
        prompts=prompts,
        generation=generation,
    )


def _check_kind(checkpoint: Path) -> str:
    """The model type, where this family knows its tower and its decoder; asked before the weights are read."""
    path = checkpoint / "config.json"
    raw = read_json(path)
    model_type = str(raw.get("model_type"))
    if model_type not in CLASSES:
        raise CheckpointError(
            f"{checkpoint} is of model type {model_type!r}", hint=f"this family knows {' and '.join(CLASSES)}"
        )
    onevision = model_type == "llava_onevision"
    for part, key, default, known in (
        ("vision tower", "vision_config", "siglip_vision_model" if onevision else "clip_vision_model", tuple(TOWERS)),
        ("decoder", "text_config", "qwen2" if onevision else "llama", DECODERS),
    ):
        kind = section(raw, key, path).get("model_type", default)
        if kind not in known:
            raise CheckpointError(
                f"{checkpoint} has a {part} of type {kind!r}",
                hint=f"known {part}s of this family: {', '.join(known)}",
            )
    return model_type


def _chosen_layers(checkpoint: Path, config: Any) -> list[int]:
    """The hidden states that the projector reads, counted from the embeddings, which are number 0."""
    asked = config.vision_feature_layer
    states = config.vision_config.num_hidden_layers + 1
    chosen = [asked] if isinstance(asked, int) else list(asked)
    if any(not -states <= layer < states for layer in chosen):
        raise CheckpointError(
            f"{checkpoint} takes its features from layer {asked} of a tower of {states - 1}",
            hint=f'let "vision_feature_layer" in config.json lie between {-states} and {states - 1}',
        )
    return [layer % states for layer in chosen]


def _preprocessor(checkpoint: Path, edge: int) -> dict[str, Any]:
    """preprocessor_config.json as transformers.js needs it: complete, and one picture of the tower's size."""
    found = read_image_processor(checkpoint)
    kind = processor_kind(found)
    if kind not in PREPROCESSORS:
        named = found.get("image_processor_type") or found.get("feature_extractor_type")
        raise CheckpointError(
            f"{checkpoint} has the image processor {named!r}" if found else f"{checkpoint} has no image processor",
            hint=f"save the processor with the checkpoint: {', '.join(f'{k}ImageProcessor' for k in PREPROCESSORS)}",
        )
    if kind == "Llava" and found.get("do_pad"):
        raise CheckpointError(
            f"{checkpoint} pads pictures to a square, which transformers.js cannot do in the colour of their mean",
            hint='set "do_pad" to false in preprocessor_config.json: pictures are then cut to a square',
        )
    ours, defaults = PREPROCESSORS[kind]
    defaults = {**ALWAYS, **defaults}
    settings = {**defaults, **{key: value for key, value in found.items() if key in defaults and value is not None}}
    sizes = {key: _sides(found.get(key)) for key in ("size", "crop_size")}
    if kind == "LlavaOnevision" and (base := sizes["size"].get("shortest_edge")):
        sizes["size"] = {"height": base, "width": base}
    decides = "crop_size" if settings["do_center_crop"] else "size"
    square = {"height": edge, "width": edge}
    asked = sizes[decides]
    if decides == "crop_size" and "shortest_edge" in asked:
        asked = {"height": asked["shortest_edge"], "width": asked["shortest_edge"]}
    if asked != square:
        raise CheckpointError(
            f"{checkpoint} makes pictures of {found.get(decides)} for a vision tower of {edge} × {edge} pixels",
            hint=f'let "{decides}" of the image processor be {square}',
        )
    return {
        **settings,
        **{key: square if key == decides else sizes[key] for key in ("size", decides)},
        "image_processor_type": ours,
        "processor_class": "LlavaProcessor",
    }


def _sides(size: Any) -> dict[str, int]:
    return {key: value for key, value in (size or {}).items() if value is not None}


def _image_token(checkpoint: Path, config: Any, tokenizer: Tokenizer) -> str:
    """The token whose places the rows of a picture take: one that the tokenizer never splits, with a row of its own."""
    number, rows = config.image_token_index, config.text_config.vocab_size
    token = tokenizer.id_to_token(number)
    named = read_json(checkpoint / "processor_config.json").get("image_token", token)
    whole = token is not None and tokenizer.encode(token, add_special_tokens=False).ids == [number]
    if not whole or token != named or number >= rows:
        raise CheckpointError(
            f"{checkpoint}: token {number}, which stands for a picture, is {token!r} for the tokenizer "
            f"and {named!r} for the processor, and the embedding table has {rows} rows",
            hint='take tokenizer and config.json ("image_token_index") from the same checkpoint',
        )
    return str(token)


def _config(architecture: str, config: Any) -> dict[str, Any]:
    text, vision = config.text_config, config.vision_config
    return {
        "architectures": [architecture],
        "model_type": config.model_type,
        "image_token_index": config.image_token_index,
        "tie_word_embeddings": bool(config.tie_word_embeddings),
        **{key: getattr(config, key) for key in MODEL_KEYS},
        "text_config": text_config(text),
        "vision_config": vision_config(vision),
    }


def _ends(checkpoint: Path, text: Any, tokenizer: Tokenizer) -> dict[str, Any]:
    """generation_config.json: the checkpoint's own, or where answers end by the text config or the tokenizer."""
    found = read_json(checkpoint / "generation_config.json")
    if found:
        return found
    ends = {key: getattr(text, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    end = read_json(checkpoint / "tokenizer_config.json").get("eos_token")
    if ends["eos_token_id"] is None and isinstance(end, str):
        ends["eos_token_id"] = tokenizer.token_to_id(end)
    return {key: value for key, value in ends.items() if value is not None}


FAMILY = Family(
    name="llava",
    checkpoints=(
        "llava-hf/llava-1.5-7b-hf (with --force)",
        "llava-hf/llava-interleave-qwen-0.5b-hf",
        "llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
    ),
    model_types={"transformers": ("llava", "llava_onevision")},
    task="image-text-to-text",
    exporter_config=LlavaExporterConfig,
    load=_load,
)
