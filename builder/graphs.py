"""What export, quantize and verify all do with ONNX files: read signatures, load, save, and measure them."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx import helper

from builder.errors import ModelError
from builder.manifest import TensorSpec, Variant, file_entry
from builder.operators import foreign_operators, needs_half, webgpu_fault


def load_graph(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """Load an ONNX file with its external data, or without where only the graph is asked for.

    Raises:
        ModelError: the file is missing, truncated, or no ONNX.
    """
    try:
        model = onnx.load(str(path), load_external_data=weights)
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename or path} is missing", hint="export the model again") from error
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        raise ModelError(
            f"{path} is no readable ONNX file: {error}", hint="export or download the model again"
        ) from error
    if not model.graph.output:
        raise ModelError(
            f"{path} is no readable ONNX file: it has no outputs", hint="export or download the model again"
        )
    return model


CHUNK_BYTES = 256 * 2**20
"""A graph with more weights than this keeps them beside it, in files of at most this size.

Browsers read each file into one buffer, and a WebGPU buffer is promised to hold 256 MiB (maxBufferSize's default)."""


def save_graph(model: onnx.ModelProto | ir.Model, path: Path, *, chunk_bytes: int = CHUNK_BYTES) -> None:
    """Write an ONNX file, and the weights beside it where they exceed ``chunk_bytes``.

    Their files are ``<name>_data``, ``<name>_data_1``, ..., as transformers.js asks for them. A tensor larger than a
    chunk has a file to itself. Weights are written one at a time; the graph's own file comes last, so that a file that
    is there is complete.
    """
    graph = model if isinstance(model, ir.Model) else ir.serde.deserialize_model(model)
    for old in path.parent.glob(f"{path.name}_data*"):
        old.unlink()
    part = path.with_name(f".{path.name}.part")
    weights = sum(value.const_value.nbytes for value in graph.graph.initializers.values() if value.const_value)
    try:
        if weights <= chunk_bytes:
            ir.save(ir.external_data.load_to_model(graph), part)
        else:
            # ir.save adds "-00001-of-00003" before the last suffix; without a suffix, at the end
            ir.save(graph, part, external_data=f"{path.stem}-data", max_shard_size_bytes=chunk_bytes)
            _name_chunks(part, path.name)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _name_chunks(graph: Path, name: str) -> None:
    """Rename the files of external data to ``<name>_data[_N]``, in the graph and on disk."""
    model = onnx.load(str(graph), load_external_data=False)
    names: dict[str, str] = {}
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                number = len(names)
                entry.value = names.setdefault(entry.value, f"{name}_data" + (f"_{number}" if number else ""))
    for old, new in names.items():
        (graph.parent / old).replace(graph.parent / new)
    onnx.save(model, str(graph))


def chunk_paths(path: Path) -> list[Path]:
    """The files of external data of an ONNX file, in transformers.js's order."""
    return sorted(path.parent.glob(f"{path.name}_data*"), key=lambda chunk: (len(chunk.name), chunk.name))


def tensor_specs(values: object) -> tuple[TensorSpec, ...]:
    """Signatures of a graph's inputs or outputs that are no initializers."""
    specs = []
    for value in values:  # type: ignore[attr-defined]
        tensor = value.type.tensor_type
        shape = tuple(axis.dim_param or int(axis.dim_value) for axis in tensor.shape.dim)
        specs.append(
            TensorSpec(name=value.name, type=helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, shape=shape)
        )
    return tuple(specs)


def read_variant(folder: Path, path: str) -> Variant:
    """Describe one ONNX file of a web model, and say of its operators who can run it.

    Raises:
        ModelError: see `load_graph`.
    """
    model = load_graph(folder / path, weights=False)
    foreign = foreign_operators(model)
    entry = file_entry(folder, path)
    return Variant(
        path=path,
        size_bytes=entry.size_bytes,
        sha256=entry.sha256,
        inputs=tensor_specs(model.graph.input),
        outputs=tensor_specs(model.graph.output),
        data=tuple(file_entry(folder, f"onnx/{chunk.name}") for chunk in chunk_paths(folder / path)),
        fault=f"onnxruntime-web does not know {', '.join(foreign)}" if foreign else None,
        needs_f16=needs_half(model),
        not_on_webgpu=webgpu_fault(model),
        largest_tensor_bytes=_largest_tensor(model),
    )


def _largest_tensor(graph: onnx.ModelProto) -> int:
    """Bytes of the largest weight: what one WebGPU buffer must hold."""
    return max(
        (
            math.ceil(math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
            for tensor in graph.graph.initializer
        ),
        default=0,
    )
