"""Embedding tables as 4 or 8 bits in blocks: Gather becomes GatherBlockQuantized with float32 output.

On WebGPU every onnxruntime-web build runs it; on the CPU only the plain build has a kernel, which is the one that the
pages load for WASM.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


def is_embedding(model: onnx.ModelProto) -> bool:
    """Whether the graph is a bare table: one Gather from a constant."""
    nodes = model.graph.node
    return (
        len(nodes) == 1
        and nodes[0].op_type == "Gather"
        and nodes[0].input[0] in {t.name for t in model.graph.initializer}
    )


def quantize_embedding(model: onnx.ModelProto, *, bits: int, block_size: int) -> onnx.ModelProto:
    """Quantize the table of a bare embedding graph along its rows."""
    gather = model.graph.node[0]
    table = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == gather.input[0]))
    data, scales, zeros = quantize_rows(table, bits=bits, block_size=block_size)
    tensors = [
        numpy_helper.from_array(array, f"{gather.input[0]}_{part}")
        for part, array in (("quantized", data), ("scales", scales), ("zero_points", zeros))
    ]
    node = helper.make_node(
        "GatherBlockQuantized",
        [tensors[0].name, gather.input[1], tensors[1].name, tensors[2].name],
        list(gather.output),
        name=gather.name,
        domain="com.microsoft",
        gather_axis=0,
        quantize_axis=1,
        block_size=block_size,
        bits=bits,
    )
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.append(node)
    model.graph.initializer.extend(tensors)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def quantize_rows(table: np.ndarray, *, bits: int, block_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantize float32 [rows, width] blockwise, asymmetrically, to unsigned integers.

    Returns:
        data uint8 [rows, width · bits / 8] (two 4-bit values per byte, low first), scales float32 [rows, blocks],
        zero points uint8 [rows, ⌈blocks · bits / 8⌉].
    """
    rows, width = table.shape
    blocks = -(-width // block_size)
    padded = np.zeros((rows, blocks * block_size), np.float32)
    padded[:, :width] = table
    cut = padded.reshape(rows, blocks, block_size)
    low, high = np.minimum(cut.min(axis=2), 0), np.maximum(cut.max(axis=2), 0)
    levels = 2**bits - 1
    scales = (high - low) / levels
    scales[scales == 0] = 1.0
    zeros = np.clip(np.round(-low / scales), 0, levels).astype(np.uint8)
    quantized = np.clip(np.round(cut / scales[..., None]) + zeros[..., None], 0, levels).astype(np.uint8)
    data = quantized.reshape(rows, blocks * block_size)[:, :width]
    if bits == 4:
        data, zeros = _pack(data), _pack(zeros)
    return data, scales.astype(np.float32), zeros


def _pack(values: np.ndarray) -> np.ndarray:
    """Two 4-bit values per byte along the last axis, low first; an odd last one stands alone."""
    if values.shape[-1] % 2:
        values = np.pad(values, ((0, 0), (0, 1)))
    packed: np.ndarray = values[..., 0::2] | (values[..., 1::2] << 4)
    return packed.astype(np.uint8)
