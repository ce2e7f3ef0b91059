"""An architecture of full-size layout and tiny widths."""

from __future__ import annotations

from functools import partial

from builder.bench._checkpoints import QWEN2_05B, Architecture, write_fastvlm

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 640,
    "max_position_embeddings": 512,
}
TOWER = {"layers": [1, 1, 1, 1, 1], "embed_dims": [16, 32, 64, 64, 128], "mlp_ratios": [2] * 5}
TINY_FASTVLM = Architecture(name="tiny", write=partial(write_fastvlm, text={**QWEN2_05B, **SIZES}, tower=TOWER))
