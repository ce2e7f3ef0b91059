"""float16 graphs have float32 borders, and do not overflow in silence where ranges were recorded.

onnxruntime's CPU runs float16 graphs in float32 and hides what a device would do, so that these run in onnx's reference
implementation, which rounds every tensor.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from builder.embedded import model_dir
from builder.graphs import load_graph
from builder.quantize import convert
from builder.quantize.half import keep_single
from builder.quantize.ranges import record_ranges
from builder.quantize.recipe import Recipe
from tests.quantize._graphs import Arrays, answer, copy_of, distance, make_graph

WIDTH = 64


def written_out_norm() -> onnx.ModelProto:
    """x · w, then LayerNorm in single operators, then a product: the way exporters without fusion write it."""
    rng = np.random.default_rng(0)
    constants = {
        "w": np.eye(WIDTH, dtype=np.float32),
        "two": np.array(2.0, np.float32),
        "tiny": np.array(1e-5, np.float32),
        "axis": np.array([-1]),
        "out": rng.normal(size=(WIDTH, 8)).astype(np.float32) / 8,
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("ReduceMean", ["a", "axis"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["a", "mean"], ["centred"]),
        helper.make_node("Pow", ["centred", "two"], ["squared"]),
        helper.make_node("ReduceMean", ["squared", "axis"], ["variance"], keepdims=1),
        helper.make_node("Add", ["variance", "tiny"], ["more"]),
        helper.make_node("Sqrt", ["more"], ["deviation"]),
        helper.make_node("Div", ["centred", "deviation"], ["norm"]),
        helper.make_node("MatMul", ["norm", "out"], ["y"]),
    ]
    return make_graph(nodes, {"x": ["n", WIDTH]}, {"y": ["n", 8]}, constants)


def large() -> Arrays:
    """Values of about 800: float16 holds them, but not their squares."""
    return {"x": (800 * np.sign(np.random.default_rng(1).normal(size=(5, WIDTH)))).astype(np.float32)}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "norm.onnx"
    onnx.save(written_out_norm(), path)
    return path


def rounded_answer(model: onnx.ModelProto, feeds: Arrays) -> np.ndarray:
    """The first output where every float16 tensor is one."""
    with np.errstate(over="ignore", invalid="ignore"):
        answers = ReferenceEvaluator(model).run(None, dict(feeds))
    assert isinstance(answers, list)
    return np.asarray(answers[0])


def test_absorbed_overflow_is_finite_and_wrong_without_ranges_and_right_with_them(saved: Path) -> None:
    model, feeds = written_out_norm(), large()
    wanted = answer(model, feeds)
    blind = rounded_answer(convert(copy_of(model), Recipe(dtype="fp16")), feeds)
    assert np.isfinite(blind).all()
    assert distance(blind, wanted) > 0.9, "the overflow that this test is about did not happen"
    careful = convert(copy_of(model), Recipe(dtype="fp16"), record_ranges(saved, feeds))
    assert distance(rounded_answer(careful, feeds), wanted) < 0.005


def test_kept_nodes_are_named_with_what_they_reach(saved: Path) -> None:
    kept = keep_single(load_graph(saved), record_ranges(saved, large()))
    assert [found.operator for found in kept] == ["Pow", "ReduceMean", "Add", "Sqrt"]
    assert kept[0].tensor == "squared"
    assert all(5e5 < found.greatest < 2e6 for found in kept)


def test_nothing_is_kept_and_no_cast_added_where_values_are_small(saved: Path) -> None:
    feeds = {"x": large()["x"] / 100}
    ranges = record_ranges(saved, feeds)
    assert keep_single(load_graph(saved), ranges) == ()
    made, blind = (convert(load_graph(saved), Recipe(dtype="fp16"), known) for known in (ranges, None))
    assert made.SerializeToString() == blind.SerializeToString()


def test_no_tensor_between_two_kept_nodes_passes_through_float16(saved: Path) -> None:
    made = convert(load_graph(saved), Recipe(dtype="fp16"), record_ranges(saved, large()))
    casts = {n.input[0]: n for n in made.graph.node if n.op_type == "Cast"}
    assert not [name for name in casts if name.startswith(("squared", "variance", "more"))]
    onnx.checker.check_model(made)


def test_input_and_answer_that_exceed_float16_stay_float32_up_to_the_border(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "c"], ["a"]), helper.make_node("Add", ["a", "x"], ["y"])]
    model = make_graph(nodes, {"x": [4]}, {"y": [4]}, {"c": np.array(3.0, np.float32)})
    onnx.save(model, tmp_path / "m.onnx")
    feeds = {"x": np.array([7e4, -1e5, 2.0, 1e6], np.float32)}
    ranges = record_ranges(tmp_path / "m.onnx", feeds)
    assert np.isinf(rounded_answer(convert(copy_of(model), Recipe(dtype="fp16")), feeds)).any()
    careful = convert(copy_of(model), Recipe(dtype="fp16"), ranges)
    np.testing.assert_array_equal(rounded_answer(careful, feeds), 4 * feeds["x"])


def test_borders_stay_float32_and_only_the_cache_is_half() -> None:
    path = model_dir("scenes-vlm") / "onnx" / "decoder_model_merged.onnx"
    for dtype in ("fp16", "q4f16"):
        graph = convert(load_graph(path), Recipe(dtype=dtype)).graph
        for value in (*graph.input, *graph.output):
            cached = value.name.startswith(("past_key_values.", "present."))
            kind = value.type.tensor_type.elem_type
            if kind in (TensorProto.FLOAT, TensorProto.FLOAT16):
                assert kind == (TensorProto.FLOAT16 if cached else TensorProto.FLOAT), (dtype, value.name)


def test_kept_nodes_among_quantized_convolutions_get_their_casts(tmp_path: Path) -> None:
    """1×1 → ReLU → 1×1 on values of 60,000: their channels-last twins stay float32 by the ranges of the originals."""
    rng = np.random.default_rng(0)
    constants = {
        "up": np.abs(rng.normal(size=(64, 64, 1, 1))).astype(np.float32) * 1200,
        "down": (rng.normal(size=(64, 64, 1, 1)) / 4000).astype(np.float32),
        "bias": rng.normal(size=64).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "up", "bias"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "down"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["y"]),
    ]
    model = make_graph(nodes, {"x": ["n", 64, 4, 4]}, {"y": ["n", 64, 4, 4]}, constants)
    onnx.save(model, tmp_path / "m.onnx")
    feeds = {"x": np.abs(rng.normal(size=(1, 64, 4, 4))).astype(np.float32)}
    ranges = record_ranges(tmp_path / "m.onnx", feeds)
    recipe = Recipe(dtype="q4f16", method="k_quant", pointwise_bits=8)
    quantized = convert(copy_of(model), Recipe(dtype="q4", method="k_quant", pointwise_bits=8))
    assert [found.operator for found in keep_single(quantized, ranges)] == ["MatMulNBits", "Relu", "MatMulNBits"]
    assert distance(answer(convert(copy_of(model), recipe, ranges), feeds), answer(model, feeds)) < 0.02


@pytest.mark.parametrize("kind", ["initializer", "Constant", "value_float"])
def test_node_with_a_constant_beyond_float16_stays_single_and_is_named(kind: str, tmp_path: Path) -> None:
    """Clamped to 65,504 it would give finite and wrong answers, though no activation leaves the range."""
    nodes = [helper.make_node("Mul", ["x", "c"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    constants = {"c": np.array(1e6, np.float32)}
    if kind == "Constant":
        value = onnx.numpy_helper.from_array(constants["c"])
        nodes.insert(0, helper.make_node("Constant", [], ["c"], value=value))
    elif kind == "value_float":
        nodes.insert(0, helper.make_node("Constant", [], ["c"], value_float=1e6))
    model = make_graph(nodes, {"x": [4]}, {"y": [4]}, constants if kind == "initializer" else {})
    path, feeds = tmp_path / "c.onnx", {"x": np.array([1e-3, 2e-3, 3e-3, 1e-2], np.float32)}
    onnx.save(model, path)
    ranges = record_ranges(path, feeds)
    assert ranges.constants == {"c": 1e6}
    kept = {found.operator: (found.tensor, found.greatest) for found in keep_single(model, ranges)}
    assert kept["Mul"] == ("c", 1e6)
    made = convert(copy_of(model), Recipe(dtype="fp16"), ranges)
    assert distance(rounded_answer(made, feeds), answer(model, feeds)) < 1e-3


def test_mask_of_the_lowest_float_stays_single(tmp_path: Path) -> None:
    lowest = np.array(np.finfo(np.float32).min, np.float32)
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["seen"]),
        helper.make_node("Where", ["seen", "x", "low"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["y"]),
    ]
    constants = {"zero": np.array(0, np.float32), "low": lowest}
    model = make_graph(nodes, {"x": ["n", 4]}, {"y": ["n", 4]}, constants)
    path, feeds = tmp_path / "mask.onnx", {"x": np.array([[1, 2, -1, -2]], np.float32)}
    onnx.save(model, path)
    made = convert(copy_of(model), Recipe(dtype="fp16"), record_ranges(path, feeds))
    assert distance(rounded_answer(made, feeds), answer(model, feeds)) < 1e-3
