"""Random checkpoints: outputs of order 1, in which quantization errors mean something; tokenizers of full length."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from builder.bench._checkpoints import QWEN2_SPECIAL, QWEN2_TOKENS, write_mobileclip2
from builder.bench._tokenizers import write_tokenizer
from builder.embedded.painting import render
from builder.embedded.score import held_out_scenes
from builder.export.repo import compact_tokenizer
from tests.bench._tiny import TINY_FASTVLM


def test_tokenizer_has_as_many_tokens_as_asked_and_reads_text(tmp_path: Path) -> None:
    ids = write_tokenizer(tmp_path, tokens=20_000, special=("<|end|>", "<image>"))
    assert ids == {"<|end|>": 19_998, "<image>": 19_999}
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 20_000
    assert tokenizer.decode(tokenizer.encode("a red cup, twice").ids) == "a red cup, twice"
    assert tokenizer.encode("a<image>").ids[-1] == 19_999
    lengths = [len(token) for token in tokenizer.get_vocab()]
    assert 8 < sum(lengths) / len(lengths) < 10
    assert write_tokenizer(tmp_path, tokens=20_000, special=("<|end|>", "<image>")) == ids


def test_tokenizer_as_large_as_qwen2s_is_exported_in_half_the_bytes(tmp_path: Path) -> None:
    """Transformers writes Qwen2's tokenizer.json in 11.4 MB; without white space and pairs its tokens take 4.8."""
    write_tokenizer(tmp_path, tokens=QWEN2_TOKENS, special=QWEN2_SPECIAL)
    saved = (tmp_path / "tokenizer.json").read_text(encoding="utf-8")
    made = compact_tokenizer(saved)
    assert 10.5e6 < len(saved.encode()) < 12.5e6
    assert 4.5e6 < len(made.encode()) < 5.5e6
    text = "Two red cups stand on a table: 12 €, naïve"
    assert Tokenizer.from_str(made).encode(text).ids == Tokenizer.from_str(saved).encode(text).ids


def test_merges_with_a_space_in_them_stay_pairs() -> None:
    pairs = [["a", "b"], ["a ", "b"]]
    assert json.loads(compact_tokenizer(json.dumps({"model": {"merges": pairs}})))["model"]["merges"] == pairs
    plain = json.loads(compact_tokenizer(json.dumps({"model": {"merges": pairs[:1]}})))
    assert plain["model"]["merges"] == ["a b"]


def rough(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as 8 bits hold them, by rows."""
    return {name: tensor if tensor.dim() < 2 else _rounded(tensor) for name, tensor in weights.items()}


def _rounded(tensor: torch.Tensor) -> torch.Tensor:
    step = tensor.abs().flatten(1).amax(dim=1).clamp_min(1e-12).reshape(-1, *[1] * (tensor.dim() - 1)) / 127
    return (tensor / step).round() * step


@pytest.mark.slow
def test_mobileclip2_at_full_size_gives_vectors_of_order_1_that_8_bits_hardly_turn(tmp_path: Path) -> None:
    import open_clip

    write_mobileclip2(tmp_path, "MobileCLIP2-S0")
    config: dict[str, Any] = json.loads((tmp_path / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    model = open_clip.CustomTextCLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"]).eval()
    weights = load_file(tmp_path / "open_clip_model.safetensors")
    drawn = [np.asarray(render(scene, 256), np.float32) for scene in held_out_scenes(6)[4:]]  # others than it saw
    pixels = torch.from_numpy(np.stack(drawn) / 255).permute(0, 3, 1, 2)
    ids = torch.randint(0, 49408, (2, 77), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.load_state_dict(weights)
        pictures, texts = model.encode_image(pixels), model.encode_text(ids)
        model.load_state_dict(rough(weights))
        turned = torch.cosine_similarity(model.encode_image(pixels), pictures)
    for vectors in (pictures, texts):
        assert 0.1 < float(vectors.std()) < 10
        assert not torch.allclose(vectors[0], vectors[1], atol=1e-2)
    assert float(turned.min()) > 0.97


@pytest.mark.slow
def test_fastvlm_gives_features_of_order_1(tmp_path: Path) -> None:
    from transformers import FastVlmForConditionalGeneration

    TINY_FASTVLM.write(tmp_path)
    model = FastVlmForConditionalGeneration.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        features = model.get_image_features(torch.rand(1, 3, 256, 256), return_dict=True).pooler_output
    assert 0.1 < float(features.std()) < 10
