"""Token tables in blocks: float32 answers near the original, at every block size, alone or within a graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from builder.embedded import model_dir
from builder.graphs import load_graph
from builder.quantize import convert
from builder.quantize.embeddings import is_embedding
from builder.quantize.recipe import Recipe
from tests.quantize._graphs import answer, copy_of, distance, make_graph, operators

IDS = np.array([[0, 5, 299, 128, -1]], np.int64)


def table_graph(width: int) -> onnx.ModelProto:
    table = np.random.default_rng(0).normal(size=(300, width)).astype(np.float32)
    node = helper.make_node("Gather", ["table", "ids"], ["rows"])
    return make_graph([node], {"ids": ["b", "n"]}, {"rows": ["b", "n", width]}, {"table": table}, integers=True)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("block", [32, 64, 128])
@pytest.mark.parametrize("width", [96, 896])
@pytest.mark.parametrize("dtype", ["q8", "q4", "q4f16"])
def test_table_answers_in_float32_near_the_original(dtype: str, width: int, block: int, symmetric: bool) -> None:
    model = table_graph(width)
    made = convert(copy_of(model), Recipe(dtype=dtype, block_size=block, symmetric=symmetric))
    rows = answer(made, {"ids": IDS})
    assert rows.dtype == np.float32
    assert distance(rows, answer(model, {"ids": IDS})) < (0.02 if dtype == "q8" else 0.17)


def test_table_of_an_odd_number_of_blocks_has_no_zero_points_at_4_bits() -> None:
    for dtype, block, inputs in (("q4", 128, 3), ("q4", 64, 4), ("q8", 128, 4)):
        made = convert(table_graph(896), Recipe(dtype=dtype, block_size=block))
        assert len(made.graph.node[0].input) == inputs, (dtype, block)


def test_float16_scales_make_q4f16_the_smallest() -> None:
    sizes = [convert(table_graph(896), Recipe(dtype=dtype)).ByteSize() for dtype in ("fp16", "q8", "q4", "q4f16")]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[3] < 0.95 * sizes[2]


def test_table_within_a_graph_is_quantized_and_a_small_one_is_not() -> None:
    path = model_dir("scenes-clip") / "onnx" / "text_model.onnx"
    plain = load_graph(path)
    made = convert(load_graph(path), Recipe(dtype="q4f16"))
    assert not is_embedding(plain)
    assert operators(made)["GatherBlockQuantized"] == 1
    context = plain.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    ids = np.random.default_rng(0).integers(0, 100, (3, context))
    assert distance(answer(made, {"input_ids": ids}), answer(plain, {"input_ids": ids})) < 0.25
    small = make_graph(
        [helper.make_node("Gather", ["t", "i"], ["y"])],
        {"i": [2]},
        {"y": [2, 8]},
        {"t": np.ones((16, 8), np.float32)},
        integers=True,
    )
    assert operators(convert(small, Recipe(dtype="q4"))) == {"Gather": 1}


def test_table_that_a_product_shares_is_quantized_for_both() -> None:
    table = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float32) / 8
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["turned", "tied"], ["y"]),
    ]
    constants = {"table": table, "tied": np.ascontiguousarray(table[:200])}
    model = make_graph(nodes, {"ids": [200]}, {"y": [64, 64]}, constants, integers=True)
    made = convert(copy_of(model), Recipe(dtype="q8"))
    assert operators(made) == {"GatherBlockQuantized": 1, "Transpose": 1, "MatMulNBits": 1}
    ids = np.arange(200)
    assert distance(answer(made, {"ids": ids}), answer(model, {"ids": ids})) < 0.03
    assert all(tensor.data_type != TensorProto.FLOAT or tensor.dims[-1] < 64 for tensor in made.graph.initializer)
