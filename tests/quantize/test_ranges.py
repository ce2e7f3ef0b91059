"""Ranges are those of every inner tensor, in bounded memory, with attention's logits bounded from its inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from builder.embedded import model_dir
from builder.errors import ModelError, QuantizeError
from builder.graphs import load_graph, save_graph
from builder.manifest import read_manifest
from builder.parity import Reference
from builder.quantize.ranges import SAFE_LARGEST, Ranges, _constants, record_ranges
from tests.quantize._graphs import make_graph


def saved(folder: Path, model: onnx.ModelProto) -> Path:
    path = folder / "graph.onnx"
    onnx.save(model, path)
    return path


def test_every_inner_tensor_has_its_greatest_magnitude_over_all_runs(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "c"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    model = make_graph(nodes, {"x": ["n"]}, {"y": ["n"]}, {"c": np.array(10.0, np.float32)})
    runs = [{"x": np.array(values, np.float32)} for values in ([1, -9], [3, 2, 1], [])]
    assert record_ranges(saved(tmp_path, model), runs).greatest == {"x": 9.0, "a": 90.0, "y": 30.0}


def test_ranges_of_an_encoder_are_those_of_its_tensors() -> None:
    import onnxruntime as ort

    folder = model_dir("scenes-vlm")
    path = folder / "onnx" / "vision_encoder.onnx"
    feeds = dict(Reference(folder, read_manifest(folder)).one_run("vision_encoder"))
    ranges = record_ranges(path, feeds)
    model = load_graph(path)
    names = [node.output[0] for node in model.graph.node if node.op_type in ("Conv", "Gelu", "Softmax")]
    model.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in names)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, value in zip(names, session.run(names, feeds), strict=True):
        assert ranges.of(name) == pytest.approx(float(np.abs(value).max()), rel=1e-3), name


def test_weights_beside_the_graph_are_found(tmp_path: Path) -> None:
    path = tmp_path / "vision_encoder.onnx"
    save_graph(load_graph(model_dir("scenes-vlm") / "onnx" / "vision_encoder.onnx"), path, chunk_bytes=2**20)
    assert (tmp_path / "vision_encoder.onnx_data").is_file()
    ranges = record_ranges(path, {"pixel_values": np.ones((1, 3, 128, 128), np.float32)})
    assert len(ranges.greatest) > 100
    assert max(ranges.greatest.values()) > 1


def test_constants_beside_the_graph_are_looked_at_and_left_there(tmp_path: Path) -> None:
    weight = np.full((64, 64), 0.01, np.float32)
    weight[3, 3] = -1e5
    path = tmp_path / "far.onnx"
    model = make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", 64]}, {"y": ["n", 64]}, {"w": weight}
    )
    save_graph(model, path, chunk_bytes=2**10)
    assert record_ranges(path, {"x": np.zeros((1, 64), np.float32)}).constants == {"w": 1e5}
    plain = load_graph(path, weights=False)
    assert dict(_constants(plain, tmp_path))["w"][3, 3] == -1e5
    assert not plain.graph.initializer[0].raw_data


def test_attention_logits_are_bounded_by_the_lengths_of_queries_and_keys(tmp_path: Path) -> None:
    """2 heads of 16 over 1 key head: lengths 4 · 3 = 12 and 4 · 5 = 20, so 12 · 20 / √16 = 60."""
    attention = helper.make_node(
        "GroupQueryAttention",
        ["q", "k", "v", "", "", "lengths", "total"],
        ["y", "", ""],
        name="attention",
        domain="com.microsoft",
        num_heads=2,
        kv_num_heads=1,
    )
    constants = {"lengths": np.array([4], np.int32), "total": np.array(5, np.int32)}
    model = make_graph([attention], {"q": [1, 5, 32], "k": [1, 5, 16], "v": [1, 5, 16]}, {"y": [1, 5, 32]}, constants)
    queries, keys = np.ones((1, 5, 32), np.float32), np.ones((1, 5, 16), np.float32)
    queries[0, 2, 16:], keys[0, 4] = -3, 5
    ranges = record_ranges(saved(tmp_path, model), {"q": queries, "k": keys, "v": keys})
    assert ranges.logits == {"attention": pytest.approx(60.0)}
    kept = ranges.beyond(model.graph.node[0], limit=59)
    assert kept is not None
    assert (kept.node, kept.operator, kept.tensor) == ("attention", "GroupQueryAttention", "attention logits")


def test_decoder_has_ranges_and_logits_of_every_layer() -> None:
    folder = model_dir("scenes-vlm")
    manifest = read_manifest(folder)
    component = "decoder_model_merged"
    feeds = dict(Reference(folder, manifest).one_run(component))
    ranges = record_ranges(folder / manifest.components[component]["fp32"].path, feeds)
    assert len(ranges.logits) == 3
    assert all(0 < value < SAFE_LARGEST for value in ranges.logits.values())
    assert "logits" in ranges.greatest


def test_ranges_are_recorded_on_several_pictures_and_on_a_step_of_a_filled_cache() -> None:
    folder = model_dir("scenes-vlm")
    manifest = read_manifest(folder)
    reference = Reference(folder, manifest)
    assert len(reference.runs("vision_encoder")) == len(reference.pixels) > 1
    prompt, step = reference.runs("decoder_model_merged")
    caches = [name for name in step if name.startswith("past_key_values.")]
    assert caches
    assert all(prompt[name].shape[2] == 0 for name in caches)
    assert {step[name].shape[2] for name in caches} == {prompt["inputs_embeds"].shape[1] - 1}
    assert step["inputs_embeds"].shape[1] == 1
    path = folder / manifest.components["decoder_model_merged"]["fp32"].path
    both, once = record_ranges(path, reference.runs("decoder_model_merged")), record_ranges(path, prompt)
    assert once.greatest[caches[0]] == 0 < both.greatest[caches[0]]


def test_a_twin_has_the_range_of_its_tensor() -> None:
    ranges = Ranges(greatest={"conv": 4e4}, logits={})
    node = helper.make_node("Gelu", ["conv.channels_last"], ["gelu.channels_last"], name="g")
    kept = ranges.beyond(node)
    assert kept is not None
    assert (kept.tensor, kept.greatest) == ("conv.channels_last", 4e4)


def test_wrong_inputs_and_missing_files_are_named(tmp_path: Path) -> None:
    model = make_graph([helper.make_node("Relu", ["x"], ["y"])], {"x": [4]}, {"y": [4]}, {})
    with pytest.raises(QuantizeError, match=r"graph\.onnx does not run on the calibration inputs"):
        record_ranges(saved(tmp_path, model), {"pixels": np.zeros(4, np.float32)})
    with pytest.raises(ModelError, match="missing"):
        record_ranges(tmp_path / "none.onnx", {})
