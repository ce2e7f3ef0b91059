"""Sizes against what browsers promise.

WebGPU's defaults are 128 MiB for a storage buffer binding and 256 MiB for a buffer; adapters of laptops grant more,
phones often do not. Source: https://www.w3.org/TR/webgpu/#limits
"""

from __future__ import annotations

from collections.abc import Iterator

from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._graphs import Weight
from builder.export.rules._model import Graph, WebModel
from builder.export.rules.dtypes import default_dtypes

MIB = 2**20
BINDING_BYTES = 128 * MIB
BUFFER_BYTES = 256 * MIB
FILE_BYTES = 2**31
FIRST_LOAD_BYTES = 3 * 2**30
TABLE_BYTES = 8 * MIB
"""A float32 table below this is not worth a finding."""
QUANTIZED = ("q8", "int8", "uint8", "q4", "q4f16", "bnb4", "q2", "q2f16", "q1", "q1f16")


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.0f} MiB"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _larger(model: WebModel, least: int, most: int | None) -> Iterator[tuple[Graph, list[Weight]]]:
    """Each graph with those of its tensors whose size is above ``least`` and not above ``most``."""
    for graph, facts in model.read_graphs():
        found = [w for w in facts.weights if w.size_bytes > least and (most is None or w.size_bytes <= most)]
        if found:
            yield graph, sorted(found, key=lambda weight: -weight.size_bytes)


def _tell(graph: Graph, weights: list[Weight], limit: str) -> Hit:
    largest = weights[0]
    more = f", and {len(weights) - 1} more are too large" if len(weights) > 1 else ""
    message = f"has {_mib(largest.size_bytes)} as {largest.type} {list(largest.dims)}{more}; {limit}"
    return Hit(where=f"{graph.where} {largest.name}", message=message)


@rule(
    "TJS801",
    Severity.WARNING,
    "a tensor fits WebGPU's default binding of 128 MiB",
    fix="quantize the tensor, or give phones another dtype",
)
def tensors_fit_a_binding(model: WebModel) -> Iterator[Hit]:
    for graph, weights in _larger(model, BINDING_BYTES, BUFFER_BYTES):
        yield _tell(graph, weights, "adapters need to bind no more than 128 MiB")


@rule(
    "TJS802",
    Severity.WARNING,
    "a tensor fits WebGPU's default buffer of 256 MiB",
    fix="quantize the tensor (embedding tables: webgpu-demo quantize --dtype q4), or split it",
)
def tensors_fit_a_buffer(model: WebModel) -> Iterator[Hit]:
    for graph, weights in _larger(model, BUFFER_BYTES, None):
        yield _tell(graph, weights, "adapters need to make no buffer above 256 MiB: phones fail here")


@rule(
    "TJS803",
    Severity.ERROR,
    "no file has 2 GiB or more",
    fix="split the weights, as onnx_ir.save(..., max_shard_size_bytes=2**28) does, or quantize them",
)
def files_fit_a_buffer(model: WebModel) -> Iterator[Hit]:
    for entry in model.entries:
        if entry.startswith("onnx/") and model.size_bytes(entry) >= FILE_BYTES:
            message = (
                f"has {_mib(model.size_bytes(entry))}: protobuf reads no more, and a browser reads a file in one piece"
            )
            yield Hit(where=entry, message=message)


@rule(
    "TJS804",
    Severity.WARNING,
    "what loads by default has no more than 3 GiB",
    fix="name smaller dtypes in transformers.js_config.dtype",
)
def first_load_is_bearable(model: WebModel) -> Iterator[Hit]:
    chosen = [model.of_session(session).get(dtype) for session, dtype in default_dtypes(model).items()]
    total = sum(model.total_bytes(graph) for graph in chosen if graph is not None)
    if total > FIRST_LOAD_BYTES:
        names = ", ".join(graph.name for graph in chosen if graph is not None)
        yield Hit(where="onnx/", message=f"{_mib(total)} load by default ({names}): a tab's memory ends near 4 GiB")


@rule(
    "TJS805",
    Severity.WARNING,
    "a quantized file is smaller than what it was made from",
    fix="delete it, or quantize what it left in float32 (embedding tables, convolutions)",
)
def quantized_is_smaller(model: WebModel) -> Iterator[Hit]:
    for session in model.sessions:
        held = model.of_session(session)
        size = {dtype: model.total_bytes(graph) for dtype, graph in held.items()}
        for dtype in (name for name in QUANTIZED if name in held):
            source = "fp16" if dtype.endswith("f16") else "fp32"
            if source in size and size[dtype] >= size[source]:
                message = f"has {_mb(size[dtype])}, {held[source].name} {_mb(size[source])}: it is worse and no smaller"
                yield Hit(where=held[dtype].where, message=message)
            elif "fp16" in size and size[dtype] >= size["fp16"]:
                message = f"has {_mb(size[dtype])}, {held['fp16'].name} {_mb(size['fp16'])}: it serves only where"
                message += " the adapter lacks shader-f16"
                yield Hit(where=held[dtype].where, message=message, severity=Severity.INFO)


@rule(
    "TJS806",
    Severity.WARNING,
    "embedding tables of quantized files are quantized",
    fix="quantize the table: webgpu-demo quantize DIR --dtype q4",
)
def tables_are_quantized(model: WebModel) -> Iterator[Hit]:
    for graph, facts in model.read_graphs():
        for weight in facts.weights if graph.dtype in QUANTIZED else ():
            if weight.name in facts.looked_up and weight.type == "float32" and weight.size_bytes >= TABLE_BYTES:
                message = f"is a table of {_mib(weight.size_bytes)} left in float32 in a {graph.dtype} file"
                yield Hit(where=f"{graph.where} {weight.name}", message=message)
