"""What export holds in memory: weights in the checkpoint's dtype, and nothing of it for longer than it is needed."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from builder.export.decoder import _widen_while_it_runs
from builder.export.trace import write_embedding
from builder.sessions import Session

SMALL = Qwen2Config(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    vocab_size=96,
    max_position_embeddings=64,
)


def test_layers_that_are_widened_while_they_run_answer_as_float32_and_stay_narrow() -> None:
    kinds: Any = AutoModelForCausalLM
    torch.manual_seed(0)
    model = kinds.from_config(SMALL, dtype=torch.bfloat16).eval()
    wide = kinds.from_config(SMALL, dtype=torch.float32).eval()
    wide.load_state_dict({name: weight.float() for name, weight in model.state_dict().items()})
    for module in model.modules():
        _widen_while_it_runs(module)
    embeds = torch.randn(1, 9, SMALL.hidden_size)
    with torch.no_grad():
        assert torch.equal(model(inputs_embeds=embeds).logits, wide(inputs_embeds=embeds).logits)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


def test_embedding_graph_is_one_gather_and_gives_rows(tmp_path: Path) -> None:
    table = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    path = tmp_path / "embed_tokens.onnx"
    write_embedding(table, path)
    assert [node.op_type for node in onnx.load(path).graph.node] == ["Gather"]
    ids = np.array([[3, 0], [6, 3]])
    session = Session(path)
    assert session.inputs["input_ids"].shape == ["batch_size", "sequence_length"]
    np.testing.assert_array_equal(session.run({"input_ids": ids})["inputs_embeds"], table[ids])


@pytest.mark.soak
def test_towers_are_gone_before_the_decoder_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    from builder.embedded import checkpoint_dir
    from builder.export import export

    trace = importlib.import_module("builder.export.trace")
    decoder = importlib.import_module("builder.export.decoder")
    towers: list[weakref.ref[torch.nn.Module]] = []
    left: list[int] = []
    write, build = trace.trace_encoder, decoder.build_decoder

    def note(encoder: Any, *given: Any, **options: Any) -> None:
        towers.append(weakref.ref(encoder.module))
        write(encoder, *given, **options)

    def count(*given: Any, **options: Any) -> None:
        gc.collect()
        left.append(sum(tower() is not None for tower in towers))
        build(*given, **options)

    monkeypatch.setattr(trace, "trace_encoder", note)
    monkeypatch.setattr(decoder, "build_decoder", count)
    export(str(checkpoint_dir("scenes-vlm")), out=tmp_path / "web")
    assert len(towers) == 1 and left == [0]
