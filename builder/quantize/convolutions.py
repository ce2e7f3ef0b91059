"""Convolutions: 1×1 kernels become matrix products of 4- or 8-bit weights, the others are stored in fewer bytes.

A matrix product wants channels last, a convolution channels first. So tensors change their layout only where a 1×1
convolution meets something else: activations, layer scales and further 1×1 convolutions in between run on the
channels-last twin. A FastViT block (depthwise → 1×1 → GELU → 1×1 → scale → sum) pays two transposes.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from builder.operators import TWIN, inner_nodes
from builder.quantize.blocks import quantize_blocks
from builder.quantize.recipe import Recipe
from builder.quantize.weights import block_tensors, pays, product_node, replace_nodes, small_ones

ELEMENTWISE = frozenset(
    {"Cast", "Clip", "Elu", "Erf", "FastGelu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "QuickGelu", "Relu"}
    | {"Sigmoid", "Sqrt", "Tanh"}
)
BINARY = frozenset({"Add", "Div", "Mul", "Sub"})
LEAST_KERNEL_VALUES = 256
"""Kernels with fewer values stay as they are."""


def quantize_pointwise(model: onnx.ModelProto, recipe: Recipe) -> onnx.ModelProto:
    """Turn every 1×1 convolution (no groups, strides or padding) into MatMulNBits of ``recipe.pointwise_bits``."""
    assert recipe.pointwise_bits is not None
    turned = _Turned(model, recipe)
    for node in model.graph.node:
        turned.add(node)
    turned.finish()
    replace_nodes(model, turned.nodes)
    return model


def is_pointwise(node: onnx.NodeProto, kernel: tuple[int, ...]) -> bool:
    """Whether a convolution with this kernel is a matrix product over the channels of each pixel."""
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return (
        node.op_type == "Conv"
        and len(kernel) == 4
        and kernel[2:] == (1, 1)
        and attributes.get("group", 1) == 1
        and set(attributes.get("strides", [1])) == {1}
        and set(attributes.get("pads", [0])) == {0}
    )


class _Turned:
    """The graph as it is rebuilt, node by node.

    ``twins`` are the tensors that are there channels-last, ``owed`` those of them that are not there channels-first.
    """

    def __init__(self, model: onnx.ModelProto, recipe: Recipe) -> None:
        self.recipe = recipe
        self.graph = model.graph
        self.nodes: list[onnx.NodeProto] = []
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.twins: set[str] = set()
        self.owed: set[str] = set()
        self.quantized: set[str] = set()
        self.eight = small_ones(
            {name: kernel.dims[0] * kernel.dims[1] for name, kernel in self._products().items()}, recipe.eight_share
        )
        self.shapes = {v.name: _shape(v) for v in (*model.graph.input, *model.graph.value_info, *model.graph.output)}

    def add(self, node: onnx.NodeProto) -> None:
        kernel = self.constants.get(node.input[1]) if node.op_type == "Conv" else None
        if kernel is not None and self._is_product(node, kernel):
            self._add_product(node, kernel)
        elif self._stays_turned(node):
            self._add_turned(node)
        else:
            for graph_node in (node, *inner_nodes(node)):
                for name in graph_node.input:
                    self._pay(name)
            self.nodes.append(node)

    def finish(self) -> None:
        """Turn back what the graph answers with."""
        for value in self.graph.output:
            self._pay(value.name)

    def _products(self) -> dict[str, TensorProto]:
        """The kernels that become matrix products."""
        kernels = [(node, self.constants.get(node.input[1])) for node in self.graph.node if node.op_type == "Conv"]
        return {k.name: k for node, k in kernels if k is not None and self._is_product(node, k)}

    def _is_product(self, node: onnx.NodeProto, kernel: TensorProto) -> bool:
        bits = self.recipe.pointwise_bits
        assert bits is not None
        return is_pointwise(node, tuple(kernel.dims)) and pays(kernel.dims[1], bits, self.recipe.block_size)

    def _add_product(self, node: onnx.NodeProto, kernel: TensorProto) -> None:
        given, result = node.input[0], node.output[0]
        if given not in self.twins:
            self.nodes.append(self._turn(given, given, f"{given}{TWIN}", (0, 2, 3, 1)))
            self.twins.add(given)
        bits = 8 if kernel.name in self.eight else self.recipe.pointwise_bits
        assert bits is not None
        blocks = quantize_blocks(
            numpy_helper.to_array(kernel).reshape(kernel.dims[0], kernel.dims[1]),
            bits=bits,
            block_size=self.recipe.block_size,
            symmetric=self.recipe.symmetric,
            method=self.recipe.method,
        )
        if kernel.name not in self.quantized:
            self.quantized.add(kernel.name)
            self.graph.initializer.extend(block_tensors(blocks, kernel.name))
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
        name = node.name or f"{result}.pointwise"
        self.nodes.append(product_node(blocks, kernel.name, f"{given}{TWIN}", f"{result}{TWIN}", name=name, bias=bias))
        self._owe(result)

    def _stays_turned(self, node: onnx.NodeProto) -> bool:
        """Whether all that a node reads is there channels-last, or is a constant that can be."""
        if node.op_type in ELEMENTWISE:
            return node.input[0] in self.owed
        if node.op_type not in BINARY or not any(name in self.owed for name in node.input):
            return False
        return all(name in self.twins or self._per_channel(name) is not None for name in node.input)

    def _add_turned(self, node: onnx.NodeProto) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for at, name in enumerate(copy.input):
            if name in self.twins:
                copy.input[at] = f"{name}{TWIN}"
            elif node.op_type in BINARY:
                copy.input[at] = self._turn_constant(name)
        copy.output[0] = f"{node.output[0]}{TWIN}"
        self.nodes.append(copy)
        self._owe(node.output[0])

    def _per_channel(self, name: str) -> np.ndarray | None:
        """A constant of one value, or one per channel of a channels-first tensor, as [channels] or []."""
        tensor = self.constants.get(name)
        if tensor is None:
            return None
        dims = list(tensor.dims)
        if int(np.prod(dims)) == 1:
            return numpy_helper.to_array(tensor).reshape(())
        if len(dims) in (3, 4) and dims[-2:] == [1, 1] and (len(dims) == 3 or dims[0] == 1):
            return numpy_helper.to_array(tensor).reshape(-1)
        return None

    def _turn_constant(self, name: str) -> str:
        turned = f"{name}{TWIN}"
        if turned not in self.constants:
            values = self._per_channel(name)
            assert values is not None
            self.constants[turned] = numpy_helper.from_array(values, turned)
            self.graph.initializer.append(self.constants[turned])
        return turned

    def _owe(self, name: str) -> None:
        self.twins.add(name)
        self.owed.add(name)

    def _pay(self, name: str) -> None:
        """Make a tensor that exists only as its twin."""
        if name in self.owed:
            self.owed.discard(name)
            self.nodes.append(self._turn(name, f"{name}{TWIN}", name, (0, 3, 1, 2)))

    def _turn(self, tensor: str, given: str, result: str, order: tuple[int, ...]) -> onnx.NodeProto:
        """Change the layout of a tensor; where it has one pixel only, its values need not move."""
        shape = self.shapes.get(tensor)
        name = f"{result}.turn"
        if shape is None or len(shape) != 4 or shape[2:] != (1, 1) or not shape[1]:
            return helper.make_node("Transpose", [given], [result], name=name, perm=order)
        target = np.array((0, shape[1], 1, 1) if result == tensor else (0, 1, 1, shape[1]), np.int64)
        self.graph.initializer.append(numpy_helper.from_array(target, f"{result}.shape"))
        return helper.make_node("Reshape", [given, f"{result}.shape"], [result], name=name)


def store_kernels(model: onnx.ModelProto, kind: str) -> onnx.ModelProto:
    """Keep the kernels of the remaining convolutions as float16 or int8, biases untouched.

    They are made floats again by Cast, and Mul with a scale per output channel for int8. onnxruntime folds both while
    it loads a graph, so that nothing is left of them when it runs; DequantizeLinear it would keep, and run each time.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kernels = dict.fromkeys(node.input[1] for node in graph.node if node.op_type == "Conv")
    nodes: list[onnx.NodeProto] = []
    for name in (name for name in kernels if name in constants):
        tensor = constants[name]
        kernel = numpy_helper.to_array(tensor)
        if kernel.size < LEAST_KERNEL_VALUES or (kernel.dtype == np.float16 and kind == "fp16"):
            continue
        if kind == "fp16":
            nodes += _stored_half(graph, tensor, kernel)
        else:
            nodes += _stored_bytes(graph, tensor, kernel)
        for node in graph.node:
            if node.op_type == "Conv" and node.input[1] == name:
                node.input[1] = f"{name}.kernel"
    replace_nodes(model, [*nodes, *graph.node])
    return model


def _stored_half(graph: onnx.GraphProto, tensor: TensorProto, kernel: np.ndarray) -> list[onnx.NodeProto]:
    name = f"{tensor.name}.half"
    graph.initializer.append(numpy_helper.from_array(kernel.astype(np.float16), name))
    cast = helper.make_node("Cast", [name], [f"{tensor.name}.kernel"], name=f"{name}.cast", to=tensor.data_type)
    return [cast]


def _stored_bytes(graph: onnx.GraphProto, tensor: TensorProto, kernel: np.ndarray) -> list[onnx.NodeProto]:
    """int8 in ±127 with a scale for each output channel."""
    name = f"{tensor.name}.bytes"
    values = kernel.astype(np.float32)
    scales = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True) / 127
    scales[scales == 0] = 1.0
    graph.initializer.append(numpy_helper.from_array(np.rint(values / scales).clip(-127, 127).astype(np.int8), name))
    graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scales"))
    floats = f"{name}.floats"
    # in float32, then narrowed: onnxruntime has no float16 Mul on the CPU, where constants are folded
    made = [helper.make_node("Cast", [name], [floats], name=f"{name}.cast", to=TensorProto.FLOAT)]
    whole = f"{tensor.name}.kernel"
    if tensor.data_type == TensorProto.FLOAT:
        return [*made, helper.make_node("Mul", [floats, f"{name}.scales"], [whole], name=f"{name}.scale")]
    made.append(helper.make_node("Mul", [floats, f"{name}.scales"], [f"{name}.single"], name=f"{name}.scale"))
    return [*made, helper.make_node("Cast", [f"{name}.single"], [whole], name=f"{name}.narrow", to=tensor.data_type)]


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    """Sizes of a tensor's axes, 0 where they are not fixed."""
    kind = value.type.tensor_type
    return tuple(axis.dim_value for axis in kind.shape.dim) if kind.HasField("shape") else None
