"""Apple's own layout of FastVLM (``llava_qwen2``), mapped onto transformers' ``FastVlmForConditionalGeneration``.

Start with `load_apple`; `apple_name` is the key table. The tower in such a checkpoint is already reparameterized. Its
width and depth are read off the weights, so that fine-tunes and smaller towers load like the original. The repository's
Python files, which ``auto_map`` names, are never run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import float32, get_default_dtype, set_default_dtype
from transformers import FastVlmConfig, FastVlmForConditionalGeneration, Qwen2Config
from transformers.initialization import no_init_weights

from builder.errors import CheckpointError
from builder.families._checkpoint import (
    CONTRADICTION_HINT,
    fill,
    library_errors,
    refuse_giant,
    refuse_quantized,
    weight_shapes,
)
from builder.families._contract import read_json
from builder.families._preprocessor import ALWAYS
from builder.hub.weights import weight_files

ARCHITECTURE = "fastvit_mci3"
TOWER = "model.vision_tower.vision_tower.model."
TIMM = "model.vision_tower.timm_model."
STAGE_OF_BLOCKS = {0: 0, 2: 1, 4: 2, 7: 3, 10: 4}
STAGE_OF_DOWNSAMPLING = {1: 1, 3: 2, 5: 3, 8: 4}
STAGE_OF_POSITIONS = {6: 3, 9: 4}
"""Apple's ``network`` is one list of all stages, each led in by its downsampling and, later, its positions."""
TOWER_PARTS = (
    (re.compile(r"^patch_embed\."), "stem."),
    (re.compile(r"^conv_exp\."), "final_conv."),
    (re.compile(r"\.convffn\."), ".mlp."),
    (re.compile(r"\.se\.reduce\."), ".se.fc1."),
    (re.compile(r"\.se\.expand\."), ".se.fc2."),
    (re.compile(r"\.lkb_reparam\."), ".reparam_conv."),
    (re.compile(r"\.(layer_scale(?:_[12])?)$"), r".\1.gamma"),
)
OUTER_PARTS = (
    ("model.mm_projector.0.", "model.multi_modal_projector.linear_1."),
    ("model.mm_projector.2.", "model.multi_modal_projector.linear_2."),
    ("model.layers.", "model.language_model.layers."),
    ("model.norm.", "model.language_model.norm."),
    ("model.embed_tokens.", "model.language_model.embed_tokens."),
    ("lm_head.", "lm_head."),
)
KIN: Mapping[str, tuple[Any, ...]] = {
    "image_aspect_ratio": ("pad", "square", None),
    "mm_patch_merge_type": ("flat",),
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_use_im_start_end": (False, None),
    "mm_vision_select_feature": ("patch",),
}
"""Keys of Apple's config → what this export follows: one picture, all patches, a GELU between two layers."""
NO_TEXT = ("model_type", "auto_map", "architectures", "dtype", "torch_dtype")
"""Keys that say nothing of the language model; a dtype would win over that of the weights."""


def is_apple(checkpoint: Path) -> bool:
    """Whether a folder is in Apple's layout; the name of its model type is Apple's alone."""
    return read_json(checkpoint / "config.json").get("model_type") == "llava_qwen2"


def apple_name(name: str) -> str | None:
    """The name in ``FastVlmForConditionalGeneration`` of a tensor in Apple's layout; None for what has no use there.

    Names that the table does not know come back as they are, to be reported as left over.
    """
    if name.startswith(TOWER):
        inner = name.removeprefix(TOWER)
        if inner.startswith("head."):  # the classifier of the tower's own training
            return None
        return TIMM + _tower_name(inner)
    for theirs, ours in OUTER_PARTS:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _tower_name(name: str) -> str:
    found = re.match(r"network\.(\d+)\.(.+)", name)
    if found:
        number, rest = int(found[1]), found[2]
        if number in STAGE_OF_BLOCKS:
            name = f"stages.{STAGE_OF_BLOCKS[number]}.blocks.{rest}"
        elif number in STAGE_OF_DOWNSAMPLING:
            name = f"stages.{STAGE_OF_DOWNSAMPLING[number]}.downsample.{rest}"
        elif number in STAGE_OF_POSITIONS:
            name = f"stages.{STAGE_OF_POSITIONS[number]}.pos_emb.{rest}"
    for pattern, ours in TOWER_PARTS:
        name = pattern.sub(ours, name)
    return name


def load_apple(checkpoint: Path) -> tuple[FastVlmForConditionalGeneration, dict[str, Any], int]:
    """Load a checkpoint in Apple's layout, in its own dtype.

    Returns the model, the preprocessor_config.json that Apple's repositories lack, and its input size in pixels.

    Raises:
        CheckpointError: another kind of LLaVA with a Qwen2 decoder, or a config that contradicts the weights.
    """
    refuse_quantized(checkpoint)
    paths = weight_files(checkpoint)
    raw = read_json(checkpoint / "config.json")
    size = _input_size(checkpoint, raw)
    _refuse_other_kin(checkpoint, raw)
    shapes = {name: shape for theirs, shape in weight_shapes(paths).items() if (name := apple_name(theirs))}
    with library_errors(f"{checkpoint} cannot be loaded", hint=CONTRADICTION_HINT):
        config = _config(checkpoint, raw, shapes)
        refuse_giant(checkpoint, lambda: FastVlmForConditionalGeneration(config), shapes)
        model = _empty_model(config, _dtype(paths[0]))
    model.train(False)
    if config.tie_word_embeddings:  # a head that is stored all the same is the table again
        fill(model.model, paths, _inner_name)
        model.tie_weights()
    else:
        fill(model, paths, apple_name)
    pads = raw.get("image_aspect_ratio") == "pad"  # else LLaVA's code leaves pictures to the processor, which crops
    return model, letterbox(size) if pads else _crop(size), size


def _empty_model(config: FastVlmConfig, dtype: Any) -> FastVlmForConditionalGeneration:
    before = get_default_dtype()
    try:
        set_default_dtype(dtype)
        with no_init_weights():
            return FastVlmForConditionalGeneration(config)
    finally:
        set_default_dtype(before)


def _inner_name(name: str) -> str | None:
    """`apple_name` in the model below the output head."""
    ours = apple_name(name)
    return None if ours is None or ours.startswith("lm_head.") else ours.removeprefix("model.")


def _input_size(checkpoint: Path, raw: dict[str, Any]) -> int:
    found = re.fullmatch(r"mobileclip_l_([1-9]\d*)", str(raw.get("mm_vision_tower", "")).rsplit("/", 1)[-1])
    if not found:
        raise CheckpointError(
            f"{checkpoint} is a llava_qwen2 model with the vision tower {raw.get('mm_vision_tower')!r}, "
            "and only FastVLM's mobileclip_l is known",
            hint="export a FastVLM checkpoint, or a LLaVA checkpoint in the Transformers layout",
        )
    return int(found[1])


def _refuse_other_kin(checkpoint: Path, raw: dict[str, Any]) -> None:
    """Refuse what LLaVA's code can be told and this export does not do; it would come out as another model.

    Source: llava/model/llava_arch.py, llava/mm_utils.py and llava/model/multimodal_projector/builder.py of
    apple/ml-fastvlm.
    """
    for key, values in KIN.items():
        if key in raw and raw[key] not in values:
            known = " or ".join(map(repr, values))
            raise CheckpointError(
                f'{checkpoint / "config.json"} has {raw[key]!r} for "{key}", and only {known} is followed',
                hint="export a checkpoint that was trained as Apple's FastVLM was, or put config.json right",
            )


def _dtype(path: Path) -> Any:
    """The dtype of the first floating-point tensor."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118  safe_open is no mapping
            tensor = file.get_tensor(name)
            if tensor.is_floating_point():
                return tensor.dtype
    return float32


def _config(checkpoint: Path, raw: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> FastVlmConfig:
    """Transformers' config of the model: text as it stands in Apple's flat config, tower as the weights are."""
    flat = {key: value for key, value in raw.items() if key not in NO_TEXT}
    text = Qwen2Config(**flat)
    try:
        stem = shapes[f"{TIMM}stem.0.reparam_conv.weight"]
        depths = [_blocks(shapes, stage) for stage in range(5)]
        widths = [stem[0], *(shapes[f"{TIMM}stages.{stage}.blocks.0.mlp.fc2.weight"][0] for stage in range(1, 5))]
        features = shapes[f"{TIMM}final_conv.reparam_conv.weight"][0]
        hidden = shapes[f"{TIMM}stages.0.blocks.0.mlp.fc1.weight"][0]
    except KeyError as error:
        raise CheckpointError(
            f"{checkpoint} has no weights for {error.args[0]}",
            hint="take a checkpoint whose vision tower is reparameterized, as Apple publishes them",
        ) from error
    tied = text.tie_word_embeddings or "lm_head.weight" not in shapes
    text.tie_word_embeddings = tied
    return FastVlmConfig(
        text_config=text.to_dict(),
        vision_config={
            "model_type": "timm_wrapper",
            "architecture": ARCHITECTURE,
            "do_pooling": True,
            "hidden_size": features,
            "num_labels": 0,
            "model_args": {
                "inference_mode": True,
                "layers": depths,
                "embed_dims": widths,
                "mlp_ratios": [hidden / widths[0]] * 5,
            },
        },
        tie_word_embeddings=tied,
    )


def _blocks(shapes: dict[str, tuple[int, ...]], stage: int) -> int:
    pattern = re.compile(rf"{re.escape(TIMM)}stages\.{stage}\.blocks\.(\d+)\.")
    return len({found[1] for name in shapes if (found := pattern.match(name))})


PLAIN: Mapping[str, Any] = {**ALWAYS, "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}


def letterbox(size: int) -> dict[str, Any]:
    """A centred square on black, resized to ``size``.

    transformers.js has the centred padding only in its Donut processor. With a mean of 0 its padding is black.
    """
    return {
        **PLAIN,
        "image_processor_type": "DonutImageProcessor",
        "size": {"longest_edge": size},
        "do_thumbnail": False,
        "do_align_long_axis": False,
        "do_pad": True,
        "pad_size": {"height": size, "width": size},
    }


def _crop(size: int) -> dict[str, Any]:
    """The shorter edge resized to ``size``, and the centre cut out, as CLIP's processor does."""
    return {
        **PLAIN,
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": size},
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
    }
