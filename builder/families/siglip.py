"""SigLIP, and SigLIP 2 of fixed resolution: two towers and a sigmoid for every pair; ``siglip`` in transformers.js.

Both have model type ``siglip``; SigLIP 2 differs in its tokenizer, Gemma's. Type ``siglip2`` is NaFlex, which takes
pictures of any shape and has no place in transformers.js. The text tower sees the padding and reads its vector from the
last place, so texts always have the whole context. Sources: Zhai et al., Sigmoid Loss for Language Image Pre-Training
(2023); Tschannen et al., SigLIP 2 (2025); transformers' modeling_siglip.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional
from transformers import SiglipModel

from builder.errors import CheckpointError
from builder.families._checkpoint import load_transformers
from builder.families._contract import Family, Parts, read_json, section
from builder.families._dual import DualExporterConfig, DualShapes, WholeCaption, dual_encoders, dual_graphs
from builder.families._pictures import image_facts
from builder.families._preprocessor import read_preprocessor
from builder.families._sentencepiece import siglip_tokenizer
from builder.families._tokenizer import read_tokenizer
from builder.manifest import Context

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAFLEX = "siglip2"
PIECES = "spiece.model"
OUTPUTS = ("last_hidden_state", "pooler_output")
UNUSED = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
"""Counters that early checkpoints hold."""


class SiglipExporterConfig(DualExporterConfig):
    GRAPHS = dual_graphs(text=OUTPUTS, image=OUTPUTS)


class TextModel(nn.Module):
    """input_ids int64 [batch, length] → last_hidden_state [batch, context, W], pooler_output [batch, D]."""

    def __init__(self, model: SiglipModel, shapes: DualShapes) -> None:
        super().__init__()
        tower = model.text_model
        self.whole, self.embeddings = WholeCaption(shapes), tower.embeddings
        self.layers, self.norm, self.head = tower.encoder.layers, tower.final_layer_norm, tower.head

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        states = self.embeddings(input_ids=self.whole(input_ids))
        for layer in self.layers:
            states = layer(states, None)
        states = self.norm(states)
        return states, self.head(states[:, -1])


class VisionModel(nn.Module):
    """pixel_values [batch, 3, H, W] → last_hidden_state [batch, patches, W], pooler_output [batch, D]."""

    def __init__(self, model: SiglipModel) -> None:
        super().__init__()
        tower = model.vision_model
        self.embeddings, self.layers, self.norm = tower.embeddings, tower.encoder.layers, tower.post_layernorm
        self.head = PoolingHead(tower.head)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        states = self.embeddings(pixel_values)
        for layer in self.layers:
            states = layer(states, None)
        states = self.norm(states)
        return states, self.head(states)


class PoolingHead(nn.Module):
    """Transformers' pooling without `nn.MultiheadAttention` and its swaps (see `DirectAttention` in _openclip.py)."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        attention: Any = head.attention
        width = attention.embed_dim
        self.heads, self.probe = attention.num_heads, head.get_parameter("probe")
        self.norm, self.mlp = head.get_submodule("layernorm"), head.get_submodule("mlp")
        self.query, self.pairs, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), attention.out_proj
        weight, bias = attention.in_proj_weight.detach(), attention.in_proj_bias.detach()
        self.query.weight, self.query.bias = nn.Parameter(weight[:width]), nn.Parameter(bias[:width])
        self.pairs.weight, self.pairs.bias = nn.Parameter(weight[width:]), nn.Parameter(bias[width:])

    def forward(self, states: Tensor) -> Tensor:
        batch, rows, width = states.shape
        query = self.query(self.probe).view(1, 1, self.heads, -1).transpose(1, 2).expand(batch, -1, -1, -1)
        keys, values = (p.view(batch, rows, self.heads, -1).transpose(1, 2) for p in self.pairs(states).chunk(2, -1))
        mixed = functional.scaled_dot_product_attention(query, keys, values)
        read: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, width))
        pooled: Tensor = read + self.mlp(self.norm(read))
        return pooled


@dataclass(frozen=True, kw_only=True)
class Texts:
    """A tokenizer that ends texts, and the tokens by which it ends and pads them."""

    tokenizer: Tokenizer
    kind: str
    end: str
    padding: str
    lower_case: bool

    def id_of(self, token: str) -> int:
        number = self.tokenizer.token_to_id(token)
        assert number is not None, "checked where the tokenizer was read"
        return int(number)


def _load(checkpoint: Path) -> Parts:
    _refuse_unsupported(checkpoint)
    model: Any = load_transformers(SiglipModel, checkpoint, dropped=UNUSED)
    text, vision = model.config.text_config, model.config.vision_config
    texts = _read_texts(checkpoint, text.vocab_size)
    preprocessor = read_preprocessor(checkpoint, vision.image_size)
    shapes = DualShapes(
        vocab_size=text.vocab_size,
        context=text.max_position_embeddings,
        eos_token_id=texts.id_of(texts.end),
        pad_token_id=texts.id_of(texts.padding),
        image_size=vision.image_size,
        num_channels=vision.num_channels,
    )
    return Parts(
        model_type="siglip",
        task="zero-shot-image-classification",
        image=image_facts(preprocessor),
        context=Context(text_tokens=shapes.context),
        encoders=dual_encoders(
            SiglipExporterConfig,
            shapes,
            text=TextModel(model, shapes),
            vision=VisionModel(model),
            scale=float(model.logit_scale.detach().float().exp()),
            bias=float(model.logit_bias.detach()),
        ),
        configs={"config.json": _config(text, vision, shapes), "preprocessor_config.json": preprocessor},
        tokenizer=texts.tokenizer,
        tokenizer_settings={
            "tokenizer_class": texts.kind,
            "do_lower_case": texts.lower_case,
            "eos_token": texts.end,
            "pad_token": texts.padding,
            # Gemma's own tokenizer pads on the left, and Hub configs know no length: both contradict the training
            "padding_side": "right",
            "model_max_length": shapes.context,
        },
    )


def _refuse_unsupported(checkpoint: Path) -> None:
    path = checkpoint / "config.json"
    config = read_json(path)
    if config.get("model_type") == NAFLEX:
        raise CheckpointError(
            f"{checkpoint} is of model type {NAFLEX!r} (NaFlex): it takes patches of pictures of any shape, and "
            "transformers.js has no class for it",
            hint="take the model of fixed resolution, as google/siglip2-base-patch16-224",
        )
    if section(config, "vision_config", path).get("vision_use_head") is False:
        raise CheckpointError(
            f"{checkpoint} has an image tower without pooling, which gives no vector to compare with texts",
            hint="take the whole SigLIP model, not a tower that was cut out for a captioner",
        )


def _read_texts(checkpoint: Path, rows: int) -> Texts:
    """The tokenizer that Transformers takes: SigLIP's SentencePiece model, or Gemma's tokenizer.json."""
    settings = {**read_json(checkpoint / "special_tokens_map.json"), **read_json(checkpoint / "tokenizer_config.json")}
    pieces = (checkpoint / PIECES).is_file()
    lower_case = settings.get("do_lower_case", True) is not False
    if pieces:
        tokenizer = siglip_tokenizer(checkpoint / PIECES, lower_case=lower_case)
    else:
        tokenizer = read_tokenizer(checkpoint)
        tokenizer.no_padding()
        tokenizer.no_truncation()
    layout = json.loads(tokenizer.to_str())
    byte_pairs = layout["model"]["type"] == "BPE"
    texts = Texts(
        tokenizer=tokenizer,
        kind="GemmaTokenizer" if byte_pairs else "SiglipTokenizer",
        end=_token(settings, "eos_token", "<eos>" if byte_pairs else "</s>"),
        padding=_token(settings, "pad_token", "<pad>" if byte_pairs else "</s>"),
        lower_case=lower_case,
    )
    for token in (texts.end, texts.padding):
        number = tokenizer.token_to_id(token)
        if number is None or number >= rows:
            raise CheckpointError(
                f"{checkpoint}: {token!r} is token {number} of the tokenizer, and the embedding table has {rows} rows",
                hint="take tokenizer and config.json from the same checkpoint",
            )
    if byte_pairs:
        _as_trained(texts, lowers="Lowercase" in json.dumps(layout["normalizer"]))
    return texts


def _token(settings: Mapping[str, Any], key: str, default: str) -> str:
    found = settings.get(key) or default
    return str(found.get("content")) if isinstance(found, dict) else str(found)


def _as_trained(texts: Texts, *, lowers: bool) -> None:
    """Give Gemma's tokenizer SigLIP 2's lower case, unless it ``lowers`` already, and its end mark.

    Neither is in the tokenizer.json of Gemma: transformers has a Siglip2Tokenizer for the one and ``add_eos_token`` for
    the other (https://github.com/huggingface/transformers/pull/43101).
    """
    from tokenizers import normalizers, processors

    tokenizer, end = texts.tokenizer, texts.id_of(texts.end)
    own = tokenizer.normalizer
    if texts.lower_case and not lowers:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *([own] if own is not None else [])])
    if tokenizer.encode("a").ids[-1] != end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {texts.end}", special_tokens=[(texts.end, end)]
        )


def _config(text: Any, vision: Any, shapes: DualShapes) -> dict[str, Any]:
    return {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "text_config": {
            "model_type": "siglip_text_model",
            "hidden_size": text.hidden_size,
            "num_hidden_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "max_position_embeddings": shapes.context,
            "vocab_size": shapes.vocab_size,
            "eos_token_id": shapes.eos_token_id,
            "pad_token_id": shapes.pad_token_id,
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": vision.hidden_size,
            "num_hidden_layers": vision.num_hidden_layers,
            "num_attention_heads": vision.num_attention_heads,
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
        },
    }


FAMILY = Family(
    name="siglip",
    checkpoints=("google/siglip-base-patch16-*", "google/siglip-so400m-*", "google/siglip2-*-patch*-*"),
    model_types={"transformers": ("siglip", NAFLEX)},
    task="zero-shot-image-classification",
    exporter_config=SiglipExporterConfig,
    load=_load,
)
