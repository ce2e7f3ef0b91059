"""Image processors of checkpoints in Transformers' layout.

`read_image_processor` gives what a checkpoint says, `read_preprocessor` the whole preprocessor_config.json of a dual
encoder: transformers.js knows no defaults. Transformers 4 kept the image processor in preprocessor_config.json,
Transformers 5 keeps it in processor_config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.errors import CheckpointError
from builder.families._contract import read_json, section

HALF = (0.5, 0.5, 0.5)
ALWAYS: Mapping[str, Any] = {
    "do_convert_rgb": True,
    "do_resize": True,
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
}
"""What nearly all processors do. transformers.js would take other values, and not normalise."""
COMMON: Mapping[str, Any] = {**ALWAYS, "do_center_crop": False, "image_mean": HALF, "image_std": HALF}
CLASSES: Mapping[str, Mapping[str, Any]] = {
    "CLIP": {
        **COMMON,
        "size": {"shortest_edge": 224},
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "image_mean": (0.48145466, 0.4578275, 0.40821073),
        "image_std": (0.26862954, 0.26130258, 0.27577711),
    },
    "Siglip": {**COMMON, "size": {"height": 224, "width": 224}},
    "ViT": {**COMMON, "resample": 2, "size": {"height": 224, "width": 224}},
}
"""By image processor: what Transformers takes where a config is silent. transformers.js has all three."""
SIZES = ("size", "crop_size", "pad_size", "max_image_size")
COLOURS = ("image_mean", "image_std")
SHORTEST = frozenset({"CLIP", "Llava", "LlavaNext", "LlavaOnevision"})
"""Classes for which a plain number as ``size`` is the shorter edge; for others it is a square's."""


def read_image_processor(checkpoint: Path) -> dict[str, Any]:
    """Read what a checkpoint says of its image processor, sizes in today's words; {} where it says nothing.

    Transformers wrote plain numbers for sizes until 4.25. A size of null counts as none.

    Raises:
        CheckpointError: it is no JSON object, or a size or colour in it is of the wrong type.
    """
    path = checkpoint / "preprocessor_config.json"
    found = read_json(path)
    if not found:
        path = checkpoint / "processor_config.json"
        found = section(read_json(path), "image_processor", path)
    settings = {key: value for key, value in found.items() if key not in SIZES or value is not None}
    kind = processor_kind(settings)
    for key in SIZES:
        if key not in settings:
            continue
        value = settings[key]
        if _is_length(value) and key != "max_image_size":
            shortest = key == "size" and (kind in SHORTEST or bool(settings.get("do_center_crop")))
            settings[key] = {"shortest_edge": value} if shortest else {"height": value, "width": value}
        elif not isinstance(value, dict) or not all(_is_length(edge) or edge is None for edge in value.values()):
            raise CheckpointError(f'{path} has {value!r} for "{key}"', hint="give its edges in pixels: " + EDGES[key])
    for key in COLOURS:
        check_colours(path, key, settings.get(key))
    return settings


def check_colours(path: Path, key: str, value: object) -> None:
    """Make sure that a mean or deviation is one number, three of them, or null.

    Raises:
        CheckpointError: the value is something else.
    """
    numbers = value if isinstance(value, list) else [value or 0] * 3
    if len(numbers) != 3 or not all(isinstance(number, int | float) for number in numbers):
        raise CheckpointError(f'{path} has {value!r} for "{key}"', hint="give one number for each colour")


EDGES: Mapping[str, str] = {
    "size": '{"shortest_edge": 224}, or {"height": 224, "width": 224}',
    "crop_size": '{"height": 224, "width": 224}',
    "pad_size": '{"height": 224, "width": 224}',
    "max_image_size": '{"longest_edge": 512}',
}


def _is_length(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def processor_kind(settings: Mapping[str, Any]) -> str:
    """An image processor's class without what all of them are called; empty where it is not named."""
    kind = str(settings.get("image_processor_type") or settings.get("feature_extractor_type") or "")
    for ending in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        kind = kind.removesuffix(ending)
    return kind


def read_preprocessor(checkpoint: Path, edge: int) -> dict[str, Any]:
    """Read the image processor of a checkpoint whose pictures are squares of ``edge`` pixels.

    Raises:
        CheckpointError: there is none, it is of an unknown class, or it makes pictures of another size.
    """
    found = read_image_processor(checkpoint)
    kind = processor_kind(found) or "none"
    if kind not in CLASSES:
        raise CheckpointError(
            f"{checkpoint} has the image processor {kind!r}" if found else f"{checkpoint} has no image processor",
            hint=f"save the processor with the checkpoint: {', '.join(f'{name}ImageProcessor' for name in CLASSES)}",
        )
    known = {*CLASSES[kind], "crop_size"}
    chosen = {key: value for key, value in found.items() if key in known and value is not None}
    settings = {**CLASSES[kind], **chosen}
    if not settings["do_center_crop"]:
        settings.pop("crop_size", None)
    _check_size(checkpoint, settings, edge)
    return {**settings, "image_processor_type": f"{kind}ImageProcessor"}


def _check_size(checkpoint: Path, settings: Mapping[str, Any], edge: int) -> None:
    key = "crop_size" if settings["do_center_crop"] else "size"
    square = {"height": edge, "width": edge}
    if settings.get(key) != square:
        raise CheckpointError(
            f"{checkpoint} makes pictures of {settings.get(key)} for a vision tower of {edge} × {edge} pixels",
            hint=f'let "{key}" of the image processor be {square}',
        )
