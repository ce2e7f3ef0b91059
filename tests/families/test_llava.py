"""LLaVA beyond the common tests: which towers and decoders, which rows, which configs are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from builder.errors import CheckpointError
from builder.export import export
from builder.families import Parts, find_family
from builder.manifest import read_manifest
from builder.sessions import Session
from tests.checkpoints._case import Captioner, write_json
from tests.checkpoints.llava import make_llava, make_llava_siglip, make_onevision

MOST_NODES_PER_LAYER = 12
MOST_NODES_PER_TOWER_LAYER = 30

Change = Callable[[dict[str, Any]], object]


def edit(path: Path, change: Change) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    write_json(path, value)


def load(folder: Path) -> Parts:
    family = find_family(folder)
    assert family.name == "llava"
    return family.load(folder)


def refusal(folder: Path) -> str:
    """What the family says of a folder that it refuses, with the hint."""
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    assert caught.value.hint
    return f"{caught.value.message} | {caught.value.hint}"


def config_of(**changes: object) -> Change:
    return lambda config: config.update(changes)


def part_of(part: str, **changes: object) -> Change:
    return lambda config: config[part].update(changes)


def rows_of(parts: Parts, pixels: torch.Tensor) -> torch.Tensor:
    encoder = parts.encoders[0].module.float()
    with torch.no_grad():
        rows: torch.Tensor = encoder(pixels)
    return rows


def expected_by_transformers_js(parts: Parts) -> int:
    """The arithmetic of LlavaProcessor in transformers.js."""
    settings = parts.configs["processor_config.json"]
    side = parts.image.width // int(settings["patch_size"])
    return side * side + int(settings["num_additional_image_tokens"])


@pytest.mark.parametrize(
    ("make", "strategy", "extra"),
    [
        (make_llava, "default", 0),
        (make_llava, "full", 1),
        (make_llava_siglip, "full", 0),
        (make_llava_siglip, "default", -1),
        (make_onevision, "full", 1),
        (make_onevision, "default", 0),
    ],
)
def test_rows_are_those_of_pytorch_and_of_the_processor(
    make: Callable[[Path], Captioner], strategy: str, extra: int, tmp_path: Path
) -> None:
    reference = make(tmp_path)
    edit(tmp_path / "config.json", config_of(vision_feature_select_strategy=strategy))
    reference.model.config.vision_feature_select_strategy = strategy
    parts = load(tmp_path)
    assert parts.configs["processor_config.json"]["num_additional_image_tokens"] == extra
    pixels = torch.randn(1, 3, parts.image.height, parts.image.width)
    rows = rows_of(parts, pixels)[0]
    with torch.no_grad():
        torch.testing.assert_close(rows, reference.features(pixels), rtol=1e-4, atol=1e-5)
    assert len(rows) == parts.image.tokens == expected_by_transformers_js(parts)
    assert 0.1 < float(rows.std()) < 10


@pytest.mark.parametrize("layers", [3, -3, [1, -1], [-2, -2, 0]])
def test_feature_layers_are_those_of_pytorch(layers: int | list[int], tmp_path: Path) -> None:
    make_llava(tmp_path)
    width = 48 * (1 if isinstance(layers, int) else len(layers))
    edit(tmp_path / "config.json", config_of(vision_feature_layer=layers))
    for file in tmp_path.glob("*.safetensors"):
        weights = load_file(file)
        if (name := "multi_modal_projector.linear_1.weight") in weights:
            weights[name] = torch.randn(64, width) * width**-0.5
        save_file(weights, file, metadata={"format": "pt"})
    from transformers import LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(tmp_path)
    pixels = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        wanted = torch.stack(list(model.get_image_features(pixels, return_dict=True).pooler_output))
    torch.testing.assert_close(rows_of(load(tmp_path), pixels), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_onevision_gives_the_rows_of_a_picture_among_several(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    model = make_onevision(checkpoint).model
    folder = export(str(checkpoint), out=tmp_path / "web").path
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        asked = model.get_image_features(
            pixels, image_sizes=torch.tensor([[64, 64]] * 2), batch_num_images=[2], return_dict=True
        )
    got = Session(folder / "onnx/vision_encoder.onnx").run({"pixel_values": pixels.numpy()})["image_features"]
    wanted = torch.stack(list(asked.pooler_output))
    assert wanted.shape == (2, 17, 64)
    torch.testing.assert_close(torch.from_numpy(got), wanted, rtol=1e-4, atol=1e-4)
    assert read_manifest(folder).image.fit == "stretch"
    settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    assert settings["image_processor_type"] == "SiglipImageProcessor"
    assert not {"do_pad", "image_grid_pinpoints"} & set(settings)
    nodes = onnx.load(folder / "onnx/vision_encoder.onnx", load_external_data=False).graph.node
    projector_and_rest = 15
    assert len(nodes) <= 3 * MOST_NODES_PER_TOWER_LAYER + projector_and_rest


def count_decoder_nodes(folder: Path) -> int:
    return len(onnx.load(folder / "onnx/decoder_model_merged.onnx", load_external_data=False).graph.node)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["llama", "mistral", "qwen2"])
def test_decoder_has_few_nodes_per_layer(decoder: str, tmp_path: Path) -> None:
    nodes = {}
    for layers in (2, 4):
        checkpoint = tmp_path / f"{layers}-layers"
        checkpoint.mkdir()
        make_llava(checkpoint, model_type=decoder, num_hidden_layers=layers)
        folder = export(str(checkpoint)).path
        nodes[layers] = count_decoder_nodes(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        assert config["text_config"]["model_type"] == decoder
        assert config["text_config"]["num_hidden_layers"] == layers
    assert 0 < nodes[4] - nodes[2] <= 2 * MOST_NODES_PER_LAYER


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (part_of("text_config", model_type="phi3"), ("decoder of type 'phi3'", "llama, mistral, qwen2")),
        (part_of("vision_config", model_type="pixtral"), ("vision tower of type 'pixtral'", "siglip_vision_model")),
        (config_of(vision_feature_layer=-5), ("layer -5 of a tower of 3", "between -4 and 3")),
        (config_of(image_token_index=5), ("token 5", "image_token_index")),
        (config_of(image_token_index=4000), ("token 4000, which stands for a picture, is None", "352 rows")),
        (part_of("vision_config", num_hidden_layers=2), ("vision_tower", "config.json does not describe")),
        (part_of("text_config", num_hidden_layers=3), ("no weights for", "config.json does not describe")),
        (
            part_of("text_config", intermediate_size=80),
            ("down_proj.weight has shape (64, 96)", "config.json does not describe"),
        ),
    ],
)
def test_config_that_contradicts_the_checkpoint_is_refused(
    change: Change, words: tuple[str, ...], tmp_path: Path
) -> None:
    make_llava(tmp_path, num_key_value_heads=4)
    edit(tmp_path / "config.json", change)
    said = refusal(tmp_path)
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (config_of(crop_size={"height": 48, "width": 48}), ("48", "56 × 56", '"crop_size"')),
        (config_of(do_center_crop=False), ("'shortest_edge': 56", "56 × 56", '"size"')),
        (config_of(image_processor_type="LlavaImageProcessor", do_pad=True), ("pads pictures", '"do_pad" to false')),
        (config_of(image_processor_type="PixtralImageProcessor"), ("PixtralImageProcessor", "CLIPImageProcessor")),
        (lambda settings: settings.clear(), ("no image processor", "save the processor")),
    ],
)
def test_image_processor_that_does_not_fit_is_refused(change: Change, words: tuple[str, ...], tmp_path: Path) -> None:
    make_llava(tmp_path)
    edit(tmp_path / "preprocessor_config.json", change)
    said = refusal(tmp_path)
    assert [word for word in words if word not in said] == []


def test_plain_numbers_of_old_image_processors_become_sides(tmp_path: Path) -> None:
    make_llava(tmp_path)
    wanted = load(tmp_path)
    write_json(
        tmp_path / "preprocessor_config.json",
        {"feature_extractor_type": "CLIPFeatureExtractor", "crop_size": 56, "do_center_crop": True, "size": 56},
    )
    parts = load(tmp_path)
    assert parts.configs["preprocessor_config.json"] == wanted.configs["preprocessor_config.json"]
    assert parts.image == wanted.image


def test_silent_image_processor_is_completed_as_transformers_completes_it(tmp_path: Path) -> None:
    """transformers.js takes other values for what a config leaves out, and does not normalise."""
    make_onevision(tmp_path)
    write_json(
        tmp_path / "preprocessor_config.json",
        {"image_processor_type": "LlavaOnevisionImageProcessor", "size": {"shortest_edge": 64}},
    )
    from transformers import LlavaOnevisionImageProcessor

    theirs = LlavaOnevisionImageProcessor()
    ours = load(tmp_path).configs["preprocessor_config.json"]
    for key in ("do_normalize", "do_rescale", "do_resize", "do_convert_rgb", "rescale_factor", "resample"):
        assert ours[key] == getattr(theirs, key), key
    for key in ("image_mean", "image_std"):
        assert list(ours[key]) == list(getattr(theirs, key)), key
    assert ours["size"] == {"height": 64, "width": 64}


@pytest.mark.parametrize(
    "name", ["vision_tower.vision_model.embeddings.position_ids", "vision_tower.vision_model.head.probe"]
)
def test_tensor_without_use_is_dropped(name: str, tmp_path: Path) -> None:
    make_onevision(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    wanted = rows_of(load(tmp_path), torch.ones(1, 3, 64, 64))
    save_file({**weights, name: torch.zeros(1, 1, 48)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    torch.testing.assert_close(rows_of(load(tmp_path), torch.ones(1, 3, 64, 64)), wanted)


def test_tensor_without_a_place_is_refused(tmp_path: Path) -> None:
    make_onevision(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        {**weights, "vision_resampler.weight": torch.zeros(3, 3)},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    assert "no place for: vision_resampler.weight" in refusal(tmp_path)


@pytest.mark.parametrize("where", ["generation", "text", "tokenizer"])
def test_end_of_answers_is_found_wherever_the_checkpoint_says_it(where: str, tmp_path: Path) -> None:
    make_onevision(tmp_path)
    end = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["text_config"]["eos_token_id"]
    if where != "generation":
        (tmp_path / "generation_config.json").unlink()
    if where == "tokenizer":
        edit(tmp_path / "config.json", lambda config: config["text_config"].pop("eos_token_id"))
    ends = load(tmp_path).configs["generation_config.json"]["eos_token_id"]
    assert end in (ends if isinstance(ends, list) else [ends])


def test_config_of_the_web_model_names_no_text_model(tmp_path: Path) -> None:
    """transformers.js loads only the text model where the first architecture ends in ForCausalLM."""
    for make, name in ((make_llava, "LlavaForConditionalGeneration"), (make_onevision, None)):
        folder = tmp_path / make.__name__
        folder.mkdir()
        make(folder)
        edit(folder / "config.json", config_of(architectures=["LlavaLlamaForCausalLM"]))
        config = load(folder).configs["config.json"]
        assert config["architectures"] == [name or "LlavaOnevisionForConditionalGeneration"]
        assert config["text_config"]["head_dim"] == 16
