"""Vectors of photos in eight bits: rotated, so that no component stands out, then rounded with a scale of their own.

Image encoders of CLIP's kind have a few components that are many times as large as the rest, and eight bits for the
largest leave few for the others. A rotation spreads them: each block of components is multiplied with fixed signs and
by the Walsh-Hadamard matrix of its size (QuIP#, arXiv:2402.04396, does so with weights). Rotations leave the products
of vectors as they are, so that only queries have to be rotated too. What is left of an error is that of 512 Gaussian
numbers: a cosine of 0.99997, and 0.0003 in a score.

The scale is one over the length of the codes: read back, every vector has length 1.
web_template/shared/rotation.js is the same in JavaScript.
"""

from __future__ import annotations

import numpy as np

GREATEST = 127


def rotation_block(dimensions: int) -> int:
    """Size of the blocks that are rotated: the greatest power of two that divides the dimensions."""
    return dimensions & -dimensions


def signs(dimensions: int) -> np.ndarray:
    """Fixed signs, float32 [dimensions], as rotation.js computes them: one bit of a hash of the position."""
    x = (np.arange(1, dimensions + 1, dtype=np.uint64) * 0x9E3779B1) & 0xFFFFFFFF
    x ^= x >> np.uint64(15)
    x = (x * 0x85EBCA77) & 0xFFFFFFFF
    x ^= x >> np.uint64(13)
    made: np.ndarray = np.where(x & np.uint64(1), np.float32(-1), np.float32(1))
    return made


def rotate(rows: np.ndarray, block: int) -> np.ndarray:
    """Rotate float32 [rows, dimensions]."""
    return _hadamard(rows * signs(rows.shape[1]), block)


def rotate_back(rows: np.ndarray, block: int) -> np.ndarray:
    """Undo `rotate`."""
    turned: np.ndarray = _hadamard(rows, block) * signs(rows.shape[1])
    return turned


def _hadamard(rows: np.ndarray, block: int) -> np.ndarray:
    values = np.array(rows, np.float32).reshape(-1, block)
    half = 1
    while half < block:
        pairs = values.reshape(len(values), block // (2 * half), 2, half)
        values = np.stack((pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]), axis=2)
        values = values.reshape(-1, block)
        half *= 2
    turned: np.ndarray = values.reshape(rows.shape) / np.float32(np.sqrt(block))
    return turned


def encode(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes int8 [rows, dimensions] and scales float32 [rows] of vectors of any length but 0.

    Raises:
        ValueError: a vector is no direction, because it is 0 or holds what is no number.
    """
    turned = rotate(np.asarray(rows, np.float32), rotation_block(rows.shape[1]))
    largest = np.abs(turned).max(axis=1, keepdims=True)
    if not np.isfinite(largest).all() or (largest == 0).any():
        raise ValueError("a vector without a direction")
    codes = np.rint(turned * (GREATEST / largest)).astype(np.int8)
    scales = 1 / np.linalg.norm(codes.astype(np.float32), axis=1)
    return codes, scales.astype(np.float32)


def decode(codes: np.ndarray, scales: np.ndarray, block: int) -> np.ndarray:
    """Vectors of length 1, float32 [rows, dimensions]."""
    return rotate_back(codes.astype(np.float32) * scales[:, None].astype(np.float32), block)
