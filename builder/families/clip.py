"""CLIP: ViT image tower, causal text tower; ``clip`` in transformers.js.

In Transformers' layout (openai/clip-vit-*) and in OpenCLIP's (laion's models, Apple's DFN; _openclip.py): a repository
that holds both is read in OpenCLIP's if those weights are there. Source: Radford et al., Learning Transferable Visual
Models From Natural Language Supervision (2021); transformers' modeling_clip.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, arange, finfo, float16, full, nn
from transformers import CLIPModel

from builder.errors import CheckpointError
from builder.families._checkpoint import load_transformers
from builder.families._contract import Family, Parts, read_json
from builder.families._dual import DualExporterConfig, DualShapes, WholeCaption, dual_encoders, dual_graphs
from builder.families._openclip import END, clip_config, load_open_clip
from builder.families._pictures import image_facts
from builder.families._preprocessor import read_preprocessor
from builder.families._registry import infer_kind
from builder.families._tokenizer import read_tokenizer
from builder.hub.weights import OPEN_CLIP
from builder.manifest import Context

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LEGACY_END = 2
"""What configs of before transformers 4.31 call the end mark; texts are then read at their highest id."""
UNUSED = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
"""Counters that transformers saved until 4.31."""


class ClipExporterConfig(DualExporterConfig):
    GRAPHS = dual_graphs()


class TextModel(nn.Module):
    """input_ids int64 [batch, length] → text_embeds [batch, D], not normalised.

    Transformers' ``get_text_features``, of the whole context at once and with the causal mask as a constant. ``end`` is
    what the config calls the end mark.
    """

    def __init__(self, model: CLIPModel, shapes: DualShapes, *, end: int) -> None:
        super().__init__()
        tower = model.text_model
        self.whole = WholeCaption(shapes)
        self.embeddings, self.layers, self.norm = tower.embeddings, tower.encoder.layers, tower.final_layer_norm
        self.projection = model.text_projection
        self.end = end
        # the least number of float16: a graph brought to float16 must not overflow
        mask = full((shapes.context, shapes.context), finfo(float16).min).triu(1)
        self.register_buffer("mask", mask[None, None].to(self.norm.weight.dtype), persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        ids = self.whole(input_ids)
        states = self.embeddings(input_ids=ids)
        for layer in self.layers:
            states = layer(states, self.mask)
        last = (ids if self.end == LEGACY_END else ids == self.end).int().argmax(dim=-1)
        states = self.norm(states)[arange(states.shape[0]), last]
        vectors: Tensor = self.projection(states)
        return vectors


class VisionModel(nn.Module):
    """pixel_values [batch, 3, H, W] → image_embeds [batch, D], not normalised."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        tower = model.vision_model
        self.embeddings, self.layers = tower.embeddings, tower.encoder.layers
        self.before, self.after, self.projection = tower.pre_layrnorm, tower.post_layernorm, model.visual_projection

    def forward(self, pixel_values: Tensor) -> Tensor:
        states = self.before(self.embeddings(pixel_values))
        for layer in self.layers:
            states = layer(states, None)
        vectors: Tensor = self.projection(self.after(states[:, 0]))
        return vectors


def _load(checkpoint: Path) -> Parts:
    if infer_kind(checkpoint)[0] == OPEN_CLIP:
        return load_open_clip(checkpoint, ClipExporterConfig)
    model: Any = load_transformers(CLIPModel, checkpoint, dropped=UNUSED)
    config = model.config
    text, vision = config.text_config, config.vision_config
    tokenizer = read_tokenizer(checkpoint)
    end = _end_id(checkpoint, text, tokenizer)
    preprocessor = read_preprocessor(checkpoint, vision.image_size)
    context = text.max_position_embeddings
    shapes = DualShapes(
        vocab_size=text.vocab_size,
        context=context,
        eos_token_id=end,
        pad_token_id=end,
        image_size=vision.image_size,
        num_channels=vision.num_channels,
    )
    return Parts(
        model_type="clip",
        task="zero-shot-image-classification",
        image=image_facts(preprocessor),
        context=Context(text_tokens=context),
        encoders=dual_encoders(
            ClipExporterConfig,
            shapes,
            text=TextModel(model, shapes, end=text.eos_token_id),
            vision=VisionModel(model),
            scale=float(model.logit_scale.detach().float().exp()),
        ),
        configs={
            "config.json": clip_config(
                shapes,
                projection=config.projection_dim,
                text_width=text.hidden_size,
                text_layers=text.num_hidden_layers,
                text_heads=text.num_attention_heads,
            ),
            "preprocessor_config.json": preprocessor,
        },
        tokenizer=None if (checkpoint / "tokenizer.json").is_file() else tokenizer,
        tokenizer_settings={
            "tokenizer_class": "CLIPTokenizer",
            "eos_token": tokenizer.id_to_token(end),
            "pad_token": tokenizer.id_to_token(end),
            "padding_side": "right",
            "model_max_length": context,
        },
    )


def _end_id(checkpoint: Path, text: Any, tokenizer: Tokenizer) -> int:
    """The id behind every text, which the config must name too unless it is of before transformers 4.31."""
    named = read_json(checkpoint / "tokenizer_config.json").get("eos_token") or END
    token = named.get("content") if isinstance(named, dict) else named
    end = tokenizer.token_to_id(str(token))
    if end is None or end >= text.vocab_size or text.eos_token_id not in (end, LEGACY_END):
        raise CheckpointError(
            f"{checkpoint}: texts end with token {end} ({token!r}) for the tokenizer, with {text.eos_token_id} for "
            f"config.json, and the embedding table has {text.vocab_size} rows",
            hint='take tokenizer and config.json ("eos_token_id" in "text_config") from the same checkpoint',
        )
    return int(end)


FAMILY = Family(
    name="clip",
    checkpoints=("openai/clip-vit-*", "laion/CLIP-ViT-*", "apple/DFN*-CLIP-ViT-*"),
    model_types={"transformers": ("clip",), OPEN_CLIP: ("clip",)},
    task="zero-shot-image-classification",
    exporter_config=ClipExporterConfig,
    load=_load,
)
