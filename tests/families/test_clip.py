"""CLIP in both layouts: which one is read, where texts are read, what pictures become, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from tokenizers import Tokenizer

from builder.errors import CheckpointError
from builder.families._contract import Parts
from builder.families._dual import DualShapes
from builder.families.clip import TextModel
from tests.checkpoints._case import DualEncoder
from tests.checkpoints._clip import CONTEXT, END, VOCABULARY, save_open_clip, text_cfg
from tests.checkpoints.clip import (
    EDGE,
    MEAN,
    STD,
    clip_model,
    make_both_layouts,
    make_new,
    make_old,
    make_open_clip,
    vision_cfg,
)
from tests.families._edit import edit, load

END_ID = VOCABULARY - 1
LAYOUTS = pytest.mark.parametrize("make", (make_old, make_new, make_open_clip))
Make = Callable[[Path], DualEncoder]


def outputs(parts: Parts, component: str, given: torch.Tensor) -> torch.Tensor:
    encoder = next(encoder for encoder in parts.encoders if encoder.name == component)
    with torch.no_grad():
        answer: torch.Tensor = encoder.module.float()(given)
    return answer


def captions(length: int) -> torch.Tensor:
    """Ids [3, length] without an end mark."""
    return torch.randint(5, 400, (3, length), generator=torch.Generator().manual_seed(0))


@LAYOUTS
def test_short_text_gives_the_vector_of_the_padded_one(make: Make, tmp_path: Path) -> None:
    reference = make(tmp_path)
    short = torch.cat([captions(4), torch.full((3, 1), END_ID)], dim=1)
    padded = torch.cat([short, torch.full((3, CONTEXT - 5), END_ID)], dim=1)
    with torch.no_grad():
        wanted = reference.texts(padded)
    torch.testing.assert_close(outputs(load(tmp_path), "text_model", short), wanted, atol=1e-5, rtol=1e-5)


@LAYOUTS
def test_text_that_lost_its_end_mark_gives_the_vector_of_the_truncated_one(make: Make, tmp_path: Path) -> None:
    reference = make(tmp_path)
    cut = captions(CONTEXT)
    truncated = torch.cat([cut[:, :-1], torch.full((3, 1), END_ID)], dim=1)
    with torch.no_grad():
        wanted = reference.texts(truncated)
    torch.testing.assert_close(outputs(load(tmp_path), "text_model", cut), wanted, atol=1e-5, rtol=1e-5)


def test_text_is_read_at_the_end_mark_that_the_config_names() -> None:
    model = clip_model(legacy=False).eval()
    end = 7
    model.text_model.eos_token_id = end
    shapes = DualShapes(vocab_size=VOCABULARY, context=CONTEXT, eos_token_id=end, pad_token_id=end, image_size=EDGE)
    ids = captions(CONTEXT) + 10  # ids beyond the end mark, which the reading of old checkpoints would fall for
    ids[:, 5] = end
    with torch.no_grad():
        wanted = model.get_text_features(input_ids=ids).pooler_output
        found = TextModel(model, shapes, end=end)(ids)
        old = TextModel(model, shapes, end=2)(ids)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(old, wanted, atol=1e-2)


def test_repository_of_both_layouts_is_read_in_that_of_its_weights(tmp_path: Path) -> None:
    reference = make_both_layouts(tmp_path)
    pixels = torch.randn(1, 3, EDGE, EDGE)
    with torch.no_grad():
        wanted = reference.images(pixels)
    torch.testing.assert_close(outputs(load(tmp_path), "vision_model", pixels), wanted, atol=1e-5, rtol=1e-5)
    (tmp_path / "open_clip_model.safetensors").unlink()
    assert outputs(load(tmp_path), "vision_model", pixels).shape == (1, 48)  # the width of the other model


def test_pooling_by_attention_agrees_with_open_clip(tmp_path: Path) -> None:
    vision = {**vision_cfg(), "attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 4}
    config = {"embed_dim": 48, "vision_cfg": vision, "text_cfg": text_cfg()}
    reference = save_open_clip(tmp_path, config, {"mean": MEAN, "std": STD})
    pixels = torch.randn(2, 3, EDGE, EDGE)
    with torch.no_grad():
        wanted = reference.images(pixels)
    torch.testing.assert_close(outputs(load(tmp_path), "vision_model", pixels), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "fit", "resample"),
    ((make_old, "crop", "bicubic"), (make_new, "crop", "bicubic"), (make_open_clip, "stretch", "bicubic")),
)
def test_picture_is_fitted_as_the_checkpoint_says(make: Make, fit: str, resample: str, tmp_path: Path) -> None:
    make(tmp_path)
    image = load(tmp_path).image
    assert (image.width, image.height, image.fit, image.resample) == (EDGE, EDGE, fit, resample)


def test_sizes_of_old_configs_are_written_in_todays_words(tmp_path: Path) -> None:
    make_old(tmp_path)
    written = load(tmp_path).configs["preprocessor_config.json"]
    assert written["size"] == {"shortest_edge": EDGE}
    assert written["crop_size"] == {"height": EDGE, "width": EDGE}
    assert written["image_processor_type"] == "CLIPImageProcessor"
    assert written["do_rescale"] is True


def test_values_that_a_config_leaves_out_are_those_of_transformers(tmp_path: Path) -> None:
    make_new(tmp_path)
    path = tmp_path / "processor_config.json"
    pictures = json.loads(path.read_text(encoding="utf-8"))["image_processor"]
    edit(path, image_processor={k: v for k, v in pictures.items() if k not in ("image_mean", "image_std", "resample")})
    written = load(tmp_path).configs["preprocessor_config.json"]
    assert list(written["image_mean"]) == MEAN and list(written["image_std"]) == STD and written["resample"] == 3


def test_tokenizer_of_a_web_model_ends_and_pads_texts_on_the_right(tmp_path: Path) -> None:
    make_new(tmp_path)
    edit(tmp_path / "tokenizer_config.json", padding_side="left", model_max_length=10**30)
    settings = load(tmp_path).tokenizer_settings
    assert settings["padding_side"] == "right" and settings["model_max_length"] == CONTEXT
    assert settings["eos_token"] == settings["pad_token"] == END


def test_open_clip_repository_without_tokenizer_gets_clips_own(tmp_path: Path) -> None:
    config = {"embed_dim": 48, "vision_cfg": vision_cfg(), "text_cfg": text_cfg(vocab_size=49408, layers=1)}
    save_open_clip(tmp_path, config, {"mean": MEAN, "std": STD}, tokenizer=False)
    tokenizer = load(tmp_path).tokenizer
    assert isinstance(tokenizer, Tokenizer)
    reference = open_clip.SimpleTokenizer()
    for text in ("a photo of two cats", "It's 3 o'clock!", "naïve Straßencafé", "  an   image\nof 日本 "):
        assert tokenizer.encode(text).ids == [49406, *reference.encode(text.strip()), 49407]


def rewrite(folder: Path, part: str, **changes: object) -> None:
    """Change ``part`` of an open_clip_config.json."""
    path = folder / "open_clip_config.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    target = raw if part == "" else raw[part] if part == "preprocess_cfg" else raw["model_cfg"][part]
    target.update(changes)
    path.write_text(json.dumps(raw), encoding="utf-8")


@pytest.mark.parametrize(
    ("part", "changes", "named"),
    (
        ("text_cfg", {"hf_model_name": "roberta-base"}, "the text tower roberta-base"),
        ("text_cfg", {"hf_tokenizer_name": "google/mt5-base"}, "another tokenizer than CLIP's"),
        ("text_cfg", {"pool_type": "last"}, "texts pooled by 'last'"),
        ("text_cfg", {"embed_cls": True}, "captioning decoder"),
        ("vision_cfg", {"layers": [3, 4, 6, 3]}, "a ResNet"),
        ("vision_cfg", {"image_size": [64, 128]}, "an image tower of"),
        ("vision_cfg", {"no_such_thing": 1}, "open_clip cannot build"),
        ("preprocess_cfg", {"resize_mode": "longest"}, "longest edge"),
    ),
)
def test_open_clip_variant_that_is_not_supported_is_named(
    part: str, changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    make_open_clip(tmp_path)
    rewrite(tmp_path, part, **changes)
    with pytest.raises(CheckpointError, match=named) as raised:
        load(tmp_path)
    assert raised.value.hint


def test_open_clip_weights_that_contradict_the_config_are_named(tmp_path: Path) -> None:
    make_open_clip(tmp_path)
    rewrite(tmp_path, "text_cfg", layers=3)
    with pytest.raises(CheckpointError, match=r"no weights for transformer\.resblocks\.2"):
        load(tmp_path)
    rewrite(tmp_path, "text_cfg", layers=1)
    with pytest.raises(CheckpointError, match=r"no place for: transformer\.resblocks\.1"):
        load(tmp_path)


def test_end_mark_that_tokenizer_and_config_disagree_on_is_refused(tmp_path: Path) -> None:
    make_new(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    edit(tmp_path / "config.json", text_config={**config["text_config"], "eos_token_id": 9})
    with pytest.raises(CheckpointError, match=f"token {END_ID} .* with 9 for config.json"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "named"),
    (
        ({"crop_size": 224}, "makes pictures of .*224.* for a vision tower of 64"),
        ({"feature_extractor_type": "FlavaFeatureExtractor"}, "has the image processor 'Flava'"),
    ),
)
def test_image_processor_that_does_not_fit_the_model_is_named(
    changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    make_old(tmp_path)
    edit(tmp_path / "preprocessor_config.json", **changes)
    with pytest.raises(CheckpointError, match=named) as raised:
        load(tmp_path)
    assert raised.value.hint


def test_checkpoint_without_image_processor_is_refused(tmp_path: Path) -> None:
    make_old(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match="no image processor"):
        load(tmp_path)
