"""One edit per rule about ONNX files that breaks this rule and no other: graphs, caches, external data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from tests.export.lint_breaks import breaks, remove, set_chunks, write
from tests.export.lint_models import WIDTH, edit_graph, edit_json, find_port, move_outside, port, write_vision_encoder

VISION, EMBED, DECODER = "onnx/vision_encoder.onnx", "onnx/embed_tokens.onnx", "onnx/decoder_model_merged.onnx"


def edit(code: str, base: str, file: str, name: str, change: Callable[[onnx.ModelProto], object]) -> None:
    def edited(root: Path) -> None:
        edit_graph(root / file, lambda model: void(change(model)))

    edited.__name__ = f"{file} with {name}"
    breaks(code, base)(edited)


def void(value: object) -> None:
    del value


def reshape(model: onnx.ModelProto, axis: int, value: int | str, *names: str) -> None:
    """Set one axis of inputs or outputs; ``names`` are prefixes."""
    for found in (*model.graph.input, *model.graph.output):
        if found.name.startswith(names):
            dim = found.type.tensor_type.shape.dim[axis]
            dim.Clear()
            if isinstance(value, int):
                dim.dim_value = value
            else:
                dim.dim_param = value


def retype(model: onnx.ModelProto, kind: int, *names: str) -> None:
    for name in names:
        find_port(model, name).type.tensor_type.elem_type = kind


def rename(model: onnx.ModelProto, old: str, new: str) -> None:
    """Rename a value everywhere."""
    find_port(model, old).name = new
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]


# Graphs
write("TJS401", "clip", "onnx/text_model.onnx", b"not an ONNX file")
write("TJS401", "clip", "onnx/text_model.onnx", b"")
edit("TJS402", "clip", "onnx/text_model.onnx", "a loose end", lambda m: m.graph.initializer.pop(0))
edit("TJS403", "clip", "onnx/text_model.onnx", "opset 27", lambda m: setattr(m.opset_import[0], "version", 27))
edit("TJS403", "clip", "onnx/text_model.onnx", "IR 14", lambda m: setattr(m, "ir_version", 14))
edit(
    "TJS404",
    "clip",
    "onnx/text_model.onnx",
    "a custom operator",
    lambda m: setattr(m.graph.node[0], "domain", "ai.onnx.contrib"),
)
edit("TJS405", "captioner", VISION, "another input", lambda m: rename(m, "pixel_values", "images"))
edit("TJS406", "captioner", VISION, "another output", lambda m: rename(m, "image_features", "last_hidden_state"))
edit("TJS406", "captioner", DECODER, "another output", lambda m: rename(m, "logits", "scores"))
edit(
    "TJS406", "siglip", "onnx/vision_model.onnx", "CLIP's output", lambda m: rename(m, "pooler_output", "image_embeds")
)
edit(
    "TJS407",
    "captioner",
    VISION,
    "an input too many",
    lambda m: m.graph.input.append(port("pixel_attention_mask", TensorProto.BOOL, ["batch_size", 8, 8])),
)
edit(
    "TJS407",
    "clip",
    "onnx/text_model.onnx",
    "position_ids",
    lambda m: m.graph.input.append(port("position_ids", TensorProto.INT64, ["batch_size", "sequence_length"])),
)
edit("TJS408", "captioner", EMBED, "int32 ids", lambda m: retype(m, TensorProto.INT32, "input_ids"))
edit("TJS408", "smolvlm", VISION, "an int64 mask", lambda m: retype(m, TensorProto.INT64, "pixel_attention_mask"))
edit(
    "TJS409",
    "captioner",
    VISION,
    "tiles",
    lambda m: find_port(m, "pixel_values").CopyFrom(
        port("pixel_values", TensorProto.FLOAT, ["batch_size", "num_images", 3, 8, 8])
    ),
)
edit(
    "TJS409",
    "captioner",
    DECODER,
    "num_logits_to_keep as a list",
    lambda m: find_port(m, "num_logits_to_keep").CopyFrom(port("num_logits_to_keep", TensorProto.INT64, [1])),
)
edit("TJS410", "captioner", EMBED, "float16", lambda m: retype(m, TensorProto.FLOAT16, "inputs_embeds"))
edit("TJS410", "captioner", VISION, "float16", lambda m: retype(m, TensorProto.FLOAT16, "image_features"))
edit("TJS410", "captioner", DECODER, "float16", lambda m: retype(m, TensorProto.FLOAT16, "inputs_embeds"))
edit("TJS410", "clip", "onnx/vision_model.onnx", "float16", lambda m: retype(m, TensorProto.FLOAT16, "pixel_values"))
edit("TJS411", "captioner", EMBED, "other widths", lambda m: reshape(m, 2, WIDTH // 2, "inputs_embeds"))
edit("TJS413", "captioner", EMBED, "a fixed length", lambda m: reshape(m, 1, 16, "input_ids"))
edit("TJS414", "clip", "onnx/text_model.onnx", "a fixed length", lambda m: reshape(m, 1, 16, "input_ids"))
edit("TJS415", "captioner", VISION, "one picture", lambda m: reshape(m, 0, 1, "pixel_values"))


@breaks("TJS412", "captioner")
def logits_for_every_position(root: Path) -> None:
    def keep_all(model: onnx.ModelProto) -> None:
        kept = [node for node in model.graph.node if node.op_type not in ("Neg", "Unsqueeze", "Slice")]
        kept.append(helper.make_node("Identity", ["all_logits"], ["logits"]))
        del model.graph.node[:]
        model.graph.node.extend(kept)
        model.graph.input.remove(find_port(model, "num_logits_to_keep"))

    edit_graph(root / DECODER, keep_all)


# The cache
PAST, PRESENT = "past_key_values.", "present."
edit("TJS501", "captioner", DECODER, "batch", lambda m: reshape(m, 0, "batch", PAST))
edit("TJS502", "captioner", DECODER, "symbolic heads", lambda m: reshape(m, 1, "num_heads", PAST))
edit("TJS502", "captioner", DECODER, "symbolic head size", lambda m: reshape(m, 3, "kv_cache_dim", PAST))
edit("TJS503", "captioner", DECODER, "a cache of fixed length", lambda m: reshape(m, 2, 4, PAST))
edit("TJS505", "captioner", DECODER, "one present less", lambda m: m.graph.output.pop())
edit("TJS506", "captioner", DECODER, "half a cache", lambda m: retype(m, TensorProto.FLOAT16, "present.1.value"))
edit("TJS506", "captioner", DECODER, "other heads", lambda m: reshape(m, 1, 2, PRESENT))


@breaks("TJS504", "captioner")
def a_layer_less_than_the_config(root: Path) -> None:
    edit_json(root / "config.json", lambda config: config.update(num_hidden_layers=3))


@breaks("TJS504", "smolvlm")
def a_layer_less_than_the_text_config(root: Path) -> None:
    edit_json(root / "config.json", lambda config: config["text_config"].update(num_hidden_layers=1))


@breaks("TJS507", "captioner")
def another_head_size_in_the_config(root: Path) -> None:
    edit_json(root / "config.json", lambda config: config.update(head_dim=16))


@breaks("TJS508", "captioner")
def a_float32_cache_in_a_float16_file(root: Path) -> None:
    shutil.copyfile(root / DECODER, root / "onnx" / "decoder_model_merged_fp16.onnx")


# External data
def _outside(root: Path, location: str = "vision_tower") -> None:
    move_outside(root / EMBED, location)


def _location(code: str, location: str) -> None:
    def located(root: Path) -> None:
        def point(model: onnx.ModelProto) -> None:
            model.graph.initializer[0].external_data[0].value = location

        move_outside(root / EMBED, "moved")
        (root / "onnx" / "moved").unlink()
        edit_graph(root / EMBED, point)

    located.__name__ = f"weights in {location}"
    breaks(code, "captioner")(located)


for place in ("../secret", "/etc/passwd", "weights/embed_tokens.onnx_data", "C:\\weights", "..", ""):
    _location("TJS301", place)


@breaks("TJS302", "captioner")
def data_named_as_torch_names_them(root: Path) -> None:
    move_outside(root / EMBED, "embed_tokens.onnx.data")


def _chunked(root: Path, *, size_bytes: int | None = None) -> None:
    move_outside(root / EMBED, "embed_tokens.onnx_data", size_bytes=size_bytes)


@breaks("TJS303", "captioner")
def data_left_behind(root: Path) -> None:
    _chunked(root)
    (root / "onnx" / "embed_tokens.onnx_data").unlink()
    set_chunks(root, embed_tokens=1)


@breaks("TJS304", "captioner")
def data_cut_off(root: Path) -> None:
    _chunked(root, size_bytes=100)
    set_chunks(root, embed_tokens=1)


@breaks("TJS304", "captioner")
def an_offset_that_is_no_number(root: Path) -> None:
    _chunked(root)
    set_chunks(root, embed_tokens=1)
    edit_graph(root / EMBED, lambda m: setattr(m.graph.initializer[0].external_data[1], "value", "-8"))


@breaks("TJS305", "captioner")
def data_that_the_config_does_not_mention(root: Path) -> None:
    _chunked(root)


@breaks("TJS305", "captioner")
def a_count_too_high(root: Path) -> None:
    _chunked(root)
    set_chunks(root, embed_tokens=2)


@breaks("TJS305", "captioner")
def one_switch_for_files_without_data(root: Path) -> None:
    _chunked(root)
    edit_json(root / "config.json", lambda c: c["transformers.js_config"].update(use_external_data_format=True))


@breaks("TJS306", "captioner")
def too_many_chunks(root: Path) -> None:
    set_chunks(root, embed_tokens=101)


@breaks("TJS308", "captioner")
def a_count_for_nothing(root: Path) -> None:
    set_chunks(root, model=1)


@breaks("TJS308", "captioner")
def a_count_in_words(root: Path) -> None:
    edit_json(root / "config.json", lambda c: c["transformers.js_config"].update(use_external_data_format="yes"))


write("TJS307", "captioner", "onnx/vision_encoder.onnx_data", b"\0" * 16)
remove("TJS201", "smolvlm", DECODER)


# Rows of features
@breaks("TJS711", "captioner")
def rows_that_only_a_run_can_count(root: Path) -> None:
    write_vision_encoder(root / VISION, declared=False)
    edit_json(root / "processor_config.json", lambda config: config.update(patch_size=8))


@breaks("TJS711", "captioner")
def an_encoder_that_does_not_run(root: Path) -> None:
    write_vision_encoder(root / VISION, declared=False)
    edit_graph(root / VISION, lambda m: setattr(m.graph.node[0], "op_type", "Reshapes"))
