"""OpenCLIP's layout: ``open_clip_config.json`` beside ``open_clip_model.safetensors``, as timm and laion publish it.

Start with `load_open_clip`. Families say which towers they take; everything else is the same for all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import open_clip
from open_clip.transformer import ResidualAttentionBlock
from timm.models import reparameterize_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer
from transformers.initialization import no_init_weights

from builder.errors import CheckpointError
from builder.families._checkpoint import fill, library_errors, refuse_giant, weight_shapes
from builder.families._contract import Parts, read_json, section
from builder.families._dual import DualExporterConfig, DualShapes, WholeCaption, dual_encoders
from builder.families._pictures import image_facts
from builder.families._preprocessor import check_colours
from builder.families._tokenizer import read_tokenizer
from builder.hub.weights import OPEN_CLIP_CONFIG
from builder.manifest import Context

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RESAMPLE = {"bilinear": 2, "bicubic": 3, "random": 3}
"""Random is for training, where pictures are resized by either; evaluation takes bicubic."""
START, END = "<|startoftext|>", "<|endoftext|>"
PAD = "!"
"""CLIP's token 0: OpenCLIP pads with zeros."""
CLIP_VOCABULARY = 49408
TOKENIZER_FILES = ("tokenizer.json", "vocab.json")


class TextModel(nn.Module):
    """input_ids int64 [batch, length] → text_embeds [batch, D], not normalised."""

    def __init__(self, model: nn.Module, shapes: DualShapes) -> None:
        super().__init__()
        self.model, self.whole = model, WholeCaption(shapes)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.model.encode_text(self.whole(input_ids))  # type: ignore[operator, no-any-return]


class VisionModel(nn.Module):
    """pixel_values [batch, 3, H, W] → image_embeds [batch, D], not normalised."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.model.encode_image(pixel_values)  # type: ignore[operator, no-any-return]


def load_open_clip(checkpoint: Path, exporter_config: type[DualExporterConfig]) -> Parts:
    """Load a checkpoint in OpenCLIP's layout; image towers with parallel branches are folded into single convolutions.

    Raises:
        CheckpointError: no safetensors, an unknown architecture, or a config that contradicts the weights.
    """
    path = checkpoint / OPEN_CLIP_CONFIG
    settings = read_json(path)
    config = _model_config(path, settings)
    _refuse_unsupported(checkpoint, config)
    text = config["text_cfg"]
    tokenizer = _tokenizer(checkpoint, text)
    shapes = DualShapes(
        vocab_size=text.get("vocab_size", CLIP_VOCABULARY),
        context=text.get("context_length", 77),
        eos_token_id=_end_id(checkpoint, tokenizer),
        pad_token_id=0,
        image_size=_edge(checkpoint, config["vision_cfg"].get("image_size", 224)),
    )
    weights = _weights(checkpoint)
    model = _build(checkpoint, config, weights)
    fill(model, [weights])
    model.train(False)
    if config["vision_cfg"].get("timm_model_name"):
        model.visual.trunk = reparameterize_model(model.visual.trunk)
    _direct_attentions(model)
    preprocessor = _preprocessor(checkpoint, section(settings, "preprocess_cfg", path), shapes.image_size)
    return Parts(
        model_type="clip",
        task="zero-shot-image-classification",
        image=image_facts(preprocessor),
        context=Context(text_tokens=shapes.context),
        encoders=dual_encoders(
            exporter_config,
            shapes,
            text=TextModel(model, shapes),
            vision=VisionModel(model),
            scale=float(model.logit_scale.detach().float().exp()),
            bias=float(model.logit_bias.detach()) if model.logit_bias is not None else 0.0,
        ),
        configs={
            "config.json": clip_config(
                shapes,
                projection=config["embed_dim"],
                text_width=text.get("width", 512),
                text_layers=text.get("layers", 12),
                text_heads=text.get("heads", 8),
            ),
            "preprocessor_config.json": preprocessor,
        },
        tokenizer=None if (checkpoint / "tokenizer.json").is_file() else tokenizer,
        tokenizer_settings=_tokenizer_settings(checkpoint, text, shapes.context),
    )


def clip_config(
    shapes: DualShapes, *, projection: int, text_width: int, text_layers: int, text_heads: int
) -> dict[str, Any]:
    """config.json of type ``clip``, of which transformers.js reads the type; the rest says what is in the graphs."""
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": projection,
        "text_config": {
            "model_type": "clip_text_model",
            "hidden_size": text_width,
            "num_hidden_layers": text_layers,
            "num_attention_heads": text_heads,
            "max_position_embeddings": shapes.context,
            "vocab_size": shapes.vocab_size,
            "eos_token_id": shapes.eos_token_id,
        },
        "vision_config": {"model_type": "clip_vision_model", "image_size": shapes.image_size},
    }


def _model_config(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """``model_cfg`` with both its towers, numbers where numbers are read."""
    config = section(settings, "model_cfg", path)
    towers = {key: section(config, key, path) for key in ("vision_cfg", "text_cfg")}
    for where, raw, keys in (
        ("model_cfg", config, ("embed_dim",)),
        ("text_cfg", towers["text_cfg"], ("context_length", "vocab_size", "width", "heads", "layers")),
    ):
        for key in keys:
            value = raw.get(key, 1)
            if not isinstance(value, int) or value < 1:
                raise CheckpointError(f'{path} has {value!r} for "{key}" in "{where}"', hint="take " + SUPPORTED)
    for key in ("embed_dim", *towers):
        if config.get(key) is None:
            raise CheckpointError(f'{path} has no "{key}" in "model_cfg"', hint="take " + SUPPORTED)
    return {**config, **towers}


def _refuse_unsupported(checkpoint: Path, config: dict[str, Any]) -> None:
    vision, text = config["vision_cfg"], config["text_cfg"]
    own_tokenizer = text.get("hf_tokenizer_name") or text.get("tokenizer_kwargs")
    for found, what in (
        (config.get("multimodal_cfg") or text.get("embed_cls"), "a captioning decoder (CoCa)"),
        (text.get("hf_model_name"), f"the text tower {text.get('hf_model_name')}"),
        (own_tokenizer, f"another tokenizer than CLIP's ({own_tokenizer})"),
        (text.get("pool_type", "argmax") != "argmax", f"texts pooled by {text.get('pool_type')!r}"),
        (isinstance(vision.get("layers"), list), "a ResNet as image tower"),
        (vision.get("output_tokens") or text.get("output_tokens"), "towers that give all tokens"),
    ):
        if found:
            raise CheckpointError(
                f"{checkpoint / OPEN_CLIP_CONFIG} describes a model with {what}", hint="take " + SUPPORTED
            )


SUPPORTED = "a CLIP, DFN or MobileCLIP checkpoint: ViT or FastViT, and CLIP's own text tower"


def _edge(checkpoint: Path, size: Any) -> int:
    edges = size if isinstance(size, list) else [size]
    if not all(isinstance(edge, int) and edge > 0 for edge in edges) or len(set(edges)) != 1:
        raise CheckpointError(
            f"{checkpoint / OPEN_CLIP_CONFIG} has an image tower of {size} pixels",
            hint="take a model for square pictures",
        )
    return int(edges[0])


def _build(checkpoint: Path, config: dict[str, Any], weights: Path) -> Any:
    custom = config.get("custom_text") or config["vision_cfg"].get("timm_model_name")
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    if config["vision_cfg"].get("timm_model_name") == "fastvit_scenes":
        import builder.embedded.architecture  # noqa: F401  registers the embedded models' tower with timm
    # Weights that timm would fetch are replaced by the checkpoint's anyway.
    vision = {**config["vision_cfg"], "timm_model_pretrained": False}

    def build() -> Any:
        return kind(
            config["embed_dim"],
            vision,
            config["text_cfg"],
            quick_gelu=bool(config.get("quick_gelu")),
            init_logit_bias=config.get("init_logit_bias"),
            nonscalar_logit_scale=bool(config.get("nonscalar_logit_scale")),
        )

    what = f"{checkpoint / OPEN_CLIP_CONFIG} describes a model that open_clip cannot build"
    with library_errors(what, hint="take " + SUPPORTED), no_init_weights():
        refuse_giant(checkpoint, build, weight_shapes([weights]))
        return build()


def _weights(checkpoint: Path) -> Path:
    path = checkpoint / "open_clip_model.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"{checkpoint} holds no {path.name}",
            hint="take the safetensors version of the model (timm/MobileCLIP2-*-OpenCLIP); pickles are never loaded",
        )
    return path


def _direct_attentions(model: nn.Module) -> None:
    """Replace the self-attention of OpenCLIP's own blocks; its pooling attends from other vectors."""
    for module in model.modules():
        if isinstance(module, ResidualAttentionBlock) and isinstance(module.attn, nn.MultiheadAttention):
            module.attn = DirectAttention(module.attn)


class DirectAttention(nn.Module):
    """Self-attention without the swaps of batch and sequence that `nn.MultiheadAttention` makes.

    They triple the nodes of a block, and onnxruntime 1.31 dies on them in float16: MatmulTransposeFusion follows a
    transpose through the casts that its CPU provider inserts. Can go when that is fixed and the swaps fold away.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads = attention.num_heads
        self.in_proj = nn.Linear(attention.embed_dim, 3 * attention.embed_dim)
        assert attention.in_proj_weight is not None and attention.in_proj_bias is not None
        self.in_proj.weight, self.in_proj.bias = attention.in_proj_weight, attention.in_proj_bias
        self.out_proj = attention.out_proj

    def forward(
        self, x: Tensor, *_: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        del need_weights
        batch, length, width = x.shape
        q, k, v = (p.view(batch, length, self.heads, -1).transpose(1, 2) for p in self.in_proj(x).chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, length, width)), None


def _preprocessor(checkpoint: Path, preprocess: dict[str, Any], edge: int) -> dict[str, Any]:
    """preprocessor_config.json of OpenCLIP's ``preprocess_cfg``, which a pretrained configuration always has.

    OpenCLIP's own defaults are OpenAI's values.
    """
    mode = preprocess.get("resize_mode") or "shortest"
    if mode not in ("shortest", "squash"):
        raise CheckpointError(
            f"{checkpoint / OPEN_CLIP_CONFIG} fits pictures by their {mode} edge, which no page can",
            hint='let "resize_mode" be "shortest" (pictures are cut to a square) or "squash"',
        )
    asked = str(preprocess.get("interpolation") or "bicubic")
    if asked not in RESAMPLE:
        raise CheckpointError(
            f"{checkpoint / OPEN_CLIP_CONFIG} resizes pictures by {asked!r}, which open_clip does not have",
            hint=f'let "interpolation" be one of {", ".join(RESAMPLE)}',
        )
    for key in ("mean", "std"):
        check_colours(checkpoint / OPEN_CLIP_CONFIG, key, preprocess.get(key))
    square = {"height": edge, "width": edge}
    mean = preprocess.get("mean") or open_clip.OPENAI_DATASET_MEAN
    std = preprocess.get("std") or open_clip.OPENAI_DATASET_STD
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": edge} if mode == "shortest" else square,
        "resample": RESAMPLE[asked],
        "do_center_crop": mode == "shortest",
        "crop_size": square,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean) if isinstance(mean, list | tuple) else [mean] * 3,
        "image_std": list(std) if isinstance(std, list | tuple) else [std] * 3,
    }


def _tokenizer(checkpoint: Path, text: dict[str, Any]) -> Tokenizer:
    """The checkpoint's tokenizer; where it has none, CLIP's, which OpenCLIP brings along."""
    vocabulary = text.get("vocab_size", CLIP_VOCABULARY)
    if vocabulary != CLIP_VOCABULARY or any((checkpoint / name).is_file() for name in TOKENIZER_FILES):
        return read_tokenizer(checkpoint)
    own = open_clip.SimpleTokenizer()
    vocab = {token: number for token, number in own.encoder.items() if number < own.sot_token_id}
    vocab |= {START: own.sot_token_id, END: own.eot_token_id}
    tokenizer: Tokenizer = CLIPTokenizer(vocab=vocab, merges=list(own.bpe_ranks)).backend_tokenizer
    return tokenizer


def _tokenizer_settings(checkpoint: Path, text: dict[str, Any], context: int) -> dict[str, Any]:
    own = read_json(checkpoint / "tokenizer_config.json")
    # Without a causal mask the padding is seen; with one, texts are read at their first end mark.
    pad = PAD if text.get("no_causal_mask") else own.get("pad_token", END)
    return {
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        **own,
        "tokenizer_class": "CLIPTokenizer",
        "pad_token": pad,
        "padding_side": "right",
        "model_max_length": context,
    }


def _end_id(checkpoint: Path, tokenizer: Tokenizer) -> int:
    """The id whose place the text tower reads its vector from."""
    found = tokenizer.token_to_id(END)
    if found is None:
        raise CheckpointError(f"{checkpoint / 'tokenizer.json'} has no {END}", hint="take CLIP's fast tokenizer")
    return int(found)
