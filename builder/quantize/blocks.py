"""Rows of floats as 4 or 8 bits in blocks: what matrix products, 1×1 convolutions and tables have in common.

Blocks lie along a row; each has a scale and, unless symmetric, a zero point. Rows are done some at a time and by as
many threads as there are cores, so that a table of 500 MB needs little more than its own memory.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from builder.errors import QuantizeError
from builder.sessions import usable_cores

STEP_VALUES = 2**18
"""How many values are done at once: few enough for the temporaries to stay in a core's cache."""

LEAST_SCALE = 1e-30
"""Blocks below this are zeros: what is smaller has no inverse in float32."""
K_SHIFTS = np.arange(-0.8, 0.9, 0.2, dtype=np.float32)
"""By how many levels the range of k-quant's fits is narrowed or widened."""

Quantized = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Levels [block_size, blocks], scales [blocks], zero points [blocks], all float32, of values [block_size, blocks].

Blocks lie side by side, so that sums over a block run along memory: three times as fast."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """A quantized matrix of [rows, width].

    ``data`` is uint8 [rows, blocks, block_size · bits / 8], two 4-bit values per byte, low first; ``scales`` float32
    [rows, blocks]; ``zeros`` uint8 [rows, ⌈blocks · bits / 8⌉], None where the zero point is the middle, 8 or 128.
    """

    data: np.ndarray
    scales: np.ndarray
    zeros: np.ndarray | None
    width: int
    bits: int
    block_size: int


def quantize_blocks(
    matrix: np.ndarray, *, bits: int, block_size: int, symmetric: bool = False, method: str = "rtn"
) -> Blocks:
    """Quantize float32 [rows, width] to ``bits`` per value in blocks of ``block_size`` along a row.

    Methods: "rtn" rounds to nearest; "k_quant" searches the scale and zero point with the least weighted square error;
    "hqq" is onnxruntime's half-quadratic quantization (Badri and Shaji, 2023), asymmetric only.

    Raises:
        QuantizeError: the method is unknown or cannot be symmetric, or needs PyTorch and there is none.
    """
    step = _step(method, symmetric=symmetric)
    rows, width = matrix.shape
    blocks = -(-width // block_size)
    data = np.empty((rows, blocks, block_size * bits // 8), np.uint8)
    scales = np.empty((rows, blocks), np.float32)
    zeros = np.empty((rows, blocks), np.uint8)
    count = max(1, STEP_VALUES // (blocks * block_size))

    def do(start: int) -> None:
        part = matrix[start : start + count]
        cut = np.zeros((len(part), blocks * block_size), np.float32)
        cut[:, :width] = part
        values, scale, zero = step(np.ascontiguousarray(cut.reshape(-1, block_size).T), bits)
        stop = start + len(part)
        data[start:stop] = _pack(values.T.astype(np.uint8).reshape(len(part), blocks, block_size), bits)
        scales[start:stop], zeros[start:stop] = scale.reshape(-1, blocks), zero.reshape(-1, blocks)

    with ThreadPoolExecutor(usable_cores()) as threads:
        for done in [threads.submit(do, start) for start in range(0, rows, count)]:
            done.result()
    packed = None if symmetric else _pack(zeros, bits)
    return Blocks(data=data, scales=scales, zeros=packed, width=width, bits=bits, block_size=block_size)


def _step(method: str, *, symmetric: bool) -> Callable[[np.ndarray, int], Quantized]:
    steps = {
        ("rtn", False): _round,
        ("rtn", True): _round_symmetric,
        ("k_quant", False): _k_quant,
        ("k_quant", True): _k_quant_symmetric,
        ("hqq", False): _hqq,
    }
    if (method, symmetric) not in steps:
        known = ", ".join(f"{name} {'symmetric' if sym else 'asymmetric'}" for name, sym in steps)
        raise QuantizeError(f"there is no {'symmetric ' if symmetric else ''}method {method!r}", hint=f"take {known}")
    return steps[method, symmetric]


def _round(cut: np.ndarray, bits: int) -> Quantized:
    levels = 2**bits - 1
    low, high = np.minimum(cut.min(axis=0), 0), np.maximum(cut.max(axis=0), 0)
    scales = (high - low) / levels
    scales[np.abs(scales) < LEAST_SCALE] = 1.0
    zeros = np.clip(np.rint(-low / scales), 0, levels)
    return _levels(cut, 1 / scales, zeros, levels), scales, zeros


def _round_symmetric(cut: np.ndarray, bits: int) -> Quantized:
    """The value farthest from zero becomes the lowest level, of which there is one more than on the other side."""
    middle = 2 ** (bits - 1)
    scales = _farthest(cut) / -middle
    scales[np.abs(scales) < LEAST_SCALE] = 1.0
    zeros = np.full_like(scales, middle)
    return _levels(cut, 1 / scales, zeros, 2 * middle - 1), scales, zeros


def _k_quant(cut: np.ndarray, bits: int) -> Quantized:
    """The best of some weighted least-squares fits of scale and zero point, after ggml's make_qkx3_quants.

    onnxruntime has such a search too, many times slower, which rounds the zero point without fitting the scale again.
    """
    levels = 2**bits - 1
    weights = _weights(cut)
    low, high = np.minimum(cut.min(axis=0), 0), np.maximum(cut.max(axis=0), 0)
    spread = np.where(high - low > LEAST_SCALE, high - low, 1)
    sum_w, sum_x = weights.sum(axis=0), (weights * cut).sum(axis=0)
    _, scales, zeros = _round(cut, bits)
    most = np.zeros_like(scales)
    for shift in K_SHIFTS:
        inverse = (levels + shift) / spread
        values = _levels(cut, inverse, -low * inverse, levels)
        heavy = weights * values
        sum_q, sum_qq, sum_qx = heavy.sum(axis=0), (heavy * values).sum(axis=0), (heavy * cut).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):  # blocks of one value have no best scale, and keep theirs
            zero = np.rint((sum_q * sum_qx - sum_qq * sum_x) / (sum_w * sum_qx - sum_x * sum_q))
            zero = np.clip(zero, 0, levels)
            along, length = sum_qx - zero * sum_x, sum_qq - 2 * zero * sum_q + zero**2 * sum_w
            gain, scale = along**2 / length, along / length
        better = (gain > most) & (scale > LEAST_SCALE)
        most[better], scales[better], zeros[better] = gain[better], scale[better], zero[better]
    return _levels(cut, 1 / scales, zeros, levels), scales, zeros


def _k_quant_symmetric(cut: np.ndarray, bits: int) -> Quantized:
    """The best of some weighted least-squares fits of the scale, after ggml's make_qx_quants."""
    middle = 2 ** (bits - 1)
    weights = _weights(cut)
    far = _farthest(cut)
    far[np.abs(far) < LEAST_SCALE] = 1.0
    scales, zeros = far / -middle, np.full_like(far, middle)
    most = np.zeros_like(scales)
    for shift in K_SHIFTS:
        values = _levels(cut, -(middle + shift) / far, zeros, 2 * middle - 1)
        values -= middle
        heavy = weights * values
        sum_qq, sum_qx = (heavy * values).sum(axis=0), (heavy * cut).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):  # blocks of zeros
            gain, scale = sum_qx**2 / sum_qq, sum_qx / sum_qq
        better = (gain > most) & (np.abs(scale) > LEAST_SCALE)
        most[better], scales[better] = gain[better], scale[better]
    return _levels(cut, 1 / scales, zeros, 2 * middle - 1), scales, zeros


def _weights(cut: np.ndarray) -> np.ndarray:
    """How much each value matters: its size, and the typical size in its block."""
    weights: np.ndarray = np.abs(cut) + np.sqrt((cut**2).mean(axis=0))
    return weights


def _farthest(cut: np.ndarray) -> np.ndarray:
    """The value farthest from zero of each block."""
    low, high = cut.min(axis=0), cut.max(axis=0)
    far: np.ndarray = np.where(-low >= high, low, high)
    return far


def _levels(cut: np.ndarray, inverse: np.ndarray, zeros: np.ndarray, levels: int) -> np.ndarray:
    """The nearest level to each value."""
    values: np.ndarray = cut * inverse
    values += zeros
    np.rint(values, out=values)
    np.clip(values, 0, levels, out=values)
    return values


def _hqq(cut: np.ndarray, bits: int) -> Quantized:
    """HQQ's scales and zero points, the latter rounded: WebGPU has no kernel for zero points between two levels."""
    try:
        import torch
    except ImportError as error:
        raise QuantizeError("hqq needs PyTorch", hint="pip install 'webgpu-demo-builder[export]'") from error
    from onnxruntime.quantization.matmul_nbits_quantizer import HQQWeightOnlyQuantConfig, HQQWeightOnlyQuantizer

    quantizer = HQQWeightOnlyQuantizer(HQQWeightOnlyQuantConfig(block_size=len(cut), bits=bits))
    _, scales, zeros = quantizer.quantize_internal(torch.from_numpy(cut.T), bits=bits, group_size=len(cut))
    levels = 2**bits - 1
    scale, zero = scales.numpy()[:, 0], np.rint(zeros.numpy()[:, 0])
    _, plain_scale, plain_zero = _round(cut, bits)
    lone = (zero < 0) | (zero > levels) | (cut.min(axis=0) == cut.max(axis=0))  # a zero point must be a level
    scale, zero = np.where(lone, plain_scale, scale), np.where(lone, plain_zero, zero)
    return _levels(cut, 1 / scale, zero, levels), scale, zero


def _pack(values: np.ndarray, bits: int) -> np.ndarray:
    """Two 4-bit values per byte along the last axis, low first; an odd last one stands alone."""
    if bits == 8:
        return values
    if values.shape[-1] % 2:
        values = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, 1)])
    packed: np.ndarray = values[..., 0::2] | (values[..., 1::2] << 4)
    return packed
