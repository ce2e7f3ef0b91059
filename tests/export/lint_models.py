"""Web models of a few kilobytes that obey every rule: a captioner, a CLIP, a SigLIP and a SmolVLM.

They hold real graphs that run and real tokenizers, so that transformers.js loads them too; the tests break one thing at
a time. Pictures are 8 × 8 pixels, in 4 patches of 4 × 4; features are 48 wide.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from builder.graphs import read_variant
from builder.manifest import Context, ImageFacts, Manifest, file_entry, write_manifest

WIDTH, ROWS, SIDE, PATCH, LAYERS, HEADS, HEAD_DIM = 48, 4, 8, 4, 2, 1, 8
WORDS = ["<unk>", "<image>", "<end>", "<fake_token_around_image>", "<global-img>", "what", "is", "this", "a", "cup"]
VOCAB = len(WORDS)
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
TEMPLATE = "{% for message in messages %}<image> {{ message['content'] }}{% endfor %}"
CARD = "---\nlicense: apache-2.0\nlibrary_name: transformers.js\n---\n\n# Tiny\n"

Axes = Sequence["int | str"]


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file as somebody with an editor would."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    write_json(path, value)


def edit_graph(path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    """Change an ONNX file; external data stay where they are."""
    model = onnx.load(str(path), load_external_data=False)
    change(model)
    onnx.save(model, str(path))


def port(name: str, kind: int, shape: Axes) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def find_port(model: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    return next(value for value in (*model.graph.input, *model.graph.output) if value.name == name)


def weight(name: str, *shape: int) -> onnx.TensorProto:
    values = np.random.default_rng(sum(name.encode())).normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def numbers(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
) -> None:
    graph = helper.make_graph(list(nodes), path.stem, list(inputs), list(outputs), list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))


def write_tokenizer(root: Path, *, chat_template: str | None) -> None:
    special = [word for word in WORDS if word.startswith("<")]
    entry = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": WORDS.index(word), "content": word, **entry} for word in special],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {w: n for n, w in enumerate(WORDS)}, "unk_token": "<unk>"},
    }
    write_json(root / "tokenizer.json", tokenizer)
    settings: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizer",
        "unk_token": "<unk>",
        "pad_token": "<unk>",
        "eos_token": "<end>",
        "model_max_length": 16,
    }
    if chat_template is not None:
        settings["chat_template"] = chat_template
    write_json(root / "tokenizer_config.json", settings)


def write_preprocessor(root: Path, kind: str, **more: object) -> None:
    square = {"height": SIDE, "width": SIDE}
    config = {"image_processor_type": kind, "do_resize": True, "size": square, "do_rescale": True, **more}
    config |= {"do_normalize": True, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    write_json(root / "preprocessor_config.json", config)


def write_embed_tokens(path: Path) -> None:
    save(
        path,
        [helper.make_node("Gather", ["table", "input_ids"], ["inputs_embeds"])],
        [port("input_ids", INT64, ["batch_size", "sequence_length"])],
        [port("inputs_embeds", FLOAT, ["batch_size", "sequence_length", WIDTH])],
        [weight("table", VOCAB, WIDTH)],
    )


def write_decoder(path: Path) -> None:
    """A decoder in signature: its cache grows as it should, its answers depend on the embeddings alone."""
    past: Axes = ["batch_size", HEADS, "past_sequence_length", HEAD_DIM]
    total: Axes = ["batch_size", HEADS, "total_sequence_length", HEAD_DIM]
    names = [f"{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value")]
    nodes = [
        helper.make_node("MatMul", ["inputs_embeds", "head"], ["all_logits"]),
        helper.make_node("Neg", ["num_logits_to_keep"], ["first"]),
        helper.make_node("Unsqueeze", ["first", "zero"], ["start"]),
        helper.make_node("Slice", ["all_logits", "start", "far", "one"], ["logits"]),
        helper.make_node("MatMul", ["inputs_embeds", "to_head"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["new"]),
        *(helper.make_node("Concat", [f"past_key_values.{n}", "new"], [f"present.{n}"], axis=2) for n in names),
    ]
    inputs = [
        port("inputs_embeds", FLOAT, ["batch_size", "sequence_length", WIDTH]),
        port("attention_mask", INT64, ["batch_size", "total_sequence_length"]),
        port("num_logits_to_keep", INT64, []),
        *(port(f"past_key_values.{name}", FLOAT, past) for name in names),
    ]
    outputs = [
        port("logits", FLOAT, ["batch_size", "kept_length", VOCAB]),
        *(port(f"present.{name}", FLOAT, total) for name in names),
    ]
    held = [weight("head", WIDTH, VOCAB), weight("to_head", WIDTH, HEADS * HEAD_DIM), numbers("zero", 0)]
    held += [numbers("far", 2**31), numbers("one", 1), numbers("shape", 0, HEADS, -1, HEAD_DIM)]
    save(path, nodes, inputs, outputs, held)


def write_vision_encoder(path: Path, *, tiled: bool = False, declared: bool = True) -> None:
    batch: Axes = ["batch_size", "num_images"] if tiled else ["batch_size"]
    inputs = [port("pixel_values", FLOAT, [*batch, 3, SIDE, SIDE])]
    if tiled:
        inputs.append(port("pixel_attention_mask", BOOL, [*batch, SIDE, SIDE]))
    save(
        path,
        [helper.make_node("Reshape", ["pixel_values", "shape"], ["image_features"])],
        inputs,
        [port("image_features", FLOAT, ["images", ROWS if declared else "rows", WIDTH])],
        [numbers("shape", -1, ROWS, WIDTH)],
    )


def write_tower(path: Path, source: str, outputs: Sequence[str]) -> None:
    """A tower that embeds texts (``input_ids``) or pictures (``pixel_values``) 48 wide."""
    if source == "input_ids":
        nodes = [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("ReduceMean", ["rows", "middle"], ["embedding"], keepdims=0),
        ]
        inputs = [port("input_ids", INT64, ["batch_size", "sequence_length"])]
        held = [weight("table", VOCAB, WIDTH), numbers("middle", 1)]
    else:
        nodes = [
            helper.make_node("Reshape", ["pixel_values", "shape"], ["rows"]),
            helper.make_node("ReduceMean", ["rows", "middle"], ["embedding"], keepdims=0),
        ]
        inputs = [port("pixel_values", FLOAT, ["batch_size", 3, SIDE, SIDE])]
        held = [numbers("shape", -1, ROWS, WIDTH), numbers("middle", 1)]
    shapes: dict[str, Axes] = {"last_hidden_state": ["batch_size", "length", WIDTH]}
    for name in outputs:
        nodes.append(helper.make_node("Identity", ["rows" if name in shapes else "embedding"], [name]))
    save(path, nodes, inputs, [port(n, FLOAT, shapes.get(n, ["batch_size", WIDTH])) for n in outputs], held)


def write_pair(path: Path) -> None:
    """Both towers of a contrastive model in one graph."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("ReduceMean", ["words", "middle"], ["text_embeds"], keepdims=0),
        helper.make_node("Reshape", ["pixel_values", "shape"], ["patches"]),
        helper.make_node("ReduceMean", ["patches", "middle"], ["image_embeds"], keepdims=0),
        helper.make_node("Transpose", ["text_embeds"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["image_embeds", "turned"], ["logits_per_image"]),
        helper.make_node("Transpose", ["logits_per_image"], ["logits_per_text"], perm=[1, 0]),
    ]
    inputs = [
        port("input_ids", INT64, ["text_batch_size", "sequence_length"]),
        port("pixel_values", FLOAT, ["image_batch_size", 3, SIDE, SIDE]),
    ]
    outputs = [
        port("logits_per_image", FLOAT, ["image_batch_size", "text_batch_size"]),
        port("logits_per_text", FLOAT, ["text_batch_size", "image_batch_size"]),
        port("text_embeds", FLOAT, ["text_batch_size", WIDTH]),
        port("image_embeds", FLOAT, ["image_batch_size", WIDTH]),
    ]
    held = [weight("table", VOCAB, WIDTH), numbers("middle", 1), numbers("shape", -1, ROWS, WIDTH)]
    save(path, nodes, inputs, outputs, held)


LANGUAGE = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": WIDTH // HEAD_DIM,
    "num_key_value_heads": HEADS,
    "head_dim": HEAD_DIM,
    "vocab_size": VOCAB,
}
CAPTIONER_FILES = ("embed_tokens", "vision_encoder", "decoder_model_merged")


def make_captioner(root: Path) -> Path:
    """A model of FastVLM's kind."""
    write_embed_tokens(root / "onnx" / "embed_tokens.onnx")
    write_vision_encoder(root / "onnx" / "vision_encoder.onnx")
    write_decoder(root / "onnx" / "decoder_model_merged.onnx")
    config = {
        "architectures": ["LlavaQwen2ForCausalLM"],
        "model_type": "llava_qwen2",
        "image_token_index": WORDS.index("<image>"),
        "eos_token_id": WORDS.index("<end>"),
        "transformers.js_config": {"dtype": dict.fromkeys(CAPTIONER_FILES, "fp32")},
        **LANGUAGE,
    }
    write_json(root / "config.json", config)
    write_json(root / "generation_config.json", {"eos_token_id": WORDS.index("<end>"), "do_sample": False})
    write_preprocessor(root, "CLIPImageProcessor", processor_class="LlavaProcessor")
    processor = {"processor_class": "LlavaProcessor", "image_token": "<image>", "patch_size": PATCH}
    write_json(root / "processor_config.json", {**processor, "num_additional_image_tokens": 0})
    write_tokenizer(root, chat_template=TEMPLATE)
    (root / "README.md").write_text(CARD, encoding="utf-8")
    return root


def make_smolvlm(root: Path) -> Path:
    """A model of SmolVLM's kind: pictures in tiles."""
    make_captioner(root)
    write_vision_encoder(root / "onnx" / "vision_encoder.onnx", tiled=True)
    config = {
        "architectures": ["SmolVLMForConditionalGeneration"],
        "model_type": "smolvlm",
        "image_token_id": WORDS.index("<image>"),
        "transformers.js_config": {"dtype": dict.fromkeys(CAPTIONER_FILES, "fp32")},
        "text_config": {"model_type": "llama", **LANGUAGE},
    }
    write_json(root / "config.json", config)
    edge = {"longest_edge": SIDE}
    more = {"processor_class": "SmolVLMProcessor", "max_image_size": edge, "do_image_splitting": False}
    write_preprocessor(root, "SmolVLMImageProcessor", **more)
    write_json(root / "processor_config.json", {"processor_class": "SmolVLMProcessor", "image_seq_len": ROWS})
    return root


def _make_contrastive(root: Path, model_type: str, text: Sequence[str], image: Sequence[str]) -> Path:
    write_tower(root / "onnx" / "text_model.onnx", "input_ids", text)
    write_tower(root / "onnx" / "vision_model.onnx", "pixel_values", image)
    write_pair(root / "onnx" / "model.onnx")
    config = {
        "model_type": model_type,
        "text_config": {"vocab_size": VOCAB},
        "transformers.js_config": {"dtype": "fp32"},
    }
    write_json(root / "config.json", config)
    write_preprocessor(root, "CLIPImageProcessor" if model_type == "clip" else "SiglipImageProcessor")
    write_tokenizer(root, chat_template=None)
    (root / "README.md").write_text(CARD, encoding="utf-8")
    return root


def make_clip(root: Path) -> Path:
    """Two towers and the model of both."""
    return _make_contrastive(root, "clip", ["text_embeds"], ["image_embeds"])


def make_siglip(root: Path) -> Path:
    """As CLIP, with SigLIP's outputs."""
    outputs = ["last_hidden_state", "pooler_output"]
    return _make_contrastive(root, "siglip", outputs, outputs)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "captioner": make_captioner,
    "smolvlm": make_smolvlm,
    "clip": make_clip,
    "siglip": make_siglip,
}


def write_listing(root: Path) -> None:
    """Write a manifest that tells the truth about a CLIP."""
    files = tuple(file_entry(root, path.name) for path in sorted(root.iterdir()) if path.is_file())
    graphs = sorted((root / "onnx").glob("*.onnx"))
    manifest = Manifest(
        name="tiny",
        family="clip",
        task="zero-shot-image-classification",
        model_type="clip",
        image=ImageFacts(width=SIDE, height=SIDE),
        context=Context(text_tokens=16),
        components={path.stem: {"fp32": read_variant(root, f"onnx/{path.name}")} for path in graphs},
        files=files,
    )
    write_manifest(root, manifest)


def make_listed(root: Path) -> Path:
    """A CLIP with a licence and a manifest."""
    make_clip(root)
    (root / "LICENSE").write_text("Apache-2.0", encoding="utf-8")
    write_listing(root)
    return root


def move_outside(path: Path, location: str, *, size_bytes: int | None = None, kind: int = FLOAT) -> None:
    """Move a graph's first tensor of a type to the external file ``location``, written beside it with its data."""
    model = onnx.load(str(path))
    tensor = next(t for t in model.graph.initializer if t.data_type == kind)
    data = numpy_helper.to_array(tensor).tobytes()
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(data)))):
        tensor.external_data.add(key=key, value=value)
    onnx.save(model, str(path))
    target = path.parent / location
    target.write_bytes(data if size_bytes is None else data[:size_bytes])


def enlarge(path: Path, name: str, dims: Sequence[int]) -> None:
    """Give a tensor other dimensions, its data in a file beside the graph that takes no room on the disk."""
    model = onnx.load(str(path), load_external_data=False)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.ClearField("raw_data")
    tensor.dims[:] = dims
    size = int(np.prod(dims)) * 4
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", f"{path.name}_data"), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    onnx.save(model, str(path))
    with (path.parent / f"{path.name}_data").open("wb") as file:
        file.truncate(size)
