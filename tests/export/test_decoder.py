"""Decoders: whatever the width of heads, the window or the rotary type, the logits are those of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
)

from builder.errors import ExportError
from builder.export.decoder import build_decoder, check_config, save_plain
from builder.families import Language
from builder.sessions import Session
from tests.checkpoints._case import useful_weights

pytestmark = pytest.mark.slow

MOST_NODES_PER_LAYER = 12
BIASES_PER_LAYER, NODES_OF_APART_ROTARY = 7, 4
ROWS, STEPS = 40, 3
KINDS: dict[str, type[PretrainedConfig]] = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config}
TINY = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 352,
    "max_position_embeddings": 128,
    "sliding_window": None,
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def configure(kind: str, **more: Any) -> PretrainedConfig:
    return KINDS[kind](**{**TINY, **more})


def make(config: PretrainedConfig) -> Any:
    kinds: Any = AutoModelForCausalLM
    model = kinds.from_config(config, dtype=torch.float32)
    useful_weights(model)
    model.train(False)
    return model


def write(model: Any, folder: Path) -> Path:
    """Export a decoder as an export of a whole checkpoint does."""
    save_plain(Language(config=model.config, weights=model.state_dict()), folder / "plain")
    build_decoder(folder / "plain", folder / "decoder.onnx", tolerance=1e-4)
    return folder / "decoder.onnx"


def prompt_of(model: Any) -> torch.Tensor:
    return torch.randn(1, ROWS + STEPS, model.config.hidden_size, generator=torch.Generator().manual_seed(7))


def answers(path: Path, embeds: torch.Tensor) -> np.ndarray:
    """Logits of the last row of a prompt and of some rows more, each on the cache: [1 + STEPS, vocabulary]."""
    session = Session(path)
    cache, logits = session.empty_cache(), []
    for start, stop in ((0, ROWS), *((ROWS + step, ROWS + step + 1) for step in range(STEPS))):
        feeds = {
            "inputs_embeds": embeds[:, start:stop].numpy(),
            "attention_mask": np.ones((1, stop), np.int64),
            "position_ids": np.arange(start, stop)[None],
        }
        got = session.run({**{name: value for name, value in feeds.items() if name in session.inputs}, **cache})
        cache = {n.replace("present.", "past_key_values."): v for n, v in got.items() if n.startswith("present.")}
        logits.append(got["logits"][0, -1])
    return np.stack(logits)


def wanted_of(model: Any, embeds: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = model(inputs_embeds=embeds).logits[0, ROWS - 1 :].numpy()
    return logits


def nodes_per_layer(tmp_path: Path, kind: str, **more: Any) -> float:
    counts = {}
    for layers in (2, 4):
        path = write(make(configure(kind, num_hidden_layers=layers, **more)), tmp_path / str(layers))
        counts[layers] = len(onnx.load(path, load_external_data=False).graph.node)
    return (counts[4] - counts[2]) / 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head_dim", [8, 16, 24])
def test_decoder_with_heads_of_multiples_of_eight_answers_as_pytorch(kind: str, head_dim: int, tmp_path: Path) -> None:
    model = make(configure(kind, hidden_size=4 * head_dim, head_dim=head_dim))
    path, embeds = write(model, tmp_path), prompt_of(model)
    np.testing.assert_allclose(answers(path, embeds), wanted_of(model, embeds), rtol=1e-3, atol=1e-3)
    assert ("position_ids" in Session(path).inputs) is (head_dim % 16 != 0)


@pytest.mark.parametrize("head_dim", [4, 12, 20])
def test_heads_of_other_widths_are_refused_with_their_width(head_dim: int) -> None:
    with pytest.raises(ExportError, match=f"are {head_dim} wide: onnxruntime's attention takes multiples of 8"):
        check_config(configure("llama", head_dim=head_dim))


@pytest.mark.parametrize("width", ["intermediate_size", "hidden_size"])
def test_layers_as_wide_as_the_vocabulary_are_refused(width: str) -> None:
    with pytest.raises(ExportError, match=f"{width} of the llama decoder is its vocab_size, {TINY[width]}"):
        check_config(configure("llama", vocab_size=TINY[width]))


@pytest.mark.parametrize("window", [2, 7, 16, ROWS - 1])
def test_decoder_of_mistral_sees_its_window_alone(window: int, tmp_path: Path) -> None:
    model = make(configure("mistral", sliding_window=window))
    embeds = prompt_of(model)
    wanted = wanted_of(model, embeds)
    np.testing.assert_allclose(answers(write(model, tmp_path), embeds), wanted, rtol=1e-3, atol=1e-3)
    without = make(configure("mistral"))
    assert np.abs(wanted_of(without, embeds) - wanted).max() > 0.05, "the window would not be missed"


@pytest.mark.parametrize(
    "rope", [YARN, {**YARN, "attention_factor": 1.5}, LLAMA3, {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}]
)
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_decoder_with_scaled_rotary_embeddings_answers_as_pytorch(
    kind: str, rope: dict[str, Any], tmp_path: Path
) -> None:
    model = make(configure(kind, rope_parameters=rope))
    embeds = prompt_of(model)
    wanted = wanted_of(model, embeds)
    np.testing.assert_allclose(answers(write(model, tmp_path), embeds), wanted, rtol=1e-3, atol=1e-3)
    plain = make(configure(kind, rope_parameters={"rope_type": "default", "rope_theta": rope["rope_theta"]}))
    assert np.abs(wanted_of(plain, embeds) - wanted).max() > 0.05, "the scaling would not be missed"


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
        {
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "factor": 2.0,
            "short_factor": [1.0] * 8,
            "long_factor": [2.0] * 8,
            "original_max_position_embeddings": 64,
        },
    ],
)
def test_rotary_embeddings_that_change_with_the_length_are_refused_by_name(rope: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match=repr(rope["rope_type"])) as caught:
        check_config(configure("llama", rope_parameters=rope))
    assert "default, linear, llama3, yarn" in str(caught.value.hint)


@pytest.mark.parametrize("kind", KINDS)
def test_decoder_has_few_nodes_per_layer(kind: str, tmp_path: Path) -> None:
    assert 1 <= nodes_per_layer(tmp_path, kind) <= MOST_NODES_PER_LAYER


def test_decoder_with_narrow_heads_has_four_nodes_more_per_layer(tmp_path: Path) -> None:
    most = MOST_NODES_PER_LAYER + NODES_OF_APART_ROTARY
    assert 1 <= nodes_per_layer(tmp_path, "llama", head_dim=8) <= most


def test_llama_with_biases_answers_as_pytorch_and_has_a_node_more_for_each(tmp_path: Path) -> None:
    model = make(configure("llama", attention_bias=True, mlp_bias=True))
    embeds = prompt_of(model)
    path = write(model, tmp_path / "one")
    np.testing.assert_allclose(answers(path, embeds), wanted_of(model, embeds), rtol=1e-3, atol=1e-3)
    most = MOST_NODES_PER_LAYER + BIASES_PER_LAYER
    assert nodes_per_layer(tmp_path, "llama", attention_bias=True, mlp_bias=True) <= most


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    model = make(configure("llama"))
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = torch.nan
    with pytest.raises(ExportError, match=r"not finite: model\.layers\.1\.mlp\.up_proj\.weight"):
        write(model, tmp_path)


def test_architecture_that_the_builder_does_not_know_is_told_with_its_reason(tmp_path: Path) -> None:
    from transformers import GPT2Config

    model = make(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=96, n_positions=32))
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_plain(Language(config=model.config, weights=weights), tmp_path / "plain")
    with pytest.raises(ExportError, match=r"gpt2 decoder: \w+: .+") as caught:
        build_decoder(tmp_path / "plain", tmp_path / "decoder.onnx", tolerance=1e-4)
    assert caught.value.__cause__ is not None
