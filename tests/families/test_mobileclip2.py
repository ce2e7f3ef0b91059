"""MobileCLIP and MobileCLIP2: branches are folded, published architectures load strictly, padding, normalisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.initialization import no_init_weights

from builder.errors import CheckpointError
from builder.families import find_family
from tests.checkpoints._case import write_json
from tests.checkpoints._clip import CONTEXT, END, START, clip_tokenizer
from tests.checkpoints.mobileclip2 import EDGE, PREPROCESS, make_fastvit, make_vit, make_vit_hybrid
from tests.families._edit import load

PUBLISHED = ("MobileCLIP2-S0", "MobileCLIP2-B", "MobileCLIP2-L-14", "MobileCLIP-S1")


def test_parallel_branches_are_folded_and_vectors_stay(tmp_path: Path) -> None:
    reference = make_fastvit(tmp_path)
    parts = load(tmp_path)
    tower = parts.encoders[1].module
    trained = {name for name in load_file(tmp_path / "open_clip_model.safetensors") if "conv_kxk" in name}
    assert trained and not [name for name, _ in tower.named_parameters() if "conv_kxk" in name]
    pixels = torch.randn(2, 3, EDGE, EDGE)
    with torch.no_grad():
        torch.testing.assert_close(tower(pixels), reference.images(pixels), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("make", "pad"), ((make_fastvit, "!"), (make_vit, "!"), (make_vit_hybrid, END)))
def test_texts_are_padded_with_zeros_where_the_tower_sees_the_padding(make: Any, pad: str, tmp_path: Path) -> None:
    reference = make(tmp_path)
    parts = load(tmp_path)
    settings = parts.tokenizer_settings
    assert settings["pad_token"] == pad
    assert (settings["model_max_length"], settings["padding_side"]) == (CONTEXT, "right")
    tokenizer = clip_tokenizer()
    short = torch.tensor([tokenizer("a red cup").input_ids])
    zeros = nn.functional.pad(short, (0, CONTEXT - short.shape[1]))
    with torch.no_grad():
        found = parts.encoders[0].module(short)
        torch.testing.assert_close(found, reference.texts(zeros), atol=1e-5, rtol=1e-5)
    assert short[0, 0] == tokenizer.convert_tokens_to_ids(START)


def test_normalisation_is_that_of_the_pretrained_configuration(tmp_path: Path) -> None:
    make_vit(tmp_path)
    written = load(tmp_path).configs["preprocessor_config.json"]
    assert (written["image_mean"], written["image_std"]) == (PREPROCESS["mean"], PREPROCESS["std"])
    assert (written["resample"], written["size"]) == (2, {"shortest_edge": EDGE})


def test_checkpoint_with_pickled_weights_only_is_refused(tmp_path: Path) -> None:
    make_vit(tmp_path)
    (tmp_path / "open_clip_model.safetensors").rename(tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"holds no open_clip_model\.safetensors") as raised:
        load(tmp_path)
    assert "never loaded" in raised.value.hint


def write_published(folder: Path, name: str) -> None:
    """A published architecture at full size, in float16, as timm's repositories hold it."""
    config = open_clip.get_model_config(name)
    with no_init_weights():
        model = open_clip.CustomTextCLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    weights = {
        key: torch.full_like(tensor, 0.01, dtype=torch.float16) if tensor.is_floating_point() else tensor
        for key, tensor in model.state_dict().items()
    }
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": PREPROCESS})
    clip_tokenizer().backend_tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_architecture_loads_strictly(name: str, tmp_path: Path) -> None:
    write_published(tmp_path, name)
    assert find_family(tmp_path).name == "mobileclip2"
    parts = load(tmp_path)
    config = open_clip.get_model_config(name)
    assert [encoder.name for encoder in parts.encoders] == ["text_model", "vision_model", "model"]
    assert parts.image.width == config["vision_cfg"]["image_size"]
    text = [tensor for key, tensor in parts.encoders[0].module.named_parameters() if ".text." in key]
    assert text and all(torch.allclose(tensor, torch.tensor(0.01), atol=1e-4) for tensor in text)
