"""SmolVLM, SmolVLM2 and Idefics3: SigLIP tower, pixel shuffle and one projection, Llama decoder.

Checkpoints of type ``smolvlm`` and ``idefics3`` (the first SmolVLM are of the latter) keep their type in
transformers.js. A picture is one tile or, with ``do_image_splitting``, rows and columns of tiles and the whole picture
behind them; each tile is an entry of the axis ``num_images`` and takes ``image_seq_len`` rows in the prompt. A page
takes one tile. Frames of a video go in as pictures: transformers.js has no video processor. Sources: Marafioti et al.,
SmolVLM (2025); Laurençon et al., Idefics3 (2024); transformers' modeling_smolvlm.py and modeling_idefics3.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optimum.utils import DummyInputGenerator, NormalizedConfig
from torch import Tensor, arange, bucketize, clamp, float32, nn, ones, rand, randint
from torch import bool as torch_bool
from transformers import Idefics3ForConditionalGeneration, SmolVLMForConditionalGeneration

from builder.errors import CheckpointError
from builder.families._checkpoint import language_weights, load_transformers
from builder.families._config import text_config, vision_config
from builder.families._contract import Family, Language, Parts, read_demo, read_json
from builder.families._pictures import image_facts
from builder.families._preprocessor import ALWAYS, read_image_processor
from builder.families._registry import Graph, WebExporterConfig
from builder.families._tokenizer import read_tokenizer
from builder.manifest import Context

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    Model = Idefics3ForConditionalGeneration | SmolVLMForConditionalGeneration

CLASSES: Mapping[str, type[Model]] = {
    "smolvlm": SmolVLMForConditionalGeneration,
    "idefics3": Idefics3ForConditionalGeneration,
}
STEMS = {"smolvlm": "SmolVLM", "idefics3": "Idefics3"}
"""What the names of the classes begin with, those of transformers.js included."""
DECODERS = ("llama",)
IMAGE = "<image>"
"""A constant in transformers.js's processor, whatever the tokenizer calls its image token."""
CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
PREPROCESSOR: Mapping[str, Any] = {
    **ALWAYS,
    "size": {"longest_edge": 4 * 364},
    "resample": 1,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_pad": True,
    "do_image_splitting": True,
    "max_image_size": {"longest_edge": 364},
}
"""Transformers' own values for what a config leaves out; those of transformers.js are others."""
UNSEEN = -1e4
"""Added to the attention scores of patches outside the picture: their weight underflows to 0, in float16 as well."""


class DummyTiles(DummyInputGenerator):  # type: ignore[misc]  # optimum has no types
    """Two pictures in a prompt: a whole one, and one with padding at the right and below."""

    SUPPORTED_INPUT_NAMES = ("pixel_values", "pixel_attention_mask")

    def __init__(
        self, task: str, normalized_config: Any, *, batch_size: int, height: int, width: int, sequence_length: int
    ) -> None:
        del task, normalized_config, sequence_length
        self.shape = (batch_size, 2, height, width)

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Tensor:
        del framework, int_dtype, float_dtype
        batch, pictures, height, width = self.shape
        if input_name == "pixel_values":
            return 2 * rand(batch, pictures, 3, height, width) - 1
        mask = ones(batch, pictures, height, width, dtype=torch_bool)
        bottom, right = (int(randint(edge // 3, edge, ())) for edge in (height, width))
        mask[:, 1, bottom:, :] = False
        mask[:, 1, :, right:] = False
        return mask


class SmolVlmExporterConfig(WebExporterConfig):
    NORMALIZED_CONFIG_CLASS = NormalizedConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyTiles,)
    GRAPHS: ClassVar = {
        "vision_encoder": Graph(
            inputs={
                "pixel_values": {0: "batch_size", 1: "num_images"},
                "pixel_attention_mask": {0: "batch_size", 1: "num_images"},
            },
            outputs=("image_features",),
        ),
    }


def position_buckets(side: int, grid: int) -> Tensor:
    """The row (or column) of the position table for patch i of n that are seen, as [n, i] for n from 0 to ``side``.

    The floats are those of transformers' ``VisionEmbeddings``, computed once: where a coordinate falls on a boundary
    the last bit decides, and a GPU divides differently.
    """
    boundaries = arange(1 / grid, 1.0, 1 / grid)
    steps = 1.0 / arange(side + 1)
    coordinates = arange(side, dtype=float32)[None, :] * steps[:, None]
    return bucketize(clamp(coordinates, max=1.0 - 1e-6), boundaries, right=True)


class VisionEncoder(nn.Module):
    """pixel_values [batch, images, 3, H, W] and a bool mask [batch, images, H, W] → [batch · images, tokens, D].

    Transformers' ``get_image_features`` with shapes that do not depend on values. That one drops pictures whose pixels
    are all 0, with which processors fill up a batch of prompts with unequal numbers of pictures. Here they keep their
    rows, and who batches such prompts has to drop them: a page has one prompt at a time, and a graph with shapes that
    depend on values leaves the GPU.
    """

    buckets: Tensor

    def __init__(self, model: Model, tile: int) -> None:
        super().__init__()
        inner = model.model
        self.vision = inner.vision_model
        self.vision.set_attn_implementation("eager")  # of others the tracer makes ten nodes more per layer
        self.connector = inner.connector
        self.patch = int(self.vision.patch_size)
        self.grid = int(self.vision.embeddings.num_patches_per_side)
        self.register_buffer("buckets", position_buckets(tile // self.patch, self.grid), persistent=False)

    def forward(self, pixel_values: Tensor, pixel_attention_mask: Tensor) -> Tensor:
        pixels = pixel_values.flatten(0, 1)
        seen = self._patches(pixel_attention_mask.flatten(0, 1).to(pixels.dtype))
        embeddings = self.vision.embeddings
        patches = embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        hidden = patches + embeddings.position_embedding(self._positions(seen))
        bias = (1.0 - seen.flatten(1)[:, None, None, :]) * UNSEEN
        hidden = self.vision.encoder(inputs_embeds=hidden, attention_mask=bias).last_hidden_state
        features: Tensor = self.connector(self.vision.post_layernorm(hidden))
        return features

    def _patches(self, mask: Tensor) -> Tensor:
        """1 for every patch of which a pixel is seen, else 0: [pictures, rows, columns]."""
        return nn.functional.max_pool2d(mask[:, None], self.patch).squeeze(1)

    def _positions(self, seen: Tensor) -> Tensor:
        """Rows of the position table, int64 [pictures, patches]; 0 for what is not seen."""
        seen = seen.long()
        rows = self.buckets.index_select(0, seen[:, :, 0].sum(dim=1))
        columns = self.buckets.index_select(0, seen[:, 0, :].sum(dim=1))
        positions = rows[:, :, None] * self.grid + columns[:, None, :]
        return (positions * seen).flatten(1)


def _load(checkpoint: Path) -> Parts:
    model_type = str(read_json(checkpoint / "config.json").get("model_type"))
    if model_type not in CLASSES:
        raise CheckpointError(
            f"{checkpoint} is of model type {model_type!r}", hint=f"this family knows {' and '.join(CLASSES)}"
        )
    preprocessor = _preprocessor(checkpoint, model_type)
    model = load_transformers(CLASSES[model_type], checkpoint)
    config: Any = model.config
    text = config.text_config
    if text.model_type not in DECODERS:
        raise CheckpointError(
            f"{checkpoint} has a decoder of type {text.model_type!r}",
            hint=f"known decoders of this family: {', '.join(DECODERS)}",
        )
    tile = _tile(checkpoint, preprocessor, config)
    tokens = _tokens(checkpoint, config, tile)
    tokenizer = read_tokenizer(checkpoint)
    _check_image_token(checkpoint, config, tokenizer)
    prompts, generation = read_demo(checkpoint)
    encoder = VisionEncoder(model, tile)
    return Parts(
        model_type=model_type,
        task="image-text-to-text",
        image=image_facts(preprocessor, tokens=tokens),
        context=Context(text_tokens=text.max_position_embeddings),
        encoders=(SmolVlmExporterConfig.encoder("vision_encoder", encoder, config.vision_config, image_size=tile),),
        language=Language(config=text, weights=language_weights(model.model.text_model, model.lm_head)),
        configs=_configs(checkpoint, config, preprocessor, tokens=tokens),
        tokenizer=None if (checkpoint / "tokenizer.json").is_file() else tokenizer,
        chat_template=CHAT,
        prompts=prompts,
        generation=generation,
    )


def _preprocessor(checkpoint: Path, model_type: str) -> dict[str, Any]:
    """preprocessor_config.json as transformers.js needs it: complete, and with names that it knows."""
    found = read_image_processor(checkpoint)
    given = {key: value for key, value in found.items() if key in PREPROCESSOR and value is not None}
    return {
        **PREPROCESSOR,
        **given,
        "image_processor_type": f"{STEMS[model_type]}ImageProcessor",
        "processor_class": f"{STEMS[model_type]}Processor",
    }


def _tile(checkpoint: Path, preprocessor: Mapping[str, Any], config: Any) -> int:
    """Edge in pixels of the squares that the processor cuts."""
    tile = preprocessor["max_image_size"].get("longest_edge")
    size = config.vision_config.image_size
    if not isinstance(tile, int) or not isinstance(size, int) or not isinstance(config.vision_config.patch_size, int):
        raise CheckpointError(
            f"{checkpoint} gives no whole numbers for its pictures: max_image_size {preprocessor['max_image_size']}, "
            f"image_size {size}, patch_size {config.vision_config.patch_size}",
            hint='write "max_image_size": {"longest_edge": 512} into preprocessor_config.json, as the tower has it',
        )
    if tile // config.vision_config.patch_size == 0:
        raise CheckpointError(
            f"{checkpoint} cuts tiles of {tile} pixels for patches of {config.vision_config.patch_size}",
            hint='let "max_image_size" in preprocessor_config.json be image_size of config.json',
        )
    return tile


def _tokens(checkpoint: Path, config: Any, tile: int) -> int:
    """Rows in the prompt of one tile, which are the rows that the vision encoder gives for it.

    Raises:
        CheckpointError: the patches cannot be shuffled, or the checkpoint's processor expects another number.
    """
    side, scale = tile // config.vision_config.patch_size, config.scale_factor
    if side % scale:
        raise CheckpointError(
            f"{checkpoint}: {side} × {side} patches of a tile cannot be put together {scale} × {scale} at a time",
            hint='let "max_image_size" in preprocessor_config.json be image_size of config.json',
        )
    tokens = int((side // scale) ** 2)
    expected = read_json(checkpoint / "processor_config.json").get("image_seq_len", tokens)
    if expected != tokens:
        raise CheckpointError(
            f"{checkpoint} expects {expected} tokens for a tile of {tile} pixels, and its tower gives {tokens}",
            hint=f'set "image_seq_len" in processor_config.json to {tokens}, or "max_image_size" to the tower\'s size',
        )
    return tokens


def _check_image_token(checkpoint: Path, config: Any, tokenizer: Tokenizer) -> None:
    """transformers.js writes ``<image>`` into the prompt and looks for ``image_token_id`` in its ids."""
    known = tokenizer.token_to_id(IMAGE)
    if known != config.image_token_id or known >= config.text_config.vocab_size:
        raise CheckpointError(
            f"{checkpoint}: {IMAGE} is token {known} of the tokenizer, {config.image_token_id} in config.json, "
            f"and the embedding table has {config.text_config.vocab_size} rows",
            hint="take tokenizer and config.json from the same checkpoint",
        )


def _configs(
    checkpoint: Path, config: Any, preprocessor: Mapping[str, Any], *, tokens: int
) -> dict[str, dict[str, Any]]:
    """The JSON files of the web model, from those of the checkpoint."""
    text, vision, stem = config.text_config, config.vision_config, STEMS[config.model_type]
    ends = {key: getattr(text, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return {
        "config.json": {
            "architectures": [f"{stem}ForConditionalGeneration"],
            "model_type": config.model_type,
            "image_token_id": config.image_token_id,
            "scale_factor": config.scale_factor,
            "tie_word_embeddings": bool(config.tie_word_embeddings),
            "text_config": text_config(text),
            "vision_config": vision_config(vision),
        },
        "generation_config.json": read_json(checkpoint / "generation_config.json")
        or {key: value for key, value in ends.items() if value is not None},
        "preprocessor_config.json": dict(preprocessor),
        "processor_config.json": {"processor_class": f"{stem}Processor", "image_seq_len": tokens},
    }


FAMILY = Family(
    name="smolvlm",
    checkpoints=(
        "HuggingFaceTB/SmolVLM-256M-Instruct",
        "HuggingFaceTB/SmolVLM-500M-Instruct",
        "HuggingFaceTB/SmolVLM-Instruct",
        "HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
        "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
        "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        "HuggingFaceM4/Idefics3-8B-Llama3 (with --force)",
    ),
    model_types={"transformers": ("smolvlm", "idefics3")},
    task="image-text-to-text",
    exporter_config=SmolVlmExporterConfig,
    load=_load,
)
