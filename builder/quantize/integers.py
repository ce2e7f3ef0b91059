"""Matrix products of 8-bit integers, for decoders on WASM.

onnxruntime-web has no 4-bit kernel for WASM: MatMulNBits makes floats of the whole matrix on every run, so that one
token costs what a hundred would. MatMulInteger reads its weights once, a byte each: for one row of Qwen2-0.5B's
matrices it takes a twentieth of the time, for 280 rows a quarter (``webgpu-demo bench decode``).

Its usual form, which transformers.js's own files have, rounds activations by one scale for all tokens, and the tokens
that a decoder gives huge values drown the others. Here each token has a scale of its own.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from builder.quantize.weights import pays, replace_nodes, split_gemm

MIDDLE = 128
"""Zero of weights and activations. Both are unsigned: with signed weights AVX2 without VNNI saturates sums of two
products, and a server would write other words than the page."""
STEPS = 127
TINY = 1e-12
"""Greatest value of a token that is all zeros, which must not be divided by zero."""


def quantize_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make every matrix product with a constant right side one of integers, weights with a scale for each column.

    A weight that several products share is quantized once, as is an activation. Products are exact from there on, so
    that all processors agree.
    """
    split_gemm(model)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        weight = constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None or len(weight.dims) != 2 or not pays(weight.dims[0], 8, weight.dims[0]):
            nodes.append(node)
            continue
        if weight.name not in made:
            graph.initializer.extend(_columns(numpy_helper.to_array(weight), weight.name))
        if node.input[0] not in made:
            nodes += _rows(node.input[0])
        made |= {weight.name, node.input[0]}
        nodes += _product(node.input[0], weight.name, node.output[0], node.name)
    if made:
        graph.initializer.extend(_constants())
    replace_nodes(model, nodes)
    return model


def _columns(weight: np.ndarray, name: str) -> list[onnx.TensorProto]:
    """A matrix [inner, columns] as uint8, and the scale of each column."""
    scales = np.maximum(np.abs(weight).max(axis=0), TINY) / STEPS
    values = (np.round(weight / scales) + MIDDLE).astype(np.uint8)
    return [
        numpy_helper.from_array(values, f"{name}_U8"),
        numpy_helper.from_array(scales.astype(np.float32), f"{name}_scales"),
    ]


def _rows(given: str) -> list[onnx.NodeProto]:
    """An activation [..., inner] as uint8, each row by the greatest value in it."""
    steps = (
        ("Abs", (given,), "size"),
        ("ReduceMax", ("size", "integers.last"), "top"),
        ("Max", ("top", "integers.tiny"), "most"),
        ("Mul", ("most", "integers.step"), "scale"),
        ("Div", (given, "scale"), "steps"),
        ("Round", ("steps",), "whole"),
        ("Add", ("whole", "integers.middle"), "shifted"),
    )
    own = {result: f"{given}.{result}" for _, _, result in steps}
    nodes = [
        helper.make_node(kind, [own.get(name, name) for name in inputs], [own[result]], name=own[result])
        for kind, inputs, result in steps
    ]
    nodes.append(
        helper.make_node("Cast", [own["shifted"]], [f"{given}.U8"], name=f"{given}.U8", to=onnx.TensorProto.UINT8)
    )
    return nodes


def _product(given: str, weight: str, result: str, name: str) -> list[onnx.NodeProto]:
    total, turned, scaled = (f"{result}.{part}" for part in ("sum", "float", "columns"))
    return [
        helper.make_node(
            "MatMulInteger",
            [f"{given}.U8", f"{weight}_U8", "integers.zero", "integers.zero"],
            [total],
            name=name or total,
        ),
        helper.make_node("Cast", [total], [turned], name=turned, to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [turned, f"{weight}_scales"], [scaled], name=scaled),
        helper.make_node("Mul", [scaled, f"{given}.scale"], [result], name=f"{result}.rows"),
    ]


def _constants() -> list[onnx.TensorProto]:
    values: dict[str, np.ndarray] = {
        "integers.last": np.array([-1], np.int64),
        "integers.tiny": np.array(TINY, np.float32),
        "integers.step": np.array(1 / STEPS, np.float32),
        "integers.middle": np.array(MIDDLE, np.float32),
        "integers.zero": np.array(MIDDLE, np.uint8),
    }
    return [numpy_helper.from_array(value, name) for name, value in values.items()]
