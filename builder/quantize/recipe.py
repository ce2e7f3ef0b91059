"""What can be done to one graph: a dtype that transformers.js knows, and the choices that its name leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from builder.errors import QuantizeError
from builder.manifest import DECODER

if TYPE_CHECKING:
    from onnx import ModelProto

BITS = {"q8": 8, "q4": 4, "q4f16": 4}
HALF = ("fp16", "q4f16")
INTEGER = "uint8"
"""Whole products of 8-bit integers, see integers.py: for components that read one row at a time, on WASM."""
METHODS = ("rtn", "k_quant", "hqq")
BLOCK_SIZES = (32, 64, 128)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one dtype of one component is made.

    ``dtype`` is fp16, q8, q4, q4f16 or uint8; ``method`` (rtn, k_quant, hqq), ``symmetric`` and ``block_size``
    (32, 64, 128) are for matrix products and tables. ``pointwise_bits`` turns 1×1 convolutions into matrix products of
    that many bits, None leaves them convolutions. ``depthwise`` is how other convolution kernels are stored: fp32, fp16
    or int8.
    ``eight_share`` of the values, those of the smallest weights, have 8 bits in any case.
    """

    dtype: str
    method: str = "rtn"
    symmetric: bool = False
    block_size: int = 32
    pointwise_bits: int | None = None
    depthwise: str = "fp32"
    eight_share: float = 0.0

    @classmethod
    def default(cls, dtype: str) -> Recipe:
        """What works for every graph without measuring anything."""
        return cls(dtype=dtype)

    @property
    def bits(self) -> int | None:
        """Bits of a weight of a matrix product, None where it stays a float."""
        return BITS.get(self.dtype)

    @property
    def integer(self) -> bool:
        return self.dtype == INTEGER

    @property
    def half(self) -> bool:
        return self.dtype in HALF

    def label(self) -> str:
        """Name it as the report does: "q4f16 k-quant b32 asym, 1x1 at 4 bits, kernels int8"."""
        parts = [self.dtype]
        if self.integer:
            parts[0] += " by column and token"
        if self.bits is not None:
            how = "sym" if self.symmetric else "asym"
            parts[0] += f" {self.method.replace('_', '-')} b{self.block_size} {how}"
        if self.eight_share:
            parts.append(f"smallest {self.eight_share:.0%} at 8 bits")
        if self.pointwise_bits is not None:
            parts.append(f"1x1 at {self.pointwise_bits} bits")
        if self.depthwise != "fp32":
            parts.append(f"kernels {self.depthwise}")
        return ", ".join(parts)


def suits(dtype: str, component: str) -> bool:
    """Whether a dtype is for this component: integers cost an encoder twice its download, and save it little."""
    return dtype != INTEGER or component == DECODER


def candidates(graph: ModelProto, dtype: str, *, any_block: bool = False) -> tuple[Recipe, ...]:
    """Recipes of ``dtype`` worth measuring for this graph, which may be loaded without its weights.

    Matrix products have blocks of 32: WebGPU multiplies several rows at a time only by those, or with 8-bit
    activations, which onnxruntime does not use on Apple's devices. Without either, larger blocks read an image prompt
    tens of times slower. ``any_block`` adds them for graphs without convolutions, which need that once an answer.

    k-quant is tried in every shape, rounding to nearest in one, for comparison. HQQ is not: its gain is in zero points
    between two levels, for which WebGPU has no kernel, and with whole ones it measures as rounding does.

    Raises:
        QuantizeError: the graph cannot be quantized, see `check_plain`.
    """
    check_plain(graph)
    return tuple(dict.fromkeys(_candidates(graph, dtype, any_block)))


def _candidates(graph: ModelProto, dtype: str, any_block: bool) -> Iterator[Recipe]:
    from builder.quantize.embeddings import is_embedding

    plain = Recipe.default(dtype)
    if plain.bits is None:
        yield plain
        return
    convolves = any(node.op_type == "Conv" for node in graph.graph.node)
    free = is_embedding(graph) or (any_block and not convolves)
    kernels = ("int8", "fp16") if convolves else ("fp32",)
    sizes = BLOCK_SIZES if free else BLOCK_SIZES[:1]
    eights = (0.0,) if plain.bits == 8 or is_embedding(graph) else (0.02, 0.08) if convolves else (0.0, 0.02)
    method = "k_quant" if plain.bits == 4 else "rtn"
    for pointwise, kernel in product(_pointwise_bits(graph, plain.bits), kernels):
        first = replace(plain, pointwise_bits=pointwise, depthwise=kernel)
        yield first
        for symmetric, size, eight in product((False, True), sizes, eights):
            yield replace(first, method=method, symmetric=symmetric, block_size=size, eight_share=eight)


def _pointwise_bits(graph: ModelProto, bits: int) -> tuple[int | None, ...]:
    """What 1×1 convolutions can become beside matrix products of ``bits``."""
    from builder.quantize.convolutions import is_pointwise

    kernels = {tensor.name: tuple(tensor.dims) for tensor in graph.graph.initializer}
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    if not any(is_pointwise(node, kernels.get(node.input[1], ())) for node in convolutions):
        return (None,)
    return (4, 8) if bits == 4 else (8,)


QUANTIZED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
    | {"MatMulNBits", "MatMulBnb4", "GatherBlockQuantized", "MatMulInteger", "ConvInteger"}
    | {"QLinearConv", "QLinearMatMul", "QGemm", "QAttention"}
)
DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})


def check_plain(graph: ModelProto) -> None:
    """Refuse a graph that is no fp32 graph of known operators.

    Raises:
        QuantizeError: it is quantized or float16 already, or has operators of another domain.
    """
    from onnx import TensorProto

    for node in graph.graph.node:
        if node.op_type in QUANTIZED:
            raise QuantizeError(
                f"the graph {graph.graph.name!r} is quantized already: it has {node.op_type}",
                hint="quantize starts from fp32: export the checkpoint again",
            )
    own = DOMAINS | {function.domain for function in graph.functions}
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in graph.graph.node if node.domain not in own})
    if foreign:
        raise QuantizeError(
            f"the graph {graph.graph.name!r} has operators that onnxruntime-web does not know: {', '.join(foreign)}",
            hint="export the checkpoint without custom operators",
        )
    halves = [t.name for t in graph.graph.initializer if t.data_type in (TensorProto.FLOAT16, TensorProto.BFLOAT16)]
    if halves:
        raise QuantizeError(
            f"the graph {graph.graph.name!r} is in half precision already: {halves[0]}",
            hint="quantize starts from fp32: export the checkpoint again",
        )
