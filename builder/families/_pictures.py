"""From a preprocessor_config.json to the manifest's picture facts: what the page does instead of the processor.

Start with `image_facts`. The page resizes (web_template/shared/resample.js does what Pillow does) and transformers.js
only normalises, so that a config which the page cannot follow is refused here, not approximated in the browser. What
no config says (FastVLM's own code pads to a square before its processor crops) is for the family to put into words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder.errors import CheckpointError
from builder.families._preprocessor import processor_kind
from builder.manifest import ImageFacts

NAME = "preprocessor_config.json"
FILTERS: Mapping[int, str] = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers."""
DEFAULT_FILTERS: Mapping[str, str] = {
    "CLIP": "bicubic",
    "Llava": "bicubic",
    "LlavaOnevision": "bicubic",
    "Siglip": "bicubic",
    "Idefics3": "lanczos",
    "SmolVLM": "lanczos",
}
"""What Transformers' classes take where a config names no ``resample``; all others take bilinear."""
TILED = frozenset({"Idefics3", "SmolVLM"})
CROPS_UNASKED = frozenset({"CLIP", "Llava"})
"""Classes whose ``do_center_crop`` is on unless a config switches it off."""


def image_facts(preprocessor: Mapping[str, Any], *, tokens: int | None = None) -> ImageFacts:
    """Derive size, fit and filter of the model's input from a preprocessor_config.json.

    - A square or rectangle of ``height`` and ``width``: stretch. So is LLaVA-OneVision's base tile, the only one taken.
    - ``shortest_edge`` and a centre crop of the same size: crop.
    - Padding, by Donut's class (the only one with which transformers.js centres) or by LLaVA's: letterbox. Donut itself
      resizes before it pads; the page pads first, as LLaVA does, which differs where picture and black meet.
    - Idefics3 and SmolVLM: stretch to one tile, a square of ``max_image_size``. Transformers, told not to split, gets
      there in two steps, over a picture of ``size.longest_edge`` (2048 for SmolVLM) that is enlarged and reduced again;
      the page takes one. Config and page agree exactly with ``size`` set to the tile's height and width.

    Args:
        preprocessor: the JSON object, as Transformers writes it today or did with plain numbers for sizes.
        tokens: rows that one picture takes in a captioner's prompt; handed through.

    Raises:
        CheckpointError: sizes are missing or contradict each other, the filter is one that the page does not have, or
            pictures are padded in another colour than black.
    """
    kind = processor_kind(preprocessor)
    filter_name = _filter(preprocessor, kind)
    if kind in TILED:
        tile = _edge(preprocessor, "max_image_size", "longest_edge")
        return ImageFacts(width=tile, height=tile, tokens=tokens, fit="stretch", resample=filter_name)
    size = _sizes(preprocessor)
    if preprocessor.get("do_pad") and kind in ("Donut", "Llava"):
        width, height = _padded(preprocessor, kind, size)
        return ImageFacts(width=width, height=height, tokens=tokens, fit="letterbox", resample=filter_name)
    crops = preprocessor.get("do_center_crop", kind in CROPS_UNASKED) and preprocessor.get("crop_size") is not None
    if "height" in size and "width" in size:
        if crops and _rectangle(preprocessor, "crop_size") != (size["width"], size["height"]):
            raise _refuse("stretches pictures and then cuts them", hint='let "crop_size" be "size"')
        return ImageFacts(
            width=size["width"], height=size["height"], tokens=tokens, fit="stretch", resample=filter_name
        )
    edge = size.get("shortest_edge")
    if edge is None or "longest_edge" in size:
        raise _refuse(f"names no fixed input size: {size}", hint=f'add "size" to {NAME}: height and width')
    if kind == "LlavaOnevision":
        return ImageFacts(width=edge, height=edge, tokens=tokens, fit="stretch", resample=filter_name)
    if not crops:
        raise _refuse(f"resizes the shorter edge to {edge} and leaves the longer one", hint='add "crop_size"')
    width, height = _rectangle(preprocessor, "crop_size")
    if (width, height) != (edge, edge):
        raise _refuse(
            f"resizes the shorter edge to {edge} and cuts {width} × {height} out of that; the page cuts the whole edge",
            hint='let "crop_size" and "shortest_edge" be the same',
        )
    return ImageFacts(width=edge, height=edge, tokens=tokens, fit="crop", resample=filter_name)


def _filter(preprocessor: Mapping[str, Any], kind: str) -> str:
    number = preprocessor.get("resample")
    if number is None:
        return DEFAULT_FILTERS.get(kind, "bilinear")
    if not isinstance(number, int) or number not in FILTERS:
        raise _refuse(
            f"asks for resampling {number!r}, which the page does not have",
            hint='let "resample" be 1 (Lanczos), 2 (bilinear) or 3 (bicubic)',
        )
    return FILTERS[number]


def _sizes(preprocessor: Mapping[str, Any]) -> dict[str, int]:
    """``size`` in today's words: in older configs a number was the shorter edge where a crop follows, else a square."""
    size = preprocessor.get("size")
    if not isinstance(size, Mapping):
        edge = _edge(preprocessor, "size", "")
        return {"shortest_edge": edge} if preprocessor.get("do_center_crop") else {"height": edge, "width": edge}
    return {key: _edge(preprocessor, "size", key) for key, value in size.items() if value is not None}


def _padded(preprocessor: Mapping[str, Any], kind: str, size: Mapping[str, int]) -> tuple[int, int]:
    """Width and height of the square that a letterboxed picture becomes."""
    mean = preprocessor.get("image_mean") or ()
    if kind == "Llava" and any(int(value * 255) for value in mean):
        raise _refuse(f"pads with the colour of its mean {list(mean)}", hint='set "do_pad" to false, or the mean to 0')
    if preprocessor.get("pad_size") is not None:
        width, height = _rectangle(preprocessor, "pad_size")
    else:
        edge = size.get("shortest_edge") or size.get("longest_edge") or 0
        width, height = size.get("width", edge), size.get("height", edge)
    if width != height:
        raise _refuse(f"pads to {width} × {height}; the page pads to a square", hint='set "do_pad" to false')
    return width, height


def _rectangle(preprocessor: Mapping[str, Any], key: str) -> tuple[int, int]:
    if not isinstance(preprocessor.get(key), Mapping):
        edge = _edge(preprocessor, key, "")
        return edge, edge
    return _edge(preprocessor, key, "width"), _edge(preprocessor, key, "height")


def _edge(preprocessor: Mapping[str, Any], key: str, part: str) -> int:
    """The length at ``key``, or at ``part`` of it."""
    value = preprocessor.get(key)
    if part and isinstance(value, Mapping):
        value = value.get(part)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        where = f'"{key}"' + (f' → "{part}"' if part else "")
        raise _refuse(f"has {value!r} for {where}", hint=f"give {where} the length of the model's input in pixels")
    return value


def _refuse(what: str, *, hint: str) -> CheckpointError:
    return CheckpointError(f"{NAME} {what}", hint=hint)
