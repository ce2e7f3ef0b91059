"""1×1 convolutions as matrix products pay two transposes a block; other kernels are stored small and run as floats."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from builder.embedded import model_dir
from builder.graphs import load_graph
from builder.manifest import read_manifest
from builder.parity import scene_pixels
from builder.quantize import convert
from builder.quantize.recipe import Recipe
from tests.quantize._graphs import Arrays, answer, copy_of, distance, make_graph, operators

SIDE, WIDTH = 6, 64
ENCODERS = [("scenes-vlm", "vision_encoder"), ("scenes-clip", "vision_model")]


def weights(*shape: int, seed: int) -> np.ndarray:
    fan = int(np.prod(shape[1:]))
    values: np.ndarray = (np.random.default_rng(seed).normal(size=shape) / fan**0.5).astype(np.float32)
    return values


def fastvit_block(*, squeeze: bool = False) -> onnx.ModelProto:
    """depthwise → 1×1 → GELU → 1×1 → layer scale → sum, with squeeze-and-excite before the scale if asked for."""
    constants: dict[str, np.ndarray] = {
        "deep": weights(WIDTH, 1, 3, 3, seed=0),
        "deep_bias": weights(WIDTH, seed=1),
        "up": weights(2 * WIDTH, WIDTH, 1, 1, seed=2),
        "up_bias": weights(2 * WIDTH, seed=3),
        "down": weights(WIDTH, 2 * WIDTH, 1, 1, seed=4),
        "scale": weights(WIDTH, 1, 1, seed=5),
        "axes": np.array([2, 3]),
        "less": weights(32, WIDTH, 1, 1, seed=6),
        "more": weights(WIDTH, 32, 1, 1, seed=7),
    }
    nodes = [
        helper.make_node("Conv", ["x", "deep", "deep_bias"], ["a"], group=WIDTH, pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "up", "up_bias"], ["b"], kernel_shape=[1, 1]),
        helper.make_node("Gelu", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "down"], ["d"]),
        *(squeeze_nodes() if squeeze else [helper.make_node("Identity", ["d"], ["s"])]),
        helper.make_node("Mul", ["s", "scale"], ["e"]),
        helper.make_node("Add", ["a", "e"], ["y"]),
    ]
    if not squeeze:
        nodes[5].input[0] = "d"
        del nodes[4]
    read = {name for node in nodes for name in node.input}
    shape: list[int | str] = ["n", WIDTH, SIDE, SIDE]
    kept = {name: value for name, value in constants.items() if name in read}
    return make_graph(nodes, {"x": shape}, {"y": shape}, kept)


def squeeze_nodes() -> list[onnx.NodeProto]:
    return [
        helper.make_node("ReduceMean", ["d", "axes"], ["m"], keepdims=1),
        helper.make_node("Conv", ["m", "less"], ["l"]),
        helper.make_node("Relu", ["l"], ["r"]),
        helper.make_node("Conv", ["r", "more"], ["o"]),
        helper.make_node("Sigmoid", ["o"], ["g"]),
        helper.make_node("Mul", ["d", "g"], ["s"]),
    ]


def picture(batch: int = 2) -> Arrays:
    return {"x": np.random.default_rng(9).normal(size=(batch, WIDTH, SIDE, SIDE)).astype(np.float32)}


@pytest.mark.parametrize("dtype", ["q8", "q4f16"])
def test_block_pays_two_transposes_and_answers_the_same(dtype: str) -> None:
    model = fastvit_block()
    made = convert(copy_of(model), Recipe(dtype=dtype, pointwise_bits=8))
    counts = operators(made)
    assert (counts["Transpose"], counts["MatMulNBits"], counts["Conv"]) == (2, 2, 1)
    assert (counts["Gelu"], counts["Mul"], counts["Add"]) == (1, 1, 1)
    assert distance(answer(made, picture()), answer(model, picture())) < 0.02


def test_squeeze_and_excite_moves_no_values_on_maps_of_one_pixel() -> None:
    model = fastvit_block(squeeze=True)
    made = convert(copy_of(model), Recipe(dtype="q8", pointwise_bits=8))
    counts = operators(made)
    assert (counts["MatMulNBits"], counts["Transpose"]) == (4, 3)  # into the products, out for the mean and the sum
    assert distance(answer(made, picture()), answer(model, picture())) < 0.02


def test_elementwise_that_two_layouts_read_is_right_in_both() -> None:
    constants = {"w": weights(WIDTH, WIDTH, 1, 1, seed=0), "k": weights(WIDTH, WIDTH, 3, 3, seed=1)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "k"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["b", "w"], ["d"]),
        helper.make_node("Sub", ["a", "d"], ["e"]),
        helper.make_node("Add", ["c", "e"], ["y"]),
    ]
    shape: list[int | str] = ["n", WIDTH, SIDE, SIDE]
    model = make_graph(nodes, {"x": shape}, {"y": shape}, constants)
    made = convert(copy_of(model), Recipe(dtype="q8", pointwise_bits=8))
    assert operators(made)["Transpose"] == 3
    assert distance(answer(made, picture()), answer(model, picture())) < 0.02


@pytest.mark.parametrize(
    "attributes", [{"strides": [2, 2]}, {"pads": [1, 1, 1, 1]}, {"group": 2}], ids=["strided", "padded", "grouped"]
)
def test_convolution_that_is_no_matrix_product_stays_one(attributes: dict[str, int | list[int]]) -> None:
    kernel = weights(WIDTH, WIDTH // 2 if "group" in attributes else WIDTH, 1, 1, seed=0)
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    model = make_graph([node], {"x": ["n", WIDTH, SIDE, SIDE]}, {"y": ["n", WIDTH, "h", "w"]}, {"w": kernel})
    made = convert(copy_of(model), Recipe(dtype="q4", pointwise_bits=4))
    assert operators(made) == {"Conv": 1}
    assert np.array_equal(answer(made, picture()), answer(model, picture()))


@pytest.mark.parametrize(("kind", "share", "error"), [("fp16", 0.55, 0.001), ("int8", 0.35, 0.01)])
@pytest.mark.parametrize("dtype", ["q4", "q4f16", "fp16"])
def test_kernels_are_stored_small_and_folded_when_loaded(
    kind: str, share: float, error: float, dtype: str, tmp_path: Path
) -> None:
    import onnxruntime as ort

    constants = {"k": weights(WIDTH, WIDTH, 3, 3, seed=1), "b": weights(WIDTH, seed=2)}
    nodes = [helper.make_node("Conv", ["x", "k", "b"], ["y"], pads=[1, 1, 1, 1])]
    shape: list[int | str] = ["n", WIDTH, SIDE, SIDE]
    model = make_graph(nodes, {"x": shape}, {"y": shape}, constants)
    made = convert(copy_of(model), Recipe(dtype=dtype, depthwise=kind))
    assert made.ByteSize() < share * model.ByteSize()
    assert distance(answer(made, picture()), answer(model, picture())) < error
    bias = next(tensor for tensor in made.graph.initializer if tensor.name == "b")
    assert bias.data_type == (TensorProto.FLOAT if dtype == "q4" else TensorProto.FLOAT16)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert operators(load_graph(tmp_path / "loaded.onnx"))["Mul"] == 0


@pytest.mark.parametrize(("name", "component"), ENCODERS)
def test_embedded_encoder_pays_two_transposes_a_block_at_most(name: str, component: str) -> None:
    path = model_dir(name) / "onnx" / f"{component}.onnx"
    plain = load_graph(path)
    made = convert(load_graph(path), Recipe(dtype="q4", pointwise_bits=4, depthwise="int8"))
    before, after = operators(plain), operators(made)
    blocks = sum("layer_scale" in name for node in plain.graph.node for name in node.input if node.op_type == "Mul")
    alone = before["Conv"] - after["Conv"] - 2 * blocks  # stems and projections, squeeze-and-excite
    assert after["Transpose"] - before["Transpose"] <= 2 * (blocks + alone)
    assert after["Transpose"] - before["Transpose"] < before["Conv"] - after["Conv"] + 4


@pytest.mark.parametrize(("name", "component"), ENCODERS)
def test_embedded_encoder_is_near_fp32_and_nearer_with_8_bits_for_the_smallest(name: str, component: str) -> None:
    folder = model_dir(name)
    path = folder / "onnx" / f"{component}.onnx"
    feeds = {"pixel_values": scene_pixels(folder, read_manifest(folder))}
    plain = answer(load_graph(path), feeds)
    errors = Counter[str]()
    for label, recipe in {
        "8": Recipe(dtype="q8", pointwise_bits=8, depthwise="int8"),
        "4": Recipe(dtype="q4", method="k_quant", pointwise_bits=4, depthwise="int8"),
        "4, 8% at 8": Recipe(dtype="q4", method="k_quant", pointwise_bits=4, depthwise="int8", eight_share=0.08),
    }.items():
        errors[label] = distance(answer(convert(load_graph(path), recipe), feeds), plain)  # type: ignore[assignment]
    assert errors["8"] < 0.03
    assert errors["4"] < 0.2
    assert errors["4, 8% at 8"] < 0.7 * errors["4"]


@pytest.mark.parametrize("axes", [1, 3])
def test_kernels_over_one_or_three_axes_are_stored_as_bytes(axes: int) -> None:
    rng = np.random.default_rng(0)
    kernel = (rng.normal(size=(16, 16, *[3] * axes)) / 16).astype(np.float32)
    node = helper.make_node("Conv", ["x", "k"], ["y"])
    model = make_graph([node], {"x": [1, 16, *[6] * axes]}, {"y": [1, 16, *[4] * axes]}, {"k": kernel})
    feeds = {"x": rng.normal(size=(1, 16, *[6] * axes)).astype(np.float32)}
    made = convert(copy_of(model), Recipe(dtype="q8", depthwise="int8"))
    assert any(tensor.data_type == onnx.TensorProto.INT8 for tensor in made.graph.initializer)
    assert distance(answer(made, feeds), answer(model, feeds)) < 0.02
