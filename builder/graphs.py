"""What export, quantize and verify all do with ONNX files: read signatures, load, save, and measure them."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from builder.errors import ModelError
from builder.manifest import TensorSpec, Variant, file_entry


def load_graph(path: Path) -> onnx.ModelProto:
    """Load an ONNX file with its external data.

    Raises:
        ModelError: the file is missing, truncated, or no ONNX.
    """
    try:
        model = onnx.load(str(path))
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


def save_graph(model: onnx.ModelProto, path: Path) -> None:
    """Write an ONNX file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        onnx.save(model, str(part))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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
    """Describe one ONNX file of a web model."""
    model = load_graph(folder / path)
    entry = file_entry(folder, path)
    return Variant(
        path=path,
        size_bytes=entry.size_bytes,
        sha256=entry.sha256,
        inputs=tensor_specs(model.graph.input),
        outputs=tensor_specs(model.graph.output),
    )


FLOAT_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16)
