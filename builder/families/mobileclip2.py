"""MobileCLIP and MobileCLIP2: FastViT image tower and transformer text tower; ``clip`` in transformers.js.

Takes open_clip's layout (``open_clip_config.json`` beside safetensors), as timm publishes the models. The image tower
is trained with parallel branches that fold into single convolutions; it is reparameterized before tracing. Source:
Faghri et al., MobileCLIP2 (TMLR 2025).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.errors import CheckpointError
from builder.families._contract import Encoder, Family, Parts, read_json
from builder.manifest import Context, ImageFacts

if TYPE_CHECKING:
    from torch import nn

RESAMPLE = {"bilinear": 2, "bicubic": 3}


def _recognises(checkpoint: Path) -> bool:
    vision = read_json(checkpoint / "open_clip_config.json").get("model_cfg", {}).get("vision_cfg", {})
    return str(vision.get("timm_model_name", "")).startswith("fastvit")


def _load_weights(checkpoint: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    path = checkpoint / "open_clip_model.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"{checkpoint} holds no open_clip_model.safetensors",
            hint="take the safetensors version of the model (timm/MobileCLIP2-*-OpenCLIP); pickles are never loaded",
        )
    return load_file(path)


def _load(checkpoint: Path) -> Parts:
    import open_clip
    import torch
    from timm.models import reparameterize_model
    from torch import Tensor, nn

    settings = read_json(checkpoint / "open_clip_config.json")
    config = settings["model_cfg"]
    if config["vision_cfg"]["timm_model_name"] == "fastvit_scenes":
        import builder.embedded.architecture  # noqa: F401  registers the embedded models' tower with timm
    model = open_clip.CustomTextCLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    weights = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in _load_weights(checkpoint).items()
    }
    model.load_state_dict(weights, strict=True)
    model.eval()
    model.visual.trunk = reparameterize_model(model.visual.trunk)
    for block in model.text.transformer.resblocks:
        block.attn = _direct_attention(block.attn)
    size, length = int(config["vision_cfg"]["image_size"]), int(config["text_cfg"]["context_length"])

    class TextModel(nn.Module):
        """input_ids int64 [batch, context] → text_embeds [batch, D], not normalised."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model.text

        def forward(self, input_ids: Tensor) -> Tensor:
            return self.model(input_ids)  # type: ignore[no-any-return]

    class VisionModel(nn.Module):
        """pixel_values [batch, 3, H, W] → image_embeds [batch, D], not normalised."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model.visual

        def forward(self, pixel_values: Tensor) -> Tensor:
            return self.model(pixel_values)  # type: ignore[no-any-return]

    seeded = torch.Generator().manual_seed(0)
    end = int(config["text_cfg"]["vocab_size"]) - 1
    ids = torch.randint(1, end, (2, length), generator=seeded)
    ids[0, 5], ids[1, 9] = end, end
    ids[0, 6:], ids[1, 10:] = 0, 0
    return Parts(
        model_type="clip",
        task="zero-shot-image-classification",
        image=ImageFacts(width=size, height=size),
        context=Context(text_tokens=length),
        encoders=(
            Encoder(
                name="text_model",
                module=TextModel().eval(),
                inputs={"input_ids": ids},
                axes={"input_ids": {0: "batch_size"}},
                outputs=("text_embeds",),
            ),
            Encoder(
                name="vision_model",
                module=VisionModel().eval(),
                inputs={"pixel_values": torch.rand(2, 3, size, size, generator=seeded)},
                axes={"pixel_values": {0: "batch_size"}},
                outputs=("image_embeds",),
            ),
        ),
        configs=_configs(checkpoint, settings, size=size),
        copied=("tokenizer.json",),
    )


def _direct_attention(attention: nn.MultiheadAttention) -> nn.Module:
    """The same attention without the swaps of batch and sequence that `nn.MultiheadAttention` makes.

    They triple the nodes of a block, and onnxruntime 1.31 dies on them in float16: MatmulTransposeFusion follows a
    transpose through the casts that its CPU provider inserts. Can go when that is fixed and the swaps fold away.
    """
    from torch import Tensor, nn
    from torch.nn import functional

    class DirectAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = attention.num_heads
            self.in_proj = nn.Linear(attention.embed_dim, 3 * attention.embed_dim)
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

    return DirectAttention()


def _configs(checkpoint: Path, settings: dict[str, Any], *, size: int) -> dict[str, dict[str, Any]]:
    config, preprocess = settings["model_cfg"], settings.get("preprocess_cfg", {})
    text = config["text_cfg"]
    tokenizer = read_json(checkpoint / "tokenizer_config.json")
    if not text.get("no_causal_mask"):
        tokenizer.setdefault("pad_token", "<|endoftext|>")
    else:  # without a mask the pads are seen: open_clip pads with id 0, which is "!"
        tokenizer["pad_token"] = "!"
    return {
        "config.json": {
            "architectures": ["CLIPModel"],
            "model_type": "clip",
            "projection_dim": config["embed_dim"],
            "text_config": {
                "model_type": "clip_text_model",
                "hidden_size": text["width"],
                "num_hidden_layers": text["layers"],
                "num_attention_heads": text["heads"],
                "max_position_embeddings": text["context_length"],
                "vocab_size": text["vocab_size"],
                "eos_token_id": _end_id(checkpoint),
            },
            "vision_config": {"model_type": "clip_vision_model", "image_size": size},
        },
        "preprocessor_config.json": {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "size": {"shortest_edge": size},
            "resample": RESAMPLE.get(preprocess.get("interpolation", "bilinear"), 2),
            "do_center_crop": True,
            "crop_size": {"height": size, "width": size},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": preprocess.get("mean", [0.0, 0.0, 0.0]),
            "image_std": preprocess.get("std", [1.0, 1.0, 1.0]),
        },
        "tokenizer_config.json": {**tokenizer, "model_max_length": text["context_length"]},
    }


def _end_id(checkpoint: Path) -> int:
    """The id whose place the text tower reads its vector from."""
    for token in read_json(checkpoint / "tokenizer.json").get("added_tokens", ()):
        if token["content"] == "<|endoftext|>":
            return int(token["id"])
    raise CheckpointError(f"{checkpoint / 'tokenizer.json'} has no <|endoftext|>", hint="take CLIP's fast tokenizer")


FAMILY = Family(
    name="mobileclip2",
    checkpoints=("timm/MobileCLIP2-*-OpenCLIP", "apple/MobileCLIP-*-OpenCLIP"),
    recognises=_recognises,
    load=_load,
)
