"""What can be done to one graph: a dtype that transformers.js knows, and the choices that its name leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from builder.errors import QuantizeError, did_you_mean
from builder.manifest import DECODER
from builder.operators import all_nodes, foreign_operators, half_constants, is_quantized

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


def candidates(
    graph: ModelProto, dtype: str, *, any_block: bool = False, every: bool = False, method: str | None = None
) -> tuple[Recipe, ...]:
    """Recipes of ``dtype`` worth measuring for this graph, which may be loaded without its weights.

    Matrix products have blocks of 32: WebGPU multiplies several rows at a time only by those, or with 8-bit
    activations, which onnxruntime does not use on Apple's devices. Without either, larger blocks read an image prompt
    tens of times slower: ``any_block`` adds them where the download counts for more.

    k-quant is tried in every shape, rounding to nearest in one, for comparison. HQQ is not, nor is what is left of
    methods × blocks, unless ``every`` asks for it or ``method`` for one: HQQ's gain is in zero points between two
    levels, for which WebGPU has no kernel, and with whole ones it measures as rounding does.

    Raises:
        QuantizeError: the graph cannot be quantized, see `check_plain`, or there is no such method.
    """
    if method is not None and method not in METHODS:
        raise QuantizeError(f"there is no method {method!r}", hint=did_you_mean(method, METHODS))
    check_plain(graph)
    return tuple(dict.fromkeys(_candidates(graph, dtype, any_block, every, method)))


def has_slow_blocks(graph: ModelProto, recipe: Recipe) -> bool:
    """Whether a recipe reads prompts slowly on some devices, see `candidates`: a bare table has no products."""
    from builder.quantize.embeddings import is_embedding

    return recipe.block_size != BLOCK_SIZES[0] and not is_embedding(graph)


def _candidates(graph: ModelProto, dtype: str, any_block: bool, every: bool, method: str | None) -> Iterator[Recipe]:
    from builder.quantize.embeddings import is_embedding

    plain = Recipe.default(dtype)
    if plain.bits is None:
        yield plain
        return
    convolves = any(node.op_type == "Conv" for node in graph.graph.node)
    bare = is_embedding(graph)
    kernels = ("int8", "fp16") if convolves else ("fp32",)
    sizes = BLOCK_SIZES if every or any_block or bare else BLOCK_SIZES[:1]
    eights = (0.0,) if plain.bits == 8 or bare else (0.02, 0.04, 0.08) if convolves else (0.0, 0.02)
    methods: tuple[str, ...] = ("k_quant" if plain.bits == 4 else "rtn",)
    if every:
        methods = METHODS[:2] if bare else METHODS  # tables have no HQQ, see embeddings.py
    if method is not None:
        methods = (method,)
    for pointwise, kernel in product(_pointwise_bits(graph, plain.bits), kernels):
        first = replace(plain, pointwise_bits=pointwise, depthwise=kernel)
        if method is None:
            yield first
        for how, symmetric, size, eight in product(methods, (False, True), sizes, eights):
            if not (how == "hqq" and symmetric):
                yield replace(first, method=how, symmetric=symmetric, block_size=size, eight_share=eight)


def _pointwise_bits(graph: ModelProto, bits: int) -> tuple[int | None, ...]:
    """What 1×1 convolutions can become beside matrix products of ``bits``."""
    from builder.quantize.convolutions import is_pointwise

    kernels = {tensor.name: tuple(tensor.dims) for tensor in graph.graph.initializer}
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    if not any(is_pointwise(node, kernels.get(node.input[1], ())) for node in convolutions):
        return (None,)
    return (4, 8) if bits == 4 else (8,)


def check_plain(graph: ModelProto, *, name: str = "") -> None:
    """Refuse a graph that is no fp32 graph of known operators; ``name`` is its file's.

    Raises:
        QuantizeError: it is quantized or float16 already, or has operators of another domain.
    """
    name = name or f"the graph {graph.graph.name!r}"
    quantized = sorted({node.op_type for node in all_nodes(graph) if is_quantized(node.op_type)})
    if quantized:
        raise QuantizeError(
            f"{name} is quantized already: it has {quantized[0]}",
            hint="quantize starts from fp32: export the checkpoint again",
        )
    if foreign := foreign_operators(graph):
        raise QuantizeError(
            f"{name} has operators that onnxruntime-web does not know: {', '.join(foreign)}",
            hint="export the checkpoint without custom operators",
        )
    if halves := half_constants(graph):
        raise QuantizeError(
            f"{name} is in half precision already: {min(halves)}",
            hint="quantize starts from fp32: export the checkpoint again",
        )
