"""config.json: the keys that transformers.js reads, and those that make it load something else.

Source: src/configs.js, src/models/registry.js, resolveTypeConfig in src/models/modeling_utils.js.
"""

from __future__ import annotations

from collections.abc import Iterator

from builder.errors import did_you_mean
from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._model import WebModel, as_int, as_text
from builder.export.rules._tables import GENERATING, LLAVA_LIKE, tables

CONFIG = "config.json"
STANDS_FOR = {
    "fast_vlm": "llava_qwen2",
    "mobileclip": "clip",
    "mobileclip2": "clip",
    "siglip2": "siglip",
    "siglip2_vision_model": "siglip",
    "llava_next": "llava",
    "moondream": "moondream1",
    "vlm": "idefics3",
}
"""Names of other libraries → the type whose class runs the same graphs."""


@rule("TJS101", Severity.ERROR, "model_type is one that transformers.js knows", fix="set model_type in config.json")
def model_type_is_known(model: WebModel) -> Iterator[Hit]:
    if not model.config or model.model_class:
        return
    alone = any(name.startswith("model") for name in model.graph_names)
    then = ": only AutoModel loads it, as a plain encoder" if alone else ": no class of transformers.js loads it"
    severity = Severity.WARNING if alone else None
    if not model.model_type:
        yield Hit(where=CONFIG, message=f"has no model_type{then}", severity=severity)
        return
    version, known = tables().version, tables().model_classes
    near = STANDS_FOR.get(model.model_type)
    hint = f"did you mean {near!r}?" if near else did_you_mean(model.model_type, known)
    yield Hit(
        where=f"{CONFIG} model_type",
        message=f"{model.model_type!r} is unknown to transformers.js {version}{then}",
        fix=f"set model_type to one that it knows; {hint}" if len(hint) < 80 else None,
        severity=severity,
    )


@rule(
    "TJS102",
    Severity.ERROR,
    "architectures[0] does not switch the model to text only",
    fix="set architectures[0] to the class of the model_type",
)
def architecture_keeps_vision(model: WebModel) -> Iterator[Hit]:
    classes = tables().model_classes.get(model.model_type, ())
    for name in classes if model.kind == "ImageTextToText" else ():
        if tables().kind(name) == "ImageTextToText" and name.endswith("ForCausalLM") and model.architecture != name:
            known = any(model.architecture in names for names in tables().model_classes.values())
            if model.architecture.endswith("ForConditionalGeneration") and known:
                yield Hit(
                    where=f"{CONFIG} architectures[0]",
                    message=f"is {model.architecture!r}, so {name} loads in text-only mode: "
                    '"Model does not have a vision_encoder session"',
                    fix=f'set "architectures": ["{name}"]',
                )


@rule(
    "TJS103",
    Severity.ERROR,
    "a captioner names its image token: image_token_index or image_token_id",
    fix='add "image_token_index": the id of the image token in tokenizer.json',
)
def image_token_is_named(model: WebModel) -> Iterator[Hit]:
    if model.model_type in LLAVA_LIKE | {"idefics3", "smolvlm", "llava_onevision", "lfm2_vl"} and model.config:
        for key in ("image_token_index", "image_token_id"):
            if as_int(model.config.get(key)) is not None:
                return
        yield Hit(where=CONFIG, message="has neither image_token_index nor image_token_id: no token becomes a picture")


@rule(
    "TJS104",
    Severity.WARNING,
    "a model that generates knows its end: eos_token_id",
    fix='add "eos_token_id" to generation_config.json or config.json',
)
def end_is_known(model: WebModel) -> Iterator[Hit]:
    if model.kind not in GENERATING or not model.config:
        return
    holders = (model.json("generation_config.json"), model.config, model.text_config)
    if all(holder.get("eos_token_id") is None for holder in holders):
        yield Hit(where=CONFIG, message="has no eos_token_id, nor has generation_config.json: answers never end early")


@rule(
    "TJS105",
    Severity.ERROR,
    "the config counts the layers of the key-value cache",
    fix="add num_hidden_layers (and, in text_config, model_type) as the language model's config has them",
)
def layers_are_counted(model: WebModel) -> Iterator[Hit]:
    if not model.config or not model.cache_sessions or model.model_type not in tables().layer_keys:
        return
    key = tables().layer_keys[model.model_type]
    if model.layers is None:
        part = key.rpartition(".")[0]
        inner = as_text(model.text_config.get("model_type"))
        reason = (
            f"{part}.model_type is {inner!r}" if part and inner not in tables().layer_keys else f"there is no {key}"
        )
        yield Hit(where=CONFIG, message=f"{reason}: transformers.js feeds no past_key_values and the decoder refuses")


@rule(
    "TJS106",
    Severity.WARNING,
    "transformers.js_config is an object",
    fix='write it as {"dtype": {"vision_encoder": "q4", ...}}',
)
def js_config_is_object(model: WebModel) -> Iterator[Hit]:
    value = model.config.get("transformers.js_config")
    if value is not None and not isinstance(value, dict):
        yield Hit(where=f"{CONFIG} transformers.js_config", message=f"is {value!r}, not an object: it says nothing")


@rule(
    "TJS107",
    Severity.INFO,
    "kv_cache_dtype is of no use since transformers.js 4.2.0",
    fix="remove it, unless pages with an older transformers.js load this model",
)
def cache_dtype_is_gone(model: WebModel) -> Iterator[Hit]:
    if "kv_cache_dtype" in model.js_config:
        message = "is not read any more: the type of the cache comes from the graph"
        yield Hit(where=f"{CONFIG} transformers.js_config.kv_cache_dtype", message=message)


@rule(
    "TJS108",
    Severity.WARNING,
    "defaults stand in transformers.js_config itself, not in device_config",
    fix="move dtype and use_external_data_format up into transformers.js_config",
)
def defaults_are_for_every_device(model: WebModel) -> Iterator[Hit]:
    if model.js_config.get("device_config"):
        yield Hit(
            where=f"{CONFIG} transformers.js_config.device_config",
            message="is read when a model loads, but not when its files are counted: progress goes wrong",
        )
