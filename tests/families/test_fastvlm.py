"""Apple's layout of FastVLM: every row of the key table, what is refused, and that no code of a checkpoint runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import FastVlmConfig, FastVlmForConditionalGeneration

from builder.errors import CheckpointError
from builder.export import export
from builder.families import find_family
from builder.families._apple import apple_name, load_apple
from builder.manifest import read_manifest
from tests.checkpoints._case import write_json
from tests.checkpoints.fastvlm import (
    HEAD,
    LAYERS,
    SIZE,
    WIDTHS,
    apple_checkpoint_name,
    make_apple,
    make_apple_tied,
)

TOWER = "model.vision_tower.vision_tower.model."
TIMM = "model.vision_tower.timm_model."
FULL_SIZE_TOWER_TENSORS = 628
"""Of timm's ``fastvit_mci3``, without the classifier that Apple's tower has besides."""


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("patch_embed.0.reparam_conv.weight", "stem.0.reparam_conv.weight"),
        ("patch_embed.2.reparam_conv.bias", "stem.2.reparam_conv.bias"),
        ("network.0.1.token_mixer.reparam_conv.weight", "stages.0.blocks.1.token_mixer.reparam_conv.weight"),
        ("network.0.0.layer_scale", "stages.0.blocks.0.layer_scale.gamma"),
        ("network.1.proj.0.lkb_reparam.weight", "stages.1.downsample.proj.0.reparam_conv.weight"),
        ("network.1.proj.1.reparam_conv.weight", "stages.1.downsample.proj.1.reparam_conv.weight"),
        ("network.2.11.convffn.conv.conv.weight", "stages.1.blocks.11.mlp.conv.conv.weight"),
        ("network.2.11.convffn.conv.bn.running_var", "stages.1.blocks.11.mlp.conv.bn.running_var"),
        ("network.3.proj.0.lkb_reparam.bias", "stages.2.downsample.proj.0.reparam_conv.bias"),
        ("network.4.23.convffn.fc1.weight", "stages.2.blocks.23.mlp.fc1.weight"),
        ("network.5.proj.1.reparam_conv.bias", "stages.3.downsample.proj.1.reparam_conv.bias"),
        ("network.6.reparam_conv.weight", "stages.3.pos_emb.reparam_conv.weight"),
        ("network.7.3.norm.weight", "stages.3.blocks.3.norm.weight"),
        ("network.7.3.token_mixer.qkv.weight", "stages.3.blocks.3.token_mixer.qkv.weight"),
        ("network.7.0.layer_scale_1", "stages.3.blocks.0.layer_scale_1.gamma"),
        ("network.8.proj.0.lkb_reparam.weight", "stages.4.downsample.proj.0.reparam_conv.weight"),
        ("network.9.reparam_conv.bias", "stages.4.pos_emb.reparam_conv.bias"),
        ("network.10.1.layer_scale_2", "stages.4.blocks.1.layer_scale_2.gamma"),
        ("network.10.1.token_mixer.proj.bias", "stages.4.blocks.1.token_mixer.proj.bias"),
        ("conv_exp.reparam_conv.weight", "final_conv.reparam_conv.weight"),
        ("conv_exp.se.reduce.weight", "final_conv.se.fc1.weight"),
        ("conv_exp.se.expand.bias", "final_conv.se.fc2.bias"),
    ],
)
def test_name_of_the_tower_becomes_timms(theirs: str, ours: str) -> None:
    assert apple_name(TOWER + theirs) == TIMM + ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("model.mm_projector.0.weight", "model.multi_modal_projector.linear_1.weight"),
        ("model.mm_projector.2.bias", "model.multi_modal_projector.linear_2.bias"),
        ("model.layers.23.self_attn.q_proj.bias", "model.language_model.layers.23.self_attn.q_proj.bias"),
        ("model.norm.weight", "model.language_model.norm.weight"),
        ("model.embed_tokens.weight", "model.language_model.embed_tokens.weight"),
        ("lm_head.weight", "lm_head.weight"),
        (HEAD, None),
        ("model.mm_projector.1.weight", "model.mm_projector.1.weight"),
        (TOWER + "network.11.0.layer_scale", TIMM + "network.11.0.layer_scale.gamma"),
    ],
)
def test_name_outside_the_tower_is_mapped_dropped_or_left_over(theirs: str, ours: str | None) -> None:
    assert apple_name(theirs) == ours


def test_names_of_the_full_size_model_go_there_and_back() -> None:
    with torch.device("meta"):
        model = FastVlmForConditionalGeneration(FastVlmConfig(text_config={"model_type": "qwen2"}))
    names = list(model.state_dict())
    assert [name for name in names if apple_name(apple_checkpoint_name(name)) != name] == []
    assert len({apple_checkpoint_name(name) for name in names}) == len(names)
    assert sum(name.startswith(TIMM) for name in names) == FULL_SIZE_TOWER_TENSORS


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    write_json(path, value)


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of a checkpoint of one file."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        find_family(folder, "fastvlm").load(folder)
    assert caught.value.hint
    return f"{caught.value.message} | {caught.value.hint}"


@pytest.mark.parametrize(("make", "dtype"), [(make_apple, torch.bfloat16), (make_apple_tied, torch.float32)])
def test_weights_are_loaded_as_they_are_in_their_own_dtype(make: Any, dtype: torch.dtype, tmp_path: Path) -> None:
    """The float32 one says bfloat16 in its config: the weights decide."""
    wanted = make(tmp_path).model.state_dict()
    model, _, size = load_apple(tmp_path)
    got = model.state_dict()
    assert set(got) == set(wanted)
    assert {tensor.dtype for tensor in got.values() if tensor.is_floating_point()} == {dtype}
    assert [name for name in wanted if not torch.equal(got[name].float(), wanted[name].float())] == []
    assert size == SIZE


def test_tower_is_described_by_its_weights_and_text_by_the_config(tmp_path: Path) -> None:
    make_apple(tmp_path)
    model, *_ = load_apple(tmp_path)
    config: Any = model.config
    arguments = config.vision_config.model_args
    assert (arguments["layers"], arguments["embed_dims"]) == (list(LAYERS), list(WIDTHS))
    assert config.vision_config.hidden_size == 2 * WIDTHS[-1]
    assert config.text_config.rope_parameters["rope_theta"] == 5000.0
    assert config.tie_word_embeddings is False


def test_stored_head_of_a_tied_model_is_not_taken(tmp_path: Path) -> None:
    make_apple_tied(tmp_path)
    rewrite(tmp_path, lambda weights: weights.update({"lm_head.weight": weights["model.embed_tokens.weight"] * 2}))
    model, *_ = load_apple(tmp_path)
    assert model.lm_head.weight.data_ptr() == model.model.language_model.embed_tokens.weight.data_ptr()
    stored = load_file(tmp_path / "model.safetensors")["model.embed_tokens.weight"]
    torch.testing.assert_close(model.lm_head.weight.detach(), stored)


def test_model_without_a_head_is_tied_whatever_its_config_says(tmp_path: Path) -> None:
    make_apple_tied(tmp_path)
    edit(tmp_path / "config.json", lambda config: config.pop("tie_word_embeddings"))
    model, *_ = load_apple(tmp_path)
    assert model.lm_head.weight.data_ptr() == model.model.language_model.embed_tokens.weight.data_ptr()


@pytest.mark.parametrize(
    "name",
    [
        "model.image_newline",
        "model.mm_projector.4.weight",
        TOWER + "network.11.0.layer_scale",
        TOWER + "network.0.0.token_mixer.mixer.rbr_skip.weight",
        "model.layers.7.self_attn.q_proj.weight",
    ],
)
def test_tensor_without_a_place_is_refused_by_its_own_name(name: str, tmp_path: Path) -> None:
    make_apple_tied(tmp_path)
    rewrite(tmp_path, lambda weights: weights.update({name: torch.zeros(3)}))
    assert f"no place for: {name}" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "model.norm.weight",
        "model.mm_projector.2.bias",
        TOWER + "network.9.reparam_conv.weight",
        TOWER + "conv_exp.se.reduce.bias",
    ],
)
def test_missing_tensor_is_refused(name: str, tmp_path: Path) -> None:
    make_apple_tied(tmp_path)
    rewrite(tmp_path, lambda weights: weights.pop(name))
    said = refusal(tmp_path)
    ours = apple_name(name)
    assert ours is not None
    assert f"no weights for {ours.removeprefix('model.')}" in said


def test_tensor_of_another_shape_is_refused(tmp_path: Path) -> None:
    make_apple_tied(tmp_path)
    name = "model.layers.0.self_attn.q_proj.weight"
    rewrite(tmp_path, lambda weights: weights.update({name: torch.zeros(64, 32)}))
    said = refusal(tmp_path)
    assert f"{name} has shape (64, 32), the config asks for (64, 64)" in said


def test_tower_that_is_not_reparameterized_is_refused(tmp_path: Path) -> None:
    make_apple_tied(tmp_path)

    def train_again(weights: dict[str, torch.Tensor]) -> None:
        stem = TOWER + "patch_embed.0."
        weights[stem + "rbr_conv.0.conv.weight"] = weights.pop(stem + "reparam_conv.weight")

    rewrite(tmp_path, train_again)
    said = refusal(tmp_path)
    assert "no weights for" in said
    assert "reparameterized" in said


def test_config_that_no_model_can_have_is_refused(tmp_path: Path) -> None:
    make_apple_tied(tmp_path)
    edit(tmp_path / "config.json", lambda config: config.update(num_attention_heads=0))
    assert "config.json does not describe these weights" in refusal(tmp_path)


@pytest.mark.parametrize(
    "tower", ["openai/clip-vit-large-patch14-336", "google/siglip-so400m-patch14-384", "mobileclip_b_1024", None]
)
def test_other_vision_tower_is_refused_by_name(tower: str | None, tmp_path: Path) -> None:
    make_apple_tied(tmp_path)
    edit(tmp_path / "config.json", lambda config: config.update(mm_vision_tower=tower))
    assert find_family(tmp_path).name == "fastvlm"
    said = refusal(tmp_path)
    assert f"vision tower {tower!r}" in said
    assert "mobileclip_l" in said


def test_path_before_the_name_of_the_tower_does_not_matter(tmp_path: Path) -> None:
    make_apple_tied(tmp_path)
    edit(tmp_path / "config.json", lambda config: config.update(mm_vision_tower="/data/towers/mobileclip_l_192"))
    assert load_apple(tmp_path)[2] == 192


def test_table_without_a_row_for_the_image_token_is_refused(tmp_path: Path) -> None:
    make_apple_tied(tmp_path)
    ids = json.loads((tmp_path / "added_tokens.json").read_text(encoding="utf-8"))
    rows = max(ids.values()) + 1
    name = "model.embed_tokens.weight"
    rewrite(tmp_path, lambda weights: weights.update({name: weights[name][:rows].clone()}))
    edit(tmp_path / "config.json", lambda config: config.update(vocab_size=rows))
    said = refusal(tmp_path)
    assert f"no row for <image> in its embedding table of {rows}" in said


@pytest.mark.slow
def test_code_of_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    checkpoint, marker = tmp_path / "checkpoint", tmp_path / "marker"
    checkpoint.mkdir()
    make_apple_tied(checkpoint)
    code = checkpoint / "llava_qwen.py"
    code.write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n", encoding="utf-8")
    assert json.loads((checkpoint / "config.json").read_text())["auto_map"]["AutoConfig"].startswith("llava_qwen.")
    folder = export(str(checkpoint), out=tmp_path / "web").path
    assert not marker.exists()
    for file in folder.glob("*.json"):
        assert "auto_map" not in file.read_text(encoding="utf-8")
    assert not list(folder.rglob("*.py"))
    subprocess.run([sys.executable, str(code)], check=True)
    assert marker.exists(), "the code would have left a trace"


@pytest.mark.slow
def test_files_that_apple_lacks_are_made(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    make_apple(checkpoint)
    assert not (checkpoint / "tokenizer.json").exists()
    assert not (checkpoint / "preprocessor_config.json").exists()
    folder = export(str(checkpoint), out=tmp_path / "web").path
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlavaQwen2ForCausalLM"]
    tokens = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    image = next(token for token in tokens if token["content"] == "<image>")
    known = json.loads((checkpoint / "added_tokens.json").read_text(encoding="utf-8"))
    assert image["special"]
    assert image["id"] == config["image_token_index"] == max(known.values()) + 1
    assert {token["content"]: token["id"] for token in tokens if token["content"] in known} == known
    facts = read_manifest(folder).image
    assert (facts.width, facts.height, facts.tokens) == (SIZE, SIZE, 4)
    assert (facts.fit, facts.resample) == ("letterbox", "bicubic")
