"""Value ranges of inner tensors: which of them float16 cannot hold.

Looking for NaN in a graph's answers is not enough. A LayerNorm written out in single operators squares its input; where
that leaves float16's range the variance is infinite, its inverse 0, and the answer finite and wrong
(microsoft/onnxruntime#31626). So the fp32 graph is run on calibration inputs with every inner tensor watched. Fused
norms need no care: onnxruntime's kernels sum in float32 whatever the type of their input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from builder.errors import QuantizeError
from builder.graphs import load_graph
from builder.measurements import KeptNode
from builder.operators import TWIN
from builder.quantize.weights import name_nodes

HALF_LARGEST = 65504.0
SAFE_LARGEST = HALF_LARGEST / 2
"""Other pictures and texts may reach further than the calibration inputs."""
ATTENTION = ("GroupQueryAttention", "MultiHeadAttention")


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """The greatest magnitude of each inner tensor, by name, and that which attention's logits can have, by node.

    ``constants`` are those that float16 cannot hold: the converter would clamp them without a word.
    """

    greatest: Mapping[str, float]
    logits: Mapping[str, float]
    constants: Mapping[str, float] = field(default_factory=dict)

    def beyond(self, node: onnx.NodeProto, *, limit: float = SAFE_LARGEST) -> KeptNode | None:
        """Why ``node`` cannot run in float16: the largest of what it reads and gives, where that exceeds ``limit``."""
        reached = {name: self.of(name) for name in (*node.input, *node.output) if name}
        if node.name in self.logits:
            reached[f"{node.name} logits"] = self.logits[node.name]
        name = max(reached, key=lambda key: reached[key], default="")
        if not name or reached[name] <= limit:
            return None
        return KeptNode(node=node.name, operator=node.op_type, tensor=name, greatest=reached[name])

    def of(self, tensor: str) -> float:
        """What a tensor reached, in whichever layout; 0 for those that were not there when ranges were recorded."""
        names = (tensor, tensor.removesuffix(TWIN))
        return next((found[name] for name in names for found in (self.greatest, self.constants) if name in found), 0.0)


def record_ranges(model_path: Path, feeds: Mapping[str, np.ndarray] | Sequence[Mapping[str, np.ndarray]]) -> Ranges:
    """Run the fp32 graph on calibration inputs and keep the greatest magnitude of every float tensor in it.

    ``feeds`` are the complete inputs of one run, or of several. The largest value is found within the graph, so that
    nothing is held but one number a tensor, and memory stays near that of a plain run.

    Raises:
        ModelError: the file is no readable ONNX.
        QuantizeError: the graph does not run on these inputs.
    """
    import onnxruntime as ort

    model = load_graph(model_path, weights=False)
    name_nodes(model)
    constants = _large_constants(model, model_path.parent)
    watched, attention = _watch(model)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # fusion would take the tensors away that are to be watched
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(model_path.parent))
    # tensors go as soon as they have been watched: with all of them at once a large encoder takes 7 GB
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    options.enable_cpu_mem_arena = False
    greatest = dict.fromkeys(watched, 0.0)
    logits = dict.fromkeys(attention, 0.0)
    ends = [*(end for pair in watched.values() for end in pair), *attention.values()]
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for feed in [feeds] if isinstance(feeds, Mapping) else feeds:
            values = [float(value.max()) for value in session.run(ends, dict(feed))]
            for at, name in enumerate(watched):
                greatest[name] = max(greatest[name], values[2 * at], -values[2 * at + 1])
            for name, value in zip(attention, values[2 * len(watched) :], strict=True):
                logits[name] = max(logits[name], value)
    except Exception as error:  # onnxruntime's errors share no base class but Exception
        raise QuantizeError(
            f"{model_path.name} does not run on the calibration inputs: {error}", hint="export the model again"
        ) from error
    return Ranges(greatest=greatest, logits=logits, constants=constants)


def _large_constants(model: onnx.ModelProto, folder: Path) -> dict[str, float]:
    """Constants with a value beyond float16, masks of -3e38 among them; they are read one at a time."""
    found = {}
    for name, values in _constants(model, folder):
        greatest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
        if greatest > HALF_LARGEST:
            found[name] = greatest
    return found


def _constants(model: onnx.ModelProto, folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every float constant of the main graph, with its values."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            single = TensorProto()
            single.CopyFrom(tensor)  # to_array puts external data into the tensor that it is given
            yield tensor.name, numpy_helper.to_array(single, str(folder))
    for node in model.graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name in ("value_float", "value_floats"):
                yield node.output[0], np.array(helper.get_attribute_value(attribute), np.float32)
            elif attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
                yield node.output[0], numpy_helper.to_array(attribute.t)


def _watch(model: onnx.ModelProto) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """Add outputs with the ends of every tensor's range, and with attention's logits: names → names of outputs."""
    graph = model.graph
    watch = _Watch(graph)
    watched = {}
    attention = {}
    floats = {name: f"watch_{number}" for number, name in enumerate(_float_tensors(model))}
    for value in graph.input:
        if value.name in floats:
            watched[value.name] = watch.greatest(value.name, floats[value.name])
    for number, node in enumerate(graph.node):
        if node.op_type in ATTENTION:
            attention[node.name] = watch.logits(node, f"watch_logits_{number}")
        watch.nodes.append(node)
        for name in node.output:
            if name in floats:
                watched[name] = watch.greatest(name, floats[name])
    nodes = list(watch.nodes)
    del graph.node[:]
    graph.node.extend(nodes)
    names = (*(end for pair in watched.values() for end in pair), *attention.values())
    graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    return watched, attention


def _float_tensors(model: onnx.ModelProto) -> list[str]:
    """Inputs and inner tensors of the main graph that hold floats."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph
    except onnx.shape_inference.InferenceError:
        inferred = model.graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*inferred.input, *inferred.value_info, *inferred.output)}
    names = [value.name for value in model.graph.input]
    names += [name for node in model.graph.node for name in node.output if name]
    return [name for name in names if types.get(name) == TensorProto.FLOAT]


class _Watch:
    """Nodes that reduce tensors to one number."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.graph = graph

    def greatest(self, tensor: str, name: str) -> tuple[str, str]:
        """The largest and the smallest value; no values, as in an empty cache, have −∞ and ∞."""
        keepdims = helper.make_attribute("keepdims", 0)
        high = self._add("ReduceMax", [tensor], f"{name}_high", keepdims)
        return high, self._add("ReduceMin", [tensor], f"{name}_low", keepdims)

    def logits(self, node: onnx.NodeProto, name: str) -> str:
        """A bound of q · k / √d that no rotation of q and k can change: the product of their greatest lengths."""
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        heads = int(attributes["num_heads"])
        key_heads = int(attributes.get("kv_num_heads", heads))
        packed = not (len(node.input) > 1 and node.input[1])
        queries = self._lengths(node.input[0], heads + 2 * key_heads if packed else heads, f"{name}_q")
        keys = queries if packed else self._lengths(node.input[1], key_heads, f"{name}_k")
        product = self._add("Mul", [queries, keys], f"{name}_product")
        scale = float(attributes.get("scale", 0.0))
        if scale:
            return self._add("Mul", [product, self._floats([scale])], name)
        size = f"{name}_q_size"  # [1] of the head size
        return self._add("Div", [product, self._add("Sqrt", [size], f"{name}_root")], name)

    def _lengths(self, tensor: str, heads: int, name: str) -> str:
        """The length of the longest head of a [batch, rows, heads · size]; ``name``_size becomes the head size [1]."""
        split = self._add("Reshape", [tensor, self._ints([0, 0, heads, -1])], f"{name}_heads")
        shape = self._add("Shape", [split], f"{name}_shape", helper.make_attribute("start", 3))
        self._add("Cast", [shape], f"{name}_size", helper.make_attribute("to", TensorProto.FLOAT))
        lengths = self._add(
            "ReduceL2", [split, self._ints([-1])], f"{name}_lengths", helper.make_attribute("keepdims", 0)
        )
        return self._add("ReduceMax", [lengths], f"{name}_longest", helper.make_attribute("keepdims", 0))

    def _add(self, operator: str, inputs: list[str], output: str, *attributes: onnx.AttributeProto) -> str:
        node = helper.make_node(operator, inputs, [output], name=f"{output}_node")
        node.attribute.extend(attributes)
        self.nodes.append(node)
        return output

    def _ints(self, values: list[int]) -> str:
        return self._constant(f"watch_ints_{'_'.join(map(str, values))}", TensorProto.INT64, values)

    def _floats(self, values: list[float]) -> str:
        return self._constant(f"watch_floats_{'_'.join(map(str, values))}", TensorProto.FLOAT, values)

    def _constant(self, name: str, kind: int, values: Sequence[float]) -> str:
        if all(tensor.name != name for tensor in self.graph.initializer):
            self.graph.initializer.append(helper.make_tensor(name, kind, [len(values)], values))
        return name
