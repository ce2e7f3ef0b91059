"""float16 inside, float32 at the borders and wherever float16 would overflow.

transformers.js merges image rows into the prompt's embeddings on the CPU and expects both as float32, so the inputs and
outputs of a graph stay float32 in every dtype. Only the key-value cache changes its type: it never leaves the device.
"""

from __future__ import annotations

import warnings
from graphlib import TopologicalSorter

import onnx
from onnx import TensorProto, helper

from builder.measurements import KeptNode
from builder.operators import TWIN, inner_nodes
from builder.quantize.ranges import Ranges
from builder.quantize.weights import name_nodes, replace_nodes

CACHE_PREFIXES = ("past_key_values.", "present.")


def keep_single(model: onnx.ModelProto, ranges: Ranges) -> tuple[KeptNode, ...]:
    """The nodes of an fp32 graph, quantized or not, that have to stay fp32, with what they reach."""
    kept = (ranges.beyond(node) for node in model.graph.node)
    return tuple(found for found in kept if found is not None)


def to_half(model: onnx.ModelProto, ranges: Ranges | None = None) -> onnx.ModelProto:
    """Convert a float32 graph to float16, key-value cache included, other inputs and outputs excepted.

    Nodes whose values exceed float16 by ``ranges`` stay float32, and so do the tensors between two of them.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    name_nodes(model)
    _declare_floats(model)
    kept = {found.node for found in keep_single(model, ranges)} if ranges is not None else set()
    borders = [
        value.name
        for value in (*model.graph.input, *model.graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and not value.name.startswith(CACHE_PREFIXES)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one line per weight below float16's smallest step, which becomes 0
        converted = convert_float_to_float16(
            model,
            keep_io_types=borders,
            op_block_list=[op for op in DEFAULT_OP_BLOCK_LIST if op not in ("MatMulNBits", "GatherBlockQuantized")],
            node_block_list=sorted(kept),
        )
    assert isinstance(converted, onnx.ModelProto)
    if kept:
        _join_casts(converted)
    _sort(converted)
    return converted


def _declare_floats(model: onnx.ModelProto) -> None:
    """Say that answers of onnxruntime's own operators are floats: the converter casts no tensor of unknown type."""
    known = {value.name for value in (*model.graph.value_info, *model.graph.output)}
    for node in model.graph.node:
        ours = node.op_type in ("MatMulNBits", "GatherBlockQuantized")
        for name in node.output:
            if name not in known and (ours or name.endswith(TWIN)):
                model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))


def _join_casts(model: onnx.ModelProto) -> None:
    """Take out the way through float16 between two nodes that both stay float32: it is where values are lost.

    The converter brings every answer of such a node to float16 and every input back, once for each reader.
    """
    graph = model.graph
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    inner = {name for node in graph.node for n in inner_nodes(node) for name in n.input}
    outputs = {value.name for value in graph.output} | inner
    sources: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for name, cast in casts.items():
        before = casts.get(cast.input[0])
        if _target(cast) == TensorProto.FLOAT and before is not None and _narrows(before):
            sources[name] = before.input[0]
    seen: set[str] = set()
    for node in graph.node:
        if node.op_type == "Cast" and node.output[0] in sources:
            if node.output[0] not in outputs:
                continue
            node.input[0] = sources[node.output[0]]
        if node.output[0] in seen:  # the converter's second cast for a second reader
            continue
        seen.add(node.output[0])
        for at, name in enumerate(node.input):
            node.input[at] = sources.get(name, name)
        nodes.append(node)
    read = {name for node in nodes for name in node.input} | outputs
    nodes = [node for node in nodes if node.op_type != "Cast" or node.output[0] in read]
    replace_nodes(model, nodes)


def _sort(model: onnx.ModelProto) -> None:
    """Put every node behind those that it reads from, as ONNX asks for: the converter adds its casts at the end."""
    nodes = list(model.graph.node)
    makers = {name: at for at, node in enumerate(nodes) for name in node.output if name}
    order = TopologicalSorter[int]()
    for at, node in enumerate(nodes):
        reads = [*node.input, *(name for inner in inner_nodes(node) for name in inner.input)]
        order.add(at, *(makers[name] for name in reads if name in makers))
    replace_nodes(model, [nodes[at] for at in order.static_order()])


def _narrows(cast: onnx.NodeProto) -> bool:
    """Whether the converter put this cast behind a float32 input or answer."""
    return cast.name.startswith("graph_input_cast") or cast.name == f"{cast.output[0]}_cast_to_fp16_node"


def _target(cast: onnx.NodeProto) -> int:
    return next(int(a.i) for a in cast.attribute if a.name == "to")
