"""Small graphs for the tests of quantize, and what onnxruntime answers to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Arrays = Mapping[str, np.ndarray]


def make_graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, Sequence[int | str]],
    constants: Arrays,
    *,
    integers: bool = False,
) -> onnx.ModelProto:
    kind = TensorProto.INT64 if integers else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=10))


def answer(model: onnx.ModelProto, feeds: Arrays) -> np.ndarray:
    """The first output in onnxruntime on the CPU."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    first: np.ndarray = session.run(None, dict(feeds))[0]
    return first


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """RMS of the difference, relative to the RMS of what was wanted."""
    assert np.isfinite(found).all()
    off = found.astype(np.float64) - wanted
    return float(np.sqrt((off**2).mean() / (wanted.astype(np.float64) ** 2).mean()))


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph that convert may use up."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
