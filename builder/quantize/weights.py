"""Weights of matrix products as 4 or 8 bits in blocks: MatMul and Gemm become MatMulNBits."""

from __future__ import annotations

import logging

import onnx
from onnx import helper, numpy_helper

from builder.logs import keep_root_logger


def quantize_weights(model: onnx.ModelProto, *, bits: int, block_size: int) -> onnx.ModelProto:
    """Quantize every matrix product with a constant right side, asymmetrically, in blocks along the inner axis.

    The accuracy level stays unset: activations then keep the graph's own precision, on every device.
    """
    split_gemm(model)
    with keep_root_logger():
        from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
    logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer").setLevel(logging.WARNING)
    config = DefaultWeightOnlyQuantConfig(
        block_size=block_size, is_symmetric=False, bits=bits, op_types_to_quantize=("MatMul",)
    )
    quantizer = MatMulNBitsQuantizer(model, algo_config=config)
    quantizer.process()
    result = quantizer.model.model
    assert isinstance(result, onnx.ModelProto)
    return result


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
        has_bias = len(node.input) > 2
        product = f"{node.output[0]}.product" if has_bias else node.output[0]
        nodes.append(helper.make_node("MatMul", [node.input[0], weight], [product], name=f"{node.name}.matmul"))
        if has_bias:
            nodes.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=f"{node.name}.bias"))
    del graph.node[:]
    graph.node.extend(nodes)
