"""Processors: which class prepares pictures and prompts, and the numbers it cannot do without.

Source: src/models/auto/processing_auto.js, src/image_processors_utils.js, and the processors' own files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from builder.errors import did_you_mean
from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._model import Json, WebModel, as_int, as_object, as_text
from builder.export.rules._tables import IMAGE_TEXT, tables

PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
CLASS_OF_TYPE: Mapping[str, str] = {
    "llava": "LlavaProcessor",
    "llava_qwen2": "LlavaProcessor",
    "idefics3": "Idefics3Processor",
    "smolvlm": "SmolVLMProcessor",
    "paligemma": "PaliGemmaProcessor",
    "florence2": "Florence2Processor",
    "qwen2_vl": "Qwen2VLProcessor",
    "qwen2_5_vl": "Qwen2_5_VLProcessor",
    "qwen3_vl": "Qwen3VLProcessor",
    "gemma3": "Gemma3Processor",
    "mistral3": "PixtralProcessor",
    "lfm2_vl": "Lfm2VlProcessor",
    "phi3_v": "Phi3VProcessor",
}
TILED = ("Idefics3ImageProcessor", "SmolVLMImageProcessor")
NEEDED_KEYS: Mapping[str, tuple[str, ...]] = {
    "LlavaProcessor": ("image_token", "patch_size", "num_additional_image_tokens"),
    "PixtralProcessor": ("image_token", "patch_size", "spatial_merge_size"),
    "Idefics3Processor": ("image_seq_len",),
    "SmolVLMProcessor": ("image_seq_len",),
    "Gemma3Processor": ("image_seq_length",),
}


@rule(
    "TJS601",
    Severity.ERROR,
    "preprocessor_config.json of a captioner names a processor_class that transformers.js has",
    fix="add processor_class to preprocessor_config.json",
)
def processor_class_is_known(model: WebModel) -> Iterator[Hit]:
    if model.kind not in IMAGE_TEXT or not model.preprocessor or model.processor_class in tables().processors:
        return
    expected = CLASS_OF_TYPE.get(model.model_type)
    what = f"names {model.processor_class!r}, which is unknown" if model.processor_class else "has no processor_class"
    yield Hit(
        where=PREPROCESSOR,
        message=f"{what}: AutoProcessor gives an image processor alone, without tokenizer and template",
        fix=f'set "processor_class": "{expected}"' if expected else None,
        severity=None if expected else Severity.WARNING,  # pages of these types bring the tokenizer themselves
    )


def _image_processor(model: WebModel) -> str:
    stated = model.preprocessor.get("image_processor_type") or model.preprocessor.get("feature_extractor_type")
    return as_text(stated).removesuffix("Fast")


@rule(
    "TJS602",
    Severity.ERROR,
    "image_processor_type is one that transformers.js has",
    fix="set image_processor_type to one that it has, as CLIPImageProcessor",
)
def image_processor_is_known(model: WebModel) -> Iterator[Hit]:
    known = tables().image_processors | tables().feature_extractors
    name = _image_processor(model)
    if not model.preprocessor or name in known:
        return
    through_class = model.processor_class in tables().processors
    if name:
        near = "CLIPImageProcessor" if name == "LlavaImageProcessor" else None
        hint = f"did you mean {near!r}?" if near else did_you_mean(name, known)
        consequence = "the plain ImageProcessor stands in" if through_class else "AutoProcessor throws"
        yield Hit(
            where=f"{PREPROCESSOR} image_processor_type",
            message=f"{name!r} is unknown to transformers.js {tables().version}: {consequence}",
            fix=hint if len(hint) < 80 else None,
            severity=Severity.WARNING if through_class else None,
        )
    elif not through_class:
        yield Hit(where=PREPROCESSOR, message="has no image_processor_type: AutoProcessor throws")


@rule(
    "TJS603",
    Severity.ERROR,
    "processor_config.json has the keys that its class computes with",
    fix="add the key as the checkpoint's processor has it",
)
def processor_keys_are_there(model: WebModel) -> Iterator[Hit]:
    config = model.json(PROCESSOR)
    for key in NEEDED_KEYS.get(model.processor_class, ()) if config else ():
        if config.get(key) is None:
            yield Hit(where=PROCESSOR, message=f"has no {key}, which {model.processor_class} computes with")


@rule(
    "TJS607",
    Severity.ERROR,
    "patch_size is a positive integer",
    fix="set patch_size to the side of the vision tower's patches in pixels, as its config has it",
)
def patches_have_a_size(model: WebModel) -> Iterator[Hit]:
    size = model.json(PROCESSOR).get("patch_size")
    if "patch_size" in NEEDED_KEYS.get(model.processor_class, ()) and size is not None and (as_int(size) or 0) < 1:
        message = f"is {size!r}: {model.processor_class} divides the picture's sides by it"
        yield Hit(where=f"{PROCESSOR} patch_size", message=message)


@rule(
    "TJS604",
    Severity.ERROR,
    "tiles have a size: max_image_size.longest_edge",
    fix='add "max_image_size": {"longest_edge": 512}',
)
def tiles_have_a_size(model: WebModel) -> Iterator[Hit]:
    edge = as_int(as_object(model.preprocessor.get("max_image_size")).get("longest_edge"))
    if _image_processor(model) in TILED and edge is None:
        yield Hit(where=PREPROCESSOR, message="has no max_image_size.longest_edge: no picture can be cut into tiles")


@rule(
    "TJS605",
    Severity.ERROR,
    "a picture that is normalised has image_mean and image_std",
    fix="add image_mean and image_std, or set do_normalize to false",
)
def normalisation_is_complete(model: WebModel) -> Iterator[Hit]:
    config = model.preprocessor
    for key in ("image_mean", "image_std") if config.get("do_normalize") is True else ():
        values = config.get(key, config.get(key.removeprefix("image_")))
        numbers = values if isinstance(values, list) else [values]
        wrong = any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in numbers) or len(numbers) not in (
            1,
            3,
        )
        if wrong or (key == "image_std" and 0 in numbers):
            yield Hit(where=f"{PREPROCESSOR} {key}", message=f"is {values!r}: normalised pixels are not numbers")


def _is_size(size: object) -> bool:
    """Tell whether transformers.js can resize to it: a number, an edge, or height and width."""
    if not isinstance(size, dict):
        return (as_int(size) or 0) > 0
    ways = (("shortest_edge",), ("longest_edge",), ("height", "width"), ("max_height", "max_width"))
    return any(all((as_int(size.get(key)) or 0) > 0 for key in keys) for keys in ways)


@rule(
    "TJS608",
    Severity.ERROR,
    "the size that pictures are resized to is given in pixels",
    fix='write it as "size": {"height": 336, "width": 336} or {"shortest_edge": 336}',
)
def size_is_given(model: WebModel) -> Iterator[Hit]:
    config = model.preprocessor
    size = config.get("size")
    if size is None:
        size = config.get("image_size")
    resized = config.get("do_resize", size is not None) is True
    if "size" in config and resized and "size_divisor" not in config and not _is_size(size):
        yield Hit(where=f"{PREPROCESSOR} size", message=f"is {size!r}: no picture can be resized to that")


def output_size(config: Json) -> tuple[int | None, int | None]:
    """Height and width that every picture has after preprocessing; None where they depend on the picture."""
    crop, size, pad = (config.get(key) for key in ("crop_size", "size", "pad_size"))
    if config.get("do_pad") is True and pad:
        return _sides(pad)
    if config.get("do_center_crop") is True and crop:
        return _sides(crop)
    if config.get("do_resize", size is not None) is True:
        return _sides(size) if isinstance(size, dict) else (None, None)
    return None, None


def _sides(size: object) -> tuple[int | None, int | None]:
    if isinstance(size, dict):
        return as_int(size.get("height")), as_int(size.get("width"))
    return as_int(size), as_int(size)


@rule(
    "TJS606",
    Severity.ERROR,
    "pictures leave the preprocessor in the size that the graph takes",
    fix="set size and crop_size to the graph's height and width",
)
def sizes_agree(model: WebModel) -> Iterator[Hit]:
    if not model.preprocessor or any(size_is_given(model)):
        return
    tiles = as_int(as_object(model.preprocessor.get("max_image_size")).get("longest_edge"))
    tiled = _image_processor(model) in TILED
    given = (tiles, tiles) if tiled else output_size(model.preprocessor)
    for graph, facts in model.read_graphs("vision_encoder", "vision_model", "model"):
        port = facts.input("pixel_values")
        taken = (port.axis(-2), port.axis(-1)) if port and port.rank in (4, 5) else (None, None)
        for side, wanted, found in zip(("height", "width"), taken, given, strict=True):
            if isinstance(wanted, int) and found != wanted and not (tiled and found is None):
                what = f"gives a {side} of {found}" if found else f"gives pictures of any {side}"
                yield Hit(where=PREPROCESSOR, message=f"{what}, {graph.name} takes {wanted}")
                break
