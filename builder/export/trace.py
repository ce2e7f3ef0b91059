"""Trace encoders to ONNX, and write the embedding table as a graph of one node."""

from __future__ import annotations

import gc
import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from builder.errors import ExportError
from builder.families import Encoder
from builder.graphs import CHUNK_BYTES, save_graph

OPSET = 20
"""The newest that has Gelu and LayerNormalization as single nodes and that onnxruntime-web runs on WebGPU."""
IR_VERSION = 10
LARGEST_AXIS = 1024
"""Upper bound that the tracer is told for dynamic axes; the graphs themselves know no bound."""


def trace_encoder(encoder: Encoder, path: Path, *, chunk_bytes: int = CHUNK_BYTES) -> None:
    """Write one encoder as float32 ONNX and check it against PyTorch on other inputs than those it was traced with.

    Raises:
        ExportError: the tracer failed, or an output differs by more than the encoder's tolerance.
    """
    import torch

    encoder.module.float()
    dynamic = {
        name: {axis: torch.export.Dim(symbol, max=LARGEST_AXIS) for axis, symbol in encoder.axes.get(name, {}).items()}
        for name in encoder.inputs
    }
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            program = torch.onnx.export(
                encoder.module,
                tuple(encoder.inputs.values()),
                dynamo=True,
                input_names=list(encoder.inputs),
                output_names=list(encoder.outputs),
                dynamic_shapes=tuple(dynamic.values()),
                opset_version=OPSET,
                optimize=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportError(
            f"{encoder.name} cannot be traced: {error}",
            hint="this is a fault of the export: please report it with the checkpoint's config.json",
        ) from error
    assert program is not None
    model = program.model
    _check_axes(model, encoder)
    _drop_trace_notes(model)
    save_graph(model, path, chunk_bytes=chunk_bytes)
    del program, model  # it shares cycles with the exported program, which holds the weights again
    gc.collect()
    onnx.checker.check_model(str(path))
    _check_parity(encoder, path)


def _check_axes(model: ir.Model, encoder: Encoder) -> None:
    """Outputs must have the axis names of the inputs: transformers.js resolves only ``batch_size``."""
    known = {symbol for axes in encoder.axes.values() for symbol in axes.values()}
    for value in (*model.graph.inputs, *model.graph.outputs):
        for axis in value.shape or ():
            name = axis.value if isinstance(axis, ir.SymbolicDim) else None
            if name is not None and name not in known and name.isidentifier():
                raise ExportError(
                    f"{encoder.name}: axis {name!r} of {value.name} has no name",
                    hint="declare it in the family's axes",
                )


def _drop_trace_notes(model: ir.Model) -> None:
    """Remove the tracer's notes: they hold paths of the machine that traced and would change from run to run."""
    model.metadata_props.clear()
    graph = model.graph
    graph.metadata_props.clear()
    graph.doc_string = None
    for node in graph.all_nodes():
        node.doc_string = None
        node.metadata_props.clear()
        for value in node.outputs:
            value.doc_string = None
            value.metadata_props.clear()
    for value in (*graph.inputs, *graph.initializers.values()):
        value.doc_string = None
        value.metadata_props.clear()


def _check_parity(encoder: Encoder, path: Path) -> None:
    import torch

    from builder.sessions import Session

    feeds = encoder.others
    with torch.no_grad():
        answer = encoder.module(*feeds.values())
    wanted = answer if isinstance(answer, tuple) else (answer,)
    got = Session(path, prepack=False).run({name: tensor.numpy() for name, tensor in feeds.items()})
    for name, reference in zip(encoder.outputs, (tensor.numpy() for tensor in wanted), strict=True):
        off = float(np.abs(got[name] - reference).max() / max(float(np.abs(reference).max()), 1e-6))
        if not off <= encoder.tolerance:
            raise ExportError(
                f"{name} of {encoder.name} differs from PyTorch by {off:.2e} of its largest value "
                f"({encoder.tolerance:.0e} is allowed)",
                hint="this is a fault of the export: please report it with the checkpoint's config.json",
            )


def write_embedding(table: np.ndarray, path: Path, *, chunk_bytes: int = CHUNK_BYTES) -> None:
    """Write ``embed_tokens``: input_ids int64 [batch_size, sequence_length] → inputs_embeds float32 [.., .., D]."""
    axes: list[str | int] = ["batch_size", "sequence_length"]
    weight = ir.Tensor(np.ascontiguousarray(table, dtype=np.float32), name="embed_tokens.weight")
    ids = ir.val("input_ids", ir.DataType.INT64, axes)
    initial = ir.Value(name=weight.name, shape=weight.shape, type=ir.TensorType(weight.dtype), const_value=weight)
    gather = ir.node("Gather", [initial, ids], {"axis": 0}, name="embed_tokens")
    (found,) = gather.outputs
    found.name, found.dtype, found.shape = "inputs_embeds", ir.DataType.FLOAT, ir.Shape([*axes, int(table.shape[1])])
    graph = ir.Graph(
        [ids], [found], nodes=[gather], initializers=[initial], opset_imports={"": OPSET}, name="embed_tokens"
    )
    model = ir.Model(graph, ir_version=IR_VERSION)
    save_graph(model, path, chunk_bytes=chunk_bytes)
    onnx.checker.check_model(str(path))
