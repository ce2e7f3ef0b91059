"""float16 inside, float32 at the borders.

transformers.js merges image rows into the prompt's embeddings on the CPU and expects both as float32, so the inputs and
outputs of a graph stay float32 in every dtype. Only the key-value cache changes its type: it never leaves the device.
"""

from __future__ import annotations

import warnings

import onnx
from onnx import TensorProto

CACHE_PREFIXES = ("past_key_values.", "present.")


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a float32 graph to float16, key-value cache included, other inputs and outputs excepted."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    borders = [
        value.name
        for value in (*model.graph.input, *model.graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and not value.name.startswith(CACHE_PREFIXES)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one line per weight below float16's smallest step, which becomes 0
        converted = convert_float_to_float16(
            model,
            keep_io_types=borders,
            op_block_list=[op for op in DEFAULT_OP_BLOCK_LIST if op not in ("MatMulNBits",)],
        )
    assert isinstance(converted, onnx.ModelProto)
    return converted
