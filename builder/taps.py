"""What flows inside a graph: run it with inner tensors as further outputs, and compare two graphs layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from builder.graphs import load_graph
from builder.operators import TWIN
from builder.sessions import Session

LAYERS = ("Conv", "MatMul", "Gemm", "MatMulNBits", "GroupQueryAttention", "MultiHeadAttention", "Attention", "Gather")
MOST_LAYERS = 64
"""Layers that are compared in a graph; of more, these many at even distances. All are held in memory at once."""


def layer_outputs(path: Path, *, most: int = MOST_LAYERS) -> list[str]:
    """Names of the tensors that the layers of a graph give out, in its order, thinned out to ``most``."""
    model = load_graph(path, weights=False)
    weights = {tensor.name for tensor in model.graph.initializer}
    made = {output.name for output in model.graph.output}
    names = [
        node.output[0]
        for node in model.graph.node
        if node.op_type in LAYERS
        and node.output[0] not in made
        and (node.op_type not in ("MatMul", "Gather") or weights.intersection(node.input))
    ]
    if len(names) <= most:
        return names
    return [names[round(at * (len(names) - 1) / (most - 1))] for at in range(most)]


def run_tapped(path: Path, feeds: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Run an ONNX file once and return those of the inner tensors ``names`` that it has, channels first.

    Raises:
        VerifyError: the file does not load or run.
    """
    model = load_graph(path, weights=False)
    here = {output for node in model.graph.node for output in node.output}
    found = {name: name if name in here else f"{name}{TWIN}" for name in names}
    found = {name: tensor for name, tensor in found.items() if tensor in here}
    wanted = list(found.values())
    # Without a type: onnxruntime infers it. Only what is asked for is computed, the graph's own outputs too.
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in wanted if name not in {o.name for o in model.graph.output}
    )
    tapped = path.with_name(f".{path.name}.tapped")  # beside its external data, whose files it names
    try:
        onnx.save(model, str(tapped))
        session = Session(tapped)
        # A cache has the variant's own type.
        values = session.run({**feeds, **session.empty_cache()})
    finally:
        tapped.unlink(missing_ok=True)
    return {
        name: values[tensor] if tensor == name else values[tensor].transpose(0, 3, 1, 2)
        for name, tensor in found.items()
    }


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    """RMS of the difference, relative to the RMS of ``want``."""
    off = got.astype(np.float32) - want.astype(np.float32)
    scale = float(np.sqrt(np.square(want.astype(np.float32)).mean(dtype=np.float64)))
    return float(np.sqrt(np.square(off).mean(dtype=np.float64))) / max(scale, 1e-30)
