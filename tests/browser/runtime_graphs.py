"""Small graphs for test_runtimes.py: what the embedded models do not have as they are shipped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from builder.embedded import model_dir
from builder.graphs import load_graph
from builder.manifest import read_manifest
from builder.parity import Reference
from builder.quantize import convert
from builder.quantize.recipe import Recipe
from tests.quantize._graphs import make_graph

WIDTH, TABLE_WIDTH, TOKENS = 384, 256, 96
"""Inner axis of the product: three blocks of 128, an odd number. Rows of the table: an even number, because zero points
of an odd one are not made."""
OPERATORS = {"product": "MatMulNBits", "rows": "GatherBlockQuantized"}
"""Output → the operator that makes it."""


def block_graph(dtype: str, block: int, *, symmetric: bool) -> onnx.ModelProto:
    """A product and a table in blocks of one size, as `quantize` makes them."""
    rng = np.random.default_rng(block)
    constants = {
        "weight": rng.normal(size=(WIDTH, 64)).astype(np.float32),
        "table": rng.normal(size=(TOKENS, TABLE_WIDTH)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["given", "weight"], ["product"], name="product"),
        helper.make_node("Gather", ["table", "ids"], ["rows"], name="rows"),
    ]
    outputs: dict[str, list[int | str]] = {"product": [1, "n", 64], "rows": [1, "n", TABLE_WIDTH]}
    model = make_graph(nodes, {"given": [1, "n", WIDTH], "ids": [1, "n"]}, outputs, constants)
    model.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    made = convert(model, Recipe(dtype=dtype, block_size=block, symmetric=symmetric))
    blocks = {node.op_type: helper.get_node_attr_value(node, "block_size") for node in made.graph.node if node.domain}
    assert blocks == dict.fromkeys(OPERATORS.values(), block)
    return made


def block_feeds(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows)
    return {
        "given": rng.normal(size=(1, rows, WIDTH)).astype(np.float32),
        "ids": rng.integers(0, TOKENS, (1, rows)),
    }


def without_zero_points(model: onnx.ModelProto, operator: str) -> None:
    """Make the graph what a runtime computes that takes all blocks of one operator for symmetric ones."""
    node = next(node for node in model.graph.node if node.op_type == operator)
    del node.input[3:]


def without_numbers(model: onnx.ModelProto, operator: str) -> None:
    """Make the graph what a runtime computes that gives NaN for one operator."""
    node = next(node for node in model.graph.node if node.op_type == operator)
    scales = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[2])
    scales.CopyFrom(numpy_helper.from_array(np.full(tuple(scales.dims), np.nan, np.float32), scales.name))


def without_old_keys(path: Path) -> onnx.ModelProto:
    """A decoder as a runtime would run it that left the older keys of a cache out of one layer's attention."""
    model = load_graph(path)
    node = [node for node in model.graph.node if node.op_type == "GroupQueryAttention"][1]
    kept = [attribute for attribute in node.attribute if attribute.name != "local_window_size"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("local_window_size", 64)])
    return model


def dynamic_int8(plain: onnx.ModelProto, _feeds: Mapping[str, np.ndarray], path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(plain, path, weight_type=QuantType.QUInt8, op_types_to_quantize=["MatMul", "Gemm"])


def static_int8(plain: onnx.ModelProto, feeds: Mapping[str, np.ndarray], path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Once(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
        def __init__(self) -> None:
            self.runs = iter([dict(feeds)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.runs, None)

    quantize_static(
        plain,
        path,
        Once(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
    )


INT8 = {"text_model": ("MatMulInteger", dynamic_int8), "vision_model": ("QuantizeLinear", static_int8)}
"""Tower → the operator that reads or makes 8-bit activations, and how the usual tools make a graph with it."""


def int8_model(folder: Path) -> Path:
    """scenes-clip with towers as the usual tools make them: 8-bit weights and activations."""
    model = Path(shutil.copytree(model_dir("scenes-clip"), folder / "scenes-clip"))
    reference = Reference(model, read_manifest(model))
    for component, (operator, quantize) in INT8.items():
        plain = load_graph(model / "onnx" / f"{component}.onnx")
        del plain.graph.value_info[:]  # its shapes are of weights that quantize_dynamic turns round
        path = model / "onnx" / f"{component}_quantized.onnx"
        quantize(plain, reference.one_run(component), path)
        assert operator in {node.op_type for node in load_graph(path).graph.node}
    return model
