"""Matrix products in blocks: near to fp32, smaller with larger blocks, shared weights once, lm_head at any width."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from builder.embedded import model_dir
from builder.errors import QuantizeError
from builder.graphs import load_graph
from builder.quantize import convert
from builder.quantize.blocks import Blocks, quantize_blocks
from builder.quantize.recipe import Recipe, candidates
from builder.quantize.weights import small_ones, split_gemm
from tests.quantize._graphs import answer, copy_of, distance, make_graph, operators

SHAPES = [
    (method, symmetric, block)
    for method, symmetric, block in itertools.product(("rtn", "k_quant", "hqq"), (False, True), (32, 64, 128))
    if not (method == "hqq" and symmetric)
]


def restored(blocks: Blocks) -> np.ndarray:
    """The floats that a kernel makes of blocks, by the format's definition."""
    data = blocks.data
    zeros = np.full(blocks.scales.shape, 2 ** (blocks.bits - 1)) if blocks.zeros is None else blocks.zeros
    if blocks.bits == 4:
        data = np.stack([data & 15, data >> 4], axis=-1).reshape(*data.shape[:2], -1)
        if blocks.zeros is not None:
            zeros = np.stack([zeros & 15, zeros >> 4], axis=-1).reshape(len(zeros), -1)[:, : data.shape[1]]
    values = (data.astype(np.float32) - zeros[..., None].astype(np.float32)) * blocks.scales[..., None]
    return np.asarray(values.reshape(len(values), -1)[:, : blocks.width])


def product_graph(width: int = 192, rows: int = 48) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    constants = {"w": rng.standard_t(5, size=(width, rows)).astype(np.float32) / width**0.5}
    return make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", width]}, {"y": ["n", rows]}, constants
    )


@pytest.mark.parametrize(("method", "symmetric", "block"), SHAPES)
@pytest.mark.parametrize("bits", [4, 8])
def test_product_of_every_method_is_near_fp32(method: str, symmetric: bool, block: int, bits: int) -> None:
    model = product_graph()
    x = np.random.default_rng(1).normal(size=(5, 192)).astype(np.float32)
    recipe = Recipe(dtype="q4" if bits == 4 else "q8", method=method, symmetric=symmetric, block_size=block)
    made = convert(copy_of(model), recipe)
    assert operators(made) == {"MatMulNBits": 1}
    assert [tensor.name for tensor in made.graph.initializer if tensor.name == "w"] == []
    assert distance(answer(made, {"x": x}), answer(model, {"x": x})) < (0.2 if bits == 4 else 0.02)


@pytest.mark.parametrize("symmetric", [False, True])
def test_k_quant_is_nearer_than_rounding(symmetric: bool) -> None:
    matrix = np.random.default_rng(0).standard_t(5, size=(256, 1024)).astype(np.float32)
    errors = [
        distance(restored(quantize_blocks(matrix, bits=4, block_size=32, symmetric=symmetric, method=method)), matrix)
        for method in ("rtn", "k_quant")
    ]
    assert errors[1] < 0.99 * errors[0]


@pytest.mark.parametrize("method", ["rtn", "k_quant", "hqq"])
def test_blocks_of_one_value_and_of_zeros_come_back(method: str) -> None:
    matrix = np.zeros((5, 70), np.float32)
    matrix[1], matrix[2], matrix[3, :35], matrix[4] = 0.3, -1e-3, 7.0, 1e-40
    blocks = quantize_blocks(matrix, bits=4, block_size=32, method=method)
    assert np.isfinite(blocks.scales).all()
    np.testing.assert_allclose(restored(blocks), matrix, rtol=0.04, atol=1e-7)


def test_unknown_or_impossible_method_is_refused() -> None:
    matrix = np.ones((2, 64), np.float32)
    with pytest.raises(QuantizeError, match="best"):
        quantize_blocks(matrix, bits=4, block_size=32, method="best")
    with pytest.raises(QuantizeError, match="symmetric method 'hqq'") as caught:
        quantize_blocks(matrix, bits=4, block_size=32, symmetric=True, method="hqq")
    assert "k_quant symmetric" in caught.value.hint


def test_shared_weight_is_quantized_once_and_stays_where_something_else_reads_it() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(64, 64)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Add", ["b", "w"], ["y"]),
    ]
    model = make_graph(nodes, {"x": [64, 64]}, {"y": [64, 64]}, {"w": weight})
    x = rng.normal(size=(64, 64)).astype(np.float32) / 8
    made = convert(copy_of(model), Recipe(dtype="q8"))
    assert sorted(tensor.name for tensor in made.graph.initializer) == ["w", "w_Q8", "w_scales", "w_zero_points"]
    assert distance(answer(made, {"x": x}), answer(model, {"x": x})) < 0.02


def test_product_much_narrower_than_a_block_stays_a_product() -> None:
    assert operators(convert(product_graph(width=6), Recipe(dtype="q4"))) == {"MatMul": 1}


@pytest.mark.parametrize(("trans_b", "bias"), [(1, True), (1, False), (0, True)])
def test_split_gemm_changes_no_result(trans_b: int, bias: bool) -> None:
    rng = np.random.default_rng(0)
    shape = (7, 5) if trans_b else (5, 7)
    constants = {"w": rng.normal(size=shape).astype(np.float32), "b": rng.normal(size=7).astype(np.float32)}
    gemm = helper.make_node("Gemm", ["x", "w", *(["b"] if bias else [])], ["y"], name="g", transB=trans_b)
    model = make_graph([gemm], {"x": ["n", 5]}, {"y": ["n", 7]}, constants)
    x = rng.normal(size=(3, 5)).astype(np.float32)
    expected = answer(model, {"x": x})
    split_gemm(model)
    assert operators(model) == ({"MatMul": 1, "Add": 1} if bias else {"MatMul": 1})
    np.testing.assert_allclose(answer(model, {"x": x}), expected, atol=1e-5)


def test_small_ones_are_the_smallest_within_their_share() -> None:
    sizes = {"late": 10, "large": 940, "early": 10, "middle": 40}
    assert small_ones(sizes, 0.0) == frozenset()
    assert small_ones(sizes, 0.01) == {"late"}
    assert small_ones(sizes, 0.02) == {"late", "early"}
    assert small_ones(sizes, 0.5) == {"late", "early", "middle"}


def test_decoder_of_the_embedded_captioner_keeps_its_head_and_shrinks() -> None:
    path = model_dir("scenes-vlm") / "onnx" / "decoder_model_merged.onnx"
    plain = load_graph(path)
    made = convert(load_graph(path), Recipe(dtype="q4f16", method="k_quant", symmetric=True))
    head = next(node for node in made.graph.node if node.op_type == "MatMulNBits" and "lm_head" in node.name)
    vocabulary = plain.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    assert next(a.i for a in head.attribute if a.name == "N") == vocabulary
    assert made.ByteSize() < 0.17 * plain.ByteSize()


def test_quantized_graph_is_refused() -> None:
    made = convert(product_graph(), Recipe(dtype="q4"))
    with pytest.raises(QuantizeError, match="quantized already: it has MatMulNBits"):
        convert(made, Recipe(dtype="q8"))
    with pytest.raises(QuantizeError, match="quantized already"):
        candidates(made, "q4")


def test_unknown_operators_are_refused_by_name() -> None:
    model = product_graph()
    model.graph.node[0].domain = "acme.lab"
    with pytest.raises(QuantizeError, match=r"acme\.lab\.MatMul"):
        convert(model, Recipe(dtype="q4"))


def test_half_graph_is_refused() -> None:
    made = convert(product_graph(), Recipe(dtype="fp16"))
    with pytest.raises(QuantizeError, match="half precision already"):
        convert(made, Recipe(dtype="q4"))


def test_candidates_fit_the_graph_and_are_named_apart() -> None:
    models = model_dir("scenes-vlm") / "onnx"
    encoder, decoder, table = (
        load_graph(models / f"{name}.onnx", weights=False)
        for name in ("vision_encoder", "decoder_model_merged", "embed_tokens")
    )
    for graph, dtype in itertools.product((encoder, decoder, table), ("fp16", "q8", "q4", "q4f16")):
        found = candidates(graph, dtype)
        assert len({recipe.label() for recipe in found}) == len(found) >= 1
        assert {recipe.dtype for recipe in found} == {dtype}
    assert {recipe.pointwise_bits for recipe in candidates(encoder, "q4")} == {4, 8}
    assert {recipe.depthwise for recipe in candidates(encoder, "q4")} == {"int8", "fp16"}
    assert {recipe.block_size for recipe in candidates(encoder, "q4")} == {32}
    assert {recipe.block_size for recipe in candidates(encoder, "q4", any_block=True)} == {32, 64, 128}
    assert {(r.pointwise_bits, r.depthwise, r.block_size) for r in candidates(decoder, "q4")} == {(None, "fp32", 32)}
    assert {recipe.block_size for recipe in candidates(decoder, "q4", any_block=True)} == {32, 64, 128}
    assert {recipe.block_size for recipe in candidates(table, "q4")} == {32, 64, 128}


def test_label_tells_all_choices() -> None:
    recipe = Recipe(dtype="q4f16", method="k_quant", pointwise_bits=4, depthwise="int8", eight_share=0.02)
    assert recipe.label() == "q4f16 k-quant b32 asym, smallest 2% at 8 bits, 1x1 at 4 bits, kernels int8"
    assert Recipe.default("fp16").label() == "fp16"


def test_gemm_with_an_empty_bias_has_none() -> None:
    weight = np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32)
    model = make_graph(
        [helper.make_node("Gemm", ["x", "w", ""], ["y"], transB=1)], {"x": ["n", 64]}, {"y": ["n", 32]}, {"w": weight}
    )
    feeds = {"x": np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)}
    made = convert(copy_of(model), Recipe(dtype="q8"))
    assert "Add" not in operators(made)
    assert distance(answer(made, feeds), answer(model, feeds)) < 0.02


def test_weight_in_a_constant_node_is_quantized_like_any_other() -> None:
    weight = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    nodes = [
        helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weight)),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    made = convert(make_graph(nodes, {"x": ["n", 64]}, {"y": ["n", 32]}, {}), Recipe(dtype="q4"))
    assert operators(made) == {"MatMulNBits": 1}
