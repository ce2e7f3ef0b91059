"""What the rules need to know of an ONNX file: its signature, its tensors, its operators. Never its weights.

`read_facts` reads one file, keeps a few hundred bytes of it and lets go of the rest: folders of others hold ten
gigabytes of graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

NUMPY_NAMES = {"FLOAT": "float32", "DOUBLE": "float64", "FLOAT8E4M3FN": "float8e4m3fn"}
BITS = {
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64),
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("FLOAT16", "BFLOAT16", "INT16", "UINT16"), 16),
    **dict.fromkeys(("INT4", "UINT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("INT2", "UINT2"), 2),
}
"""Bits per element; 8 for every type that is not here."""


LOOKUPS = ("Gather", "GatherBlockQuantized")


@dataclass(frozen=True, kw_only=True)
class Port:
    """An input or output of a graph. ``shape`` holds numbers, names, or None; it is None where no rank is declared."""

    name: str
    type: str
    shape: tuple[int | str | None, ...] | None

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    def axis(self, number: int) -> int | str | None:
        """One axis, or None where the shape does not reach so far."""
        if self.shape is None or not -len(self.shape) <= number < len(self.shape):
            return None
        return self.shape[number]

    def __str__(self) -> str:
        shape = "of unknown rank" if self.shape is None else f"[{', '.join(str(axis or '?') for axis in self.shape)}]"
        return f"{self.name}: {self.type} {shape}"


@dataclass(frozen=True, kw_only=True)
class External:
    """Where a tensor's data lie outside the ONNX file, as the file states it; -1 for a number that is none."""

    location: str
    offset: int
    length: int | None


@dataclass(frozen=True, kw_only=True)
class Weight:
    name: str
    type: str
    dims: tuple[int, ...]
    size_bytes: int
    external: External | None


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """One ONNX file.

    ``loose`` are names that a node reads and nothing makes; ``looked_up`` the tables of Gathers, ``token_tables`` those
    among them that input_ids look into.
    """

    ir_version: int
    opset: int
    domains: frozenset[str]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    weights: tuple[Weight, ...]
    loose: tuple[str, ...]
    looked_up: frozenset[str]
    token_tables: frozenset[str]

    def input(self, name: str) -> Port | None:
        return next((port for port in self.inputs if port.name == name), None)

    def output(self, name: str) -> Port | None:
        return next((port for port in self.outputs if port.name == name), None)


class UnreadableGraphError(Exception):
    """The file is no ONNX; the message says why, in words that follow "it"."""


def read_facts(path: Path) -> GraphFacts:
    """Read an ONNX file without its external data.

    Raises:
        UnreadableGraphError: the file is no ONNX, is cut off, or computes nothing.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError, OSError, onnx.checker.ValidationError) as error:
        raise UnreadableGraphError(f"cannot be read as ONNX: {error}") from error
    if not model.graph.output:
        raise UnreadableGraphError("has no outputs: it is empty or no ONNX")
    weights = tuple(_weight(tensor) for tensor in _tensors(model.graph))
    held = {tensor.name for tensor in model.graph.initializer}
    own = {function.domain for function in model.functions}
    nodes = [*_nodes(model.graph), *(node for function in model.functions for node in function.node)]
    lookups = [node for node in nodes if node.op_type in LOOKUPS and len(node.input) >= 2]
    return GraphFacts(
        ir_version=model.ir_version,
        opset=max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0),
        domains=frozenset(node.domain for node in nodes) - own,
        inputs=tuple(_port(value) for value in model.graph.input if value.name not in held),
        outputs=tuple(_port(value) for value in model.graph.output),
        weights=weights,
        loose=tuple(dict.fromkeys(_loose(model.graph, frozenset()))),
        looked_up=frozenset(node.input[0] for node in lookups),
        token_tables=frozenset(node.input[0] for node in lookups if node.input[1] == "input_ids"),
    )


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    shape: tuple[int | str | None, ...] | None = None
    if tensor.HasField("shape"):
        shape = tuple(
            axis.dim_param or (int(axis.dim_value) if axis.HasField("dim_value") else None) for axis in tensor.shape.dim
        )
    return Port(name=value.name, type=_type_name(tensor.elem_type), shape=shape)


def _type_name(elem_type: int) -> str:
    known = TensorProto.DataType.values()
    name = TensorProto.DataType.Name(elem_type) if elem_type in known else f"type{elem_type}"
    return NUMPY_NAMES.get(name, name.lower())


def _weight(tensor: TensorProto) -> Weight:
    count = 1
    for dim in tensor.dims:
        count *= max(int(dim), 0)
    known = TensorProto.DataType.values()
    bits = BITS.get(TensorProto.DataType.Name(tensor.data_type), 8) if tensor.data_type in known else 8
    return Weight(
        name=tensor.name,
        type=_type_name(tensor.data_type),
        dims=tuple(tensor.dims),
        size_bytes=(count * bits + 7) // 8,
        external=_external(tensor),
    )


def _external(tensor: TensorProto) -> External | None:
    if tensor.data_location != TensorProto.EXTERNAL:
        return None
    stated = {entry.key: entry.value for entry in tensor.external_data}
    return External(
        location=stated.get("location", ""),
        offset=_number(stated.get("offset", "0")),
        length=_number(stated["length"]) if "length" in stated else None,
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for inner in _subgraphs(node):
            yield from _nodes(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in _nodes(graph):
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
        for inner in _subgraphs(node):
            yield from inner.initializer


def _loose(graph: onnx.GraphProto, outer: frozenset[str]) -> Iterator[str]:
    """Names that are read and not made, in any order: onnxruntime sorts the nodes that converters leave unsorted."""
    made = {
        *outer,
        *(value.name for value in graph.input),
        *(tensor.name for tensor in graph.initializer),
        *(tensor.values.name for tensor in graph.sparse_initializer),
        *(name for node in graph.node for name in node.output),
    }
    for node in graph.node:
        yield from (name for name in node.input if name and name not in made)
        for inner in _subgraphs(node):
            yield from _loose(inner, frozenset(made))
    yield from (value.name for value in graph.output if value.name not in made)
