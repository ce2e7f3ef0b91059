"""Tables of rotary positions are not stored: a few operators make them while the graph is loaded.

For the 32,768 positions of Qwen2-0.5B they are 4 MB in float16 and 8 in float32, and nothing but the cosines and sines
of the products of positions and some frequencies. onnxruntime folds what has constant inputs, on the CPU and in
float32, before it hands a graph to a device.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from builder.quantize.weights import replace_nodes

LEAST_BYTES = 2**18
"""Smaller tables stay."""
NEAR = 1e-5
"""How far what is made may be from what was stored."""


Tables = Mapping[tuple[str, str], np.ndarray]
"""Names of the cosines and sines → their frequencies."""


def read_rotary(model: onnx.ModelProto) -> Tables:
    """The tables of an fp32 graph that operators can make, to the last bit or nearly."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {}
    for cosine, sine in dict.fromkeys(pair for node in model.graph.node if (pair := _tables(node)) is not None):
        if cosine not in constants or sine not in constants or len(constants[cosine].raw_data) < LEAST_BYTES:
            continue
        cosines, sines = numpy_helper.to_array(constants[cosine]), numpy_helper.to_array(constants[sine])
        frequencies = find_frequencies(cosines, sines)
        angles = np.arange(len(cosines), dtype=np.float32)[:, None] * frequencies
        if max(np.abs(np.cos(angles) - cosines).max(), np.abs(np.sin(angles) - sines).max()) <= NEAR:
            found[cosine, sine] = frequencies
    return found


def make_rotary(model: onnx.ModelProto, tables: Tables) -> onnx.ModelProto:
    """Replace the tables of a graph, float16 by now or not, by operators that make them."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for number, ((cosine, sine), frequencies) in enumerate(tables.items()):
        if cosine in constants and sine in constants:
            nodes += _makers(model.graph, constants[cosine], constants[sine], frequencies, f"rotary_{number}")
    made = {name for node in nodes for name in node.output}
    for at in reversed([at for at, tensor in enumerate(model.graph.initializer) if tensor.name in made]):
        del model.graph.initializer[at]
    replace_nodes(model, [*nodes, *model.graph.node])
    return model


def _tables(node: onnx.NodeProto) -> tuple[str, str] | None:
    """The names of the cosines and sines that a node reads."""
    first = {"GroupQueryAttention": 7, "RotaryEmbedding": 2}.get(node.op_type)
    if first is None or node.domain != "com.microsoft" or len(node.input) < first + 2 or not node.input[first]:
        return None
    return node.input[first], node.input[first + 1]


def find_frequencies(cosines: np.ndarray, sines: np.ndarray) -> np.ndarray:
    """The float32 frequencies [size] of tables [positions, size] that start at position 0.

    The angle at position 1 is the frequency, roughly; the angles at 2, 4, 8, ... make it more exact each time.
    """
    angles = np.arctan2(sines.astype(np.float64), cosines.astype(np.float64))
    frequencies, position = angles[1].copy(), 2
    while position < len(angles):
        turns = np.round((frequencies * position - angles[position]) / (2 * np.pi))
        frequencies = (angles[position] + 2 * np.pi * turns) / position
        position *= 2
    found: np.ndarray = frequencies.astype(np.float32)
    return found


def _makers(
    graph: onnx.GraphProto, cosine: TensorProto, sine: TensorProto, frequencies: np.ndarray, name: str
) -> list[onnx.NodeProto]:
    positions = cosine.dims[0]
    parts = {
        "start": np.array(0, np.float32),
        "stop": np.array(positions, np.float32),
        "step": np.array(1, np.float32),
        "column": np.array([-1, 1]),
        "frequencies": frequencies,
    }
    graph.initializer.extend(numpy_helper.from_array(array, f"{name}_{part}") for part, array in parts.items())

    def node(operator: str, inputs: list[str], output: str) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, [output], name=f"{output}.make")

    nodes = [
        node("Range", [f"{name}_start", f"{name}_stop", f"{name}_step"], f"{name}_positions"),
        node("Reshape", [f"{name}_positions", f"{name}_column"], f"{name}_rows"),
        node("Mul", [f"{name}_rows", f"{name}_frequencies"], f"{name}_angles"),
    ]
    for operator, table in (("Cos", cosine), ("Sin", sine)):
        if table.data_type == TensorProto.FLOAT:
            nodes.append(node(operator, [f"{name}_angles"], table.name))
            continue
        nodes.append(node(operator, [f"{name}_angles"], f"{table.name}.single"))
        cast = node("Cast", [f"{table.name}.single"], table.name)
        cast.attribute.append(helper.make_attribute("to", table.data_type))
        nodes.append(cast)
    return nodes
