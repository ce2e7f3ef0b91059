"""Weights of matrix products as 4 or 8 bits in blocks: MatMul and Gemm become MatMulNBits."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import helper, numpy_helper

from builder.operators import every_node
from builder.quantize.blocks import Blocks, quantize_blocks
from builder.quantize.recipe import Recipe


def quantize_weights(model: onnx.ModelProto, recipe: Recipe) -> onnx.ModelProto:
    """Quantize every matrix product with a constant right side, in blocks along the inner axis.

    A weight that several products share is quantized once. One that would not become smaller than float16 stays, as
    one does whose inner axis is much shorter than a block. The smallest may have 8 bits, see `small_ones`.
    """
    bits = recipe.bits
    assert bits is not None
    split_gemm(model)
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    names = dict.fromkeys(node.input[1] for node in graph.node if node.op_type == "MatMul")
    weights = {
        name: constants[name]
        for name in names
        if name in constants
        and len(constants[name].dims) == 2
        and pays(constants[name].dims[0], bits, recipe.block_size)
    }
    eight = small_ones({name: weight.dims[0] * weight.dims[1] for name, weight in weights.items()}, recipe.eight_share)
    made: dict[str, Blocks] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        weight = weights.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None:
            nodes.append(node)
            continue
        if weight.name not in made:
            made[weight.name] = quantize_blocks(
                numpy_helper.to_array(weight).T,
                bits=8 if weight.name in eight else bits,
                block_size=recipe.block_size,
                symmetric=recipe.symmetric,
                method=recipe.method,
            )
            graph.initializer.extend(block_tensors(made[weight.name], weight.name))
        nodes.append(product_node(made[weight.name], weight.name, node.input[0], node.output[0], name=node.name))
    replace_nodes(model, nodes)
    return model


ACCURACY_LEVEL = 4
"""MatMulNBits may round activations to 8 bits, a block at a time.

On the CPU that adds a thousandth to the error of 4 bits, half to the small one of 8; without it 8-bit weights are made
floats again on every run, 60 times slower for one row of Qwen2-0.5B. WASM has no such kernel and stays exact. WebGPU
multiplies so where it has subgroups and is not Apple's, in whole blocks of any size."""


def small_ones(sizes: Mapping[str, int], share: float) -> frozenset[str]:
    """The smallest of these matrices, earlier ones first, that together have no more than ``share`` of all values.

    They are worth 8 bits where the others have 4: the first layers of an encoder, and the keys and values of grouped
    attention, are small, and everything else is computed from them. In both scenes encoders 2 % at 8 bits take a third
    of the error away, and 8 % more than half.
    """
    room, small = share * sum(sizes.values()), set[str]()
    for name in sorted(sizes, key=sizes.__getitem__):
        room -= sizes[name]
        if room < 0:
            break
        small.add(name)
    return frozenset(small)


def pays(width: int, bits: int, block_size: int) -> bool:
    """Whether rows of ``width`` values, each padded to whole blocks, become smaller than they are in float16."""
    return -(-width // block_size) * (block_size * bits // 8 + 5) < 2 * width


def block_tensors(blocks: Blocks, name: str) -> list[onnx.TensorProto]:
    """The initializers of a quantized matrix, as MatMulNBits and GatherBlockQuantized take them."""
    tensors = [
        numpy_helper.from_array(blocks.data, f"{name}_Q{blocks.bits}"),
        numpy_helper.from_array(blocks.scales, f"{name}_scales"),
    ]
    if blocks.zeros is not None:
        tensors.append(numpy_helper.from_array(blocks.zeros, f"{name}_zero_points"))
    return tensors


def product_node(
    blocks: Blocks, weight: str, given: str, result: str, *, name: str, bias: str | None = None
) -> onnx.NodeProto:
    """MatMulNBits of ``given`` [..., width] with the quantized ``weight`` [rows, width], and a bias [rows]."""
    inputs = [given, f"{weight}_Q{blocks.bits}", f"{weight}_scales"]
    if blocks.zeros is not None or bias is not None:
        inputs.append("" if blocks.zeros is None else f"{weight}_zero_points")
    if bias is not None:
        inputs += ["", bias]
    return helper.make_node(
        "MatMulNBits",
        inputs,
        [result],
        name=name,
        domain="com.microsoft",
        K=blocks.width,
        N=len(blocks.data),
        bits=blocks.bits,
        block_size=blocks.block_size,
        accuracy_level=ACCURACY_LEVEL,
    )


def replace_nodes(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Give the graph these nodes, drop initializers that none of them uses, and import their operators."""
    graph = model.graph
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in every_node(graph) for name in node.input} | {value.name for value in graph.output}
    unused = [at for at, tensor in enumerate(graph.initializer) if tensor.name not in used]
    for at in reversed(unused):
        del graph.initializer[at]
    domains = {opset.domain for opset in model.opset_import}
    if "com.microsoft" not in domains and any(node.domain == "com.microsoft" for node in nodes):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def name_nodes(model: onnx.ModelProto) -> None:
    """Give a name to every node of the main graph that has none, and another one to those that share it."""
    names: set[str] = set()
    for node in model.graph.node:
        name = node.name or f"{node.op_type}.{node.output[0]}"
        while name in names:
            name += "+"
        node.name = name
        names.add(name)


def lift_constants(model: onnx.ModelProto) -> None:
    """Make initializers of the Constant nodes that hold weights: those are looked for there alone."""
    graph = model.graph
    nodes = list[onnx.NodeProto]()
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None) if node.op_type == "Constant" else None
        if value is None or value.data_type != onnx.TensorProto.FLOAT or len(value.dims) < 2:
            nodes.append(node)
            continue
        graph.initializer.append(value)
        graph.initializer[-1].name = node.output[0]
    if len(nodes) < len(graph.node):
        del graph.node[:]
        graph.node.extend(nodes)


def split_gemm(model: onnx.ModelProto) -> None:
    """Write Gemm with a constant right side as MatMul and Add, which quantizers know."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    uses = [name for node in graph.node for name in node.input]
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        plain = (
            attributes.get("alpha", 1.0) == 1.0 and attributes.get("beta", 1.0) == 1.0 and not attributes.get("transA")
        )
        if node.op_type != "Gemm" or node.input[1] not in constants or not plain:
            nodes.append(node)
            continue
        weight = node.input[1]
        if attributes.get("transB"):
            turned = f"{weight}.T" if uses.count(weight) > 1 else weight
            array = numpy_helper.to_array(constants[weight]).T.copy()
            if turned != weight:
                graph.initializer.append(numpy_helper.from_array(array, turned))
            else:
                constants[weight].CopyFrom(numpy_helper.from_array(array, weight))
            weight = turned
        has_bias = len(node.input) > 2 and node.input[2] != ""
        product = f"{node.output[0]}.product" if has_bias else node.output[0]
        nodes.append(helper.make_node("MatMul", [node.input[0], weight], [product], name=f"{node.name}.matmul"))
        if has_bias:
            nodes.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=f"{node.name}.bias"))
    del graph.node[:]
    graph.node.extend(nodes)
