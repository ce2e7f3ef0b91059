"""Embedding tables as 4 or 8 bits in blocks: Gather becomes GatherBlockQuantized.

On WebGPU every onnxruntime-web build runs it; on the CPU only the plain build has a kernel, which is the one that the
pages load for WASM.
"""

from __future__ import annotations

from dataclasses import replace

import onnx
from onnx import TensorProto, helper, numpy_helper

from builder.quantize.blocks import Blocks, quantize_blocks
from builder.quantize.recipe import Recipe
from builder.quantize.weights import block_tensors, replace_nodes

LEAST_VALUES = 2**14
"""Tables with fewer values stay as they are."""


def is_embedding(model: onnx.ModelProto) -> bool:
    """Whether the graph is a bare table: one Gather from a constant."""
    return len(model.graph.node) == 1 and len(_tables(model)) == 1


def quantize_tables(model: onnx.ModelProto, recipe: Recipe) -> onnx.ModelProto:
    """Quantize the tables that rows are gathered from, along their rows.

    A table that a product multiplies with as well stays beside it, and is the product's to quantize. Blocks are
    symmetric where a row has an odd number of them at 4 bits: WebGPU reads zero points as if rows shared bytes.
    """
    assert recipe.bits is not None
    graph = model.graph
    tables = _tables(model)
    made: dict[str, Blocks] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        table = tables.get(node.name) if node.op_type == "Gather" else None
        if table is None:
            nodes.append(node)
            continue
        if table.name not in made:
            made[table.name] = _quantize(table, recipe)
            graph.initializer.extend(block_tensors(made[table.name], f"{table.name}.rows"))
        nodes.append(_gather_node(made[table.name], f"{table.name}.rows", node))
    replace_nodes(model, nodes)
    return model


def narrow_scales(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store the scales of a bare quantized table in float16; its answer is cast back to float32."""
    graph = model.graph
    gather = graph.node[0]
    scales = next(tensor for tensor in graph.initializer if tensor.name == gather.input[2])
    scales.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scales).astype("float16"), scales.name))
    answer = gather.output[0]
    gather.output[0] = f"{answer}.half"
    graph.node.append(helper.make_node("Cast", [gather.output[0]], [answer], name=f"{gather.name}.widen", to=1))
    return model


def _tables(model: onnx.ModelProto) -> dict[str, TensorProto]:
    """Node name → table, for every Gather of rows of a large float table."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        table = constants.get(node.input[0]) if node.op_type == "Gather" else None
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        if table is None or axis != 0 or len(table.dims) != 2 or table.data_type != TensorProto.FLOAT:
            continue
        if table.dims[0] * table.dims[1] >= LEAST_VALUES and table.dims[1] % 2 == 0:
            found[node.name] = table
    return found


def _quantize(table: TensorProto, recipe: Recipe) -> Blocks:
    assert recipe.bits is not None
    width = table.dims[1]
    blocks = -(-width // recipe.block_size)
    odd = recipe.bits == 4 and blocks % 2 == 1
    method = "rtn" if recipe.method == "hqq" else recipe.method
    made = quantize_blocks(
        numpy_helper.to_array(table),
        bits=recipe.bits,
        block_size=recipe.block_size,
        symmetric=recipe.symmetric or odd,
        method=method,
    )
    return replace(made, data=made.data.reshape(len(made.data), -1)[:, : width * recipe.bits // 8])


def _gather_node(blocks: Blocks, table: str, gather: onnx.NodeProto) -> onnx.NodeProto:
    inputs = [f"{table}_Q{blocks.bits}", gather.input[1], f"{table}_scales"]
    if blocks.zeros is not None:
        inputs.append(f"{table}_zero_points")
    return helper.make_node(
        "GatherBlockQuantized",
        inputs,
        list(gather.output),
        name=gather.name,
        domain="com.microsoft",
        gather_axis=0,
        quantize_axis=1,
        block_size=blocks.block_size,
        bits=blocks.bits,
    )
