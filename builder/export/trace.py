"""Trace encoders to ONNX, and write the embedding table as a graph of one node."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from builder.errors import ExportError
from builder.families import Encoder

OPSET = 20
"""The newest that has Gelu and LayerNormalization as single nodes and that onnxruntime-web runs on WebGPU."""
IR_VERSION = 10


def trace_encoder(encoder: Encoder, path: Path) -> None:
    """Write one encoder as ONNX and check it against PyTorch on other inputs than those it was traced with.

    Raises:
        ExportError: the tracer failed, or the outputs differ by more than the encoder's tolerance.
    """
    import torch

    dynamic = {
        name: {axis: torch.export.Dim(symbol, min=1, max=1024) for axis, symbol in encoder.axes.get(name, {}).items()}
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
            f"{encoder.name} cannot be traced: {error}", hint="run with --debug for the tracer's log"
        ) from error
    assert program is not None
    model = program.model_proto
    _name_axes(model, encoder)
    _drop_trace_notes(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    _check_parity(encoder, path)


def _name_axes(model: onnx.ModelProto, encoder: Encoder) -> None:
    """Give outputs the axis names of the inputs: transformers.js resolves only ``batch_size``."""
    known = {symbol for axes in encoder.axes.values() for symbol in axes.values()}
    for value in (*model.graph.input, *model.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param and axis.dim_param not in known:
                raise ExportError(
                    f"{encoder.name}: axis {axis.dim_param!r} of {value.name} has no name",
                    hint="declare it in the family's axes",
                )


def _drop_trace_notes(model: onnx.ModelProto) -> None:
    """Remove the tracer's notes: they hold paths of the machine that traced and would change from run to run."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.graph.doc_string = ""
    graph = model.graph
    parts: list[Any] = [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]


def _check_parity(encoder: Encoder, path: Path) -> None:
    import onnxruntime as ort
    import torch

    generator = torch.Generator().manual_seed(1)
    feeds = {}
    for name, example in encoder.inputs.items():
        rows = example[:1]
        feeds[name] = (
            rows * 0.5 + 0.5 * torch.rand(rows.shape, generator=generator) if rows.is_floating_point() else rows
        )
    with torch.no_grad():
        wanted = encoder.module(*feeds.values())
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(None, {name: tensor.numpy() for name, tensor in feeds.items()})[0]
    reference = wanted.numpy()
    off = float(np.abs(got - reference).max() / max(float(np.abs(reference).max()), 1e-6))
    if not off <= encoder.tolerance:
        raise ExportError(
            f"{encoder.name} differs from PyTorch by {off:.2e} of its largest output "
            f"({encoder.tolerance:.0e} is allowed)",
            hint="this is a fault of the export: please report it with the checkpoint's config.json",
        )


def write_embedding(table: np.ndarray, path: Path) -> None:
    """Write ``embed_tokens``: input_ids int64 [batch_size, sequence_length] → inputs_embeds float32 [.., .., D]."""
    axes: list[str | int] = ["batch_size", "sequence_length"]
    graph = helper.make_graph(
        [
            helper.make_node(
                "Gather", ["embed_tokens.weight", "input_ids"], ["inputs_embeds"], name="embed_tokens", axis=0
            )
        ],
        "embed_tokens",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, axes)],
        [helper.make_tensor_value_info("inputs_embeds", TensorProto.FLOAT, [*axes, int(table.shape[1])])],
        [numpy_helper.from_array(np.ascontiguousarray(table, dtype=np.float32), "embed_tokens.weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, path)
