"""What a graph's operators say of where it can run, without running it. quantize and verify both judge by this table.

onnxruntime has far more operators of 8-bit integers than anybody lists, so that they are known by how they are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

INTEGER = re.compile(r"Q[A-Z]|DynamicQuantize|Quantize|\w+Integer")
"""Begins the name of an operator that makes integers of activations or reads such: QLinearConv, QGemm, QAttention,
DynamicQuantizeLSTM, QuantizeLinear, MatMulIntegerToFloat, ConvInteger, ... Their answers are wrong on WebGPU
(huggingface/transformers.js#1317, #1286, #1512); quantize makes them for WASM alone, other tools for everybody."""
STORED = frozenset({"DequantizeLinear", "GatherBlockQuantized", "MatMulBnb4", "MatMulNBits"})
"""Operators whose weights alone are few bits."""
DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
TWIN = ".channels_last"
"""Ends the name of a tensor that holds another's values in another layout (quantize/convolutions.py)."""
FLOAT16 = (10, 16)
"""TensorProto's float16 and bfloat16."""


def is_integer(operator: str) -> bool:
    return INTEGER.match(operator) is not None


def is_quantized(operator: str) -> bool:
    return operator in STORED or is_integer(operator)


def every_node(graph: GraphProto) -> list[NodeProto]:
    """The nodes of a graph and of all graphs within them."""
    return [*graph.node, *(node for outer in graph.node for node in inner_nodes(outer))]


def inner_nodes(node: NodeProto) -> list[NodeProto]:
    """The nodes of the graphs within a node, as If and Loop have them."""
    return [inner for attribute in node.attribute if attribute.HasField("g") for inner in every_node(attribute.g)]


def all_nodes(model: ModelProto) -> list[NodeProto]:
    """Every node of the model: those of its functions too."""
    return [*every_node(model.graph), *(node for function in model.functions for node in function.node)]


def webgpu_fault(model: ModelProto) -> str | None:
    """Why a graph may not run on WebGPU, naming the operator; None where it may."""
    found = sorted({node.op_type for node in all_nodes(model) if is_integer(node.op_type)})
    return f"{found[0]}: 8-bit activations give wrong answers on WebGPU" if found else None


def foreign_operators(model: ModelProto) -> list[str]:
    """Operators of a domain that no build of onnxruntime-web has kernels for, as DOMAIN.NAME."""
    own = DOMAINS | {function.domain for function in model.functions}
    return sorted({f"{node.domain}.{node.op_type}" for node in all_nodes(model) if node.domain not in own})


def needs_half(model: ModelProto) -> bool:
    """Whether a device has to compute in float16: nothing else runs such a graph on WebGPU without shader-f16.

    What is only stored so and cast to float32, as kernels of convolutions are, is folded while the graph is loaded.
    """
    graph, stored = model.graph, half_constants(model)
    values = (*graph.input, *graph.output, *graph.value_info)
    if any(value.type.tensor_type.elem_type in FLOAT16 and value.name not in stored for value in values):
        return True
    for node in all_nodes(model):
        if node.op_type == "Cast":
            if any(attribute.name == "to" and attribute.i in FLOAT16 for attribute in node.attribute):
                return True
        elif stored.intersection(node.input):
            return True
    return False


def half_constants(model: ModelProto) -> frozenset[str]:
    """Names of the constants in float16."""
    names = {tensor.name for tensor in _tensors(model.graph) if tensor.data_type in FLOAT16}
    for node in all_nodes(model):
        if any(attribute.HasField("t") and attribute.t.data_type in FLOAT16 for attribute in node.attribute):
            names.update(node.output)
    return frozenset(names)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
