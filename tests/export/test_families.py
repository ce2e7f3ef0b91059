"""Every layout of every family, exported and compared with PyTorch on the same inputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from builder.export.lint import check
from builder.families import all_families, find_family
from builder.manifest import read_manifest
from builder.sessions import Session
from tests.checkpoints import CASES, Captioner, DualEncoder
from tests.checkpoints._case import assert_apart, assert_telling
from tests.checkpoints._exported import Exported
from tests.checkpoints._web import WebCaptioner

ExportCase = Callable[[str], Exported]

NEW_TOKENS = 32
FEATURE_TOLERANCE = 1e-4
LOGIT_TOLERANCE = 1e-3
UNSTATED_LICENCE = "TJS922"
"""The tiny checkpoints have none."""
LEAST_SPREAD, GREATEST_SPREAD = 0.05, 20.0
"""Standard deviation of what is compared: agreement of vanishing outputs would prove nothing."""

pytestmark = pytest.mark.slow


def pixels_for(folder: Path, seed: int = 3) -> np.ndarray:
    image = read_manifest(folder).image
    return np.random.default_rng(seed).standard_normal((1, 3, image.height, image.width)).astype(np.float32)


def assert_close(got: np.ndarray, wanted: np.ndarray, tolerance: float) -> None:
    assert got.shape == wanted.shape
    assert LEAST_SPREAD < wanted.std() < GREATEST_SPREAD, f"outputs of order {wanted.std():.1e} prove nothing"
    off = np.abs(got - wanted).max() / np.abs(wanted).max()
    assert off <= tolerance, f"off by {off:.1e} of the largest value"


def test_every_family_has_a_case() -> None:
    assert {case.family for case in CASES.values()} == set(all_families())


@pytest.mark.parametrize("name", CASES)
def test_exported_checkpoint_is_recognised_and_agrees_with_pytorch(name: str, exported_case: ExportCase) -> None:
    case = exported_case(name)
    assert find_family(case.checkpoint).name == CASES[name].family == read_manifest(case.path).family
    if isinstance(case.reference, Captioner):
        compare_captioner(case.path, case.reference)
    else:
        compare_dual_encoder(case.path, case.reference)


def compare_captioner(path: Path, reference: Captioner) -> None:
    web = WebCaptioner(path)
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    text = config.get("text_config", config)
    pixels = pixels_for(path)
    features = web.features(pixels)
    with torch.no_grad():
        wanted = reference.features(torch.from_numpy(pixels)).numpy()
    assert_close(features, wanted.reshape(features.shape), FEATURE_TOLERANCE)
    assert len(features) == read_manifest(path).image.tokens

    rng = np.random.default_rng(5)
    words = [int(i) for i in rng.integers(5, 200, size=9)]
    prompt = [*words[:4], *[web.image_token] * len(features), *words[4:]]
    given = torch.from_numpy(pixels)
    with torch.no_grad():
        answer = reference.model(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            **reference.inputs(given),
        )
    assert_close(web.step(prompt, features), answer.logits[0, -1].numpy(), LOGIT_TOLERANCE)
    web.forget()

    stops = reference.model.generation_config.eos_token_id
    banned = frozenset([stops] if isinstance(stops, int) else stops or [])
    first = web.generate(prompt, features, NEW_TOKENS, banned=banned)
    assert first == reference.generate(prompt, given, NEW_TOKENS)
    follow = [int(i) for i in rng.integers(5, 200, size=7)]
    second = web.generate([first[-1], *follow], None, NEW_TOKENS, banned=banned)
    assert second == reference.generate([*prompt, *first, *follow], given, NEW_TOKENS)
    assert_telling(reference, prompt, given, first, follow, second)
    assert int(text["num_hidden_layers"]) * 2 == len(web.cache)


def compare_dual_encoder(path: Path, reference: DualEncoder) -> None:
    manifest = read_manifest(path)
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))["text_config"]
    length = manifest.context.text_tokens
    rng = np.random.default_rng(1)
    end = config.get("eos_token_id")
    ids = rng.integers(5, 200, size=(3, length))
    if isinstance(end, int) and end < config["vocab_size"]:
        ids[np.arange(3), [4, 6, length - 1]] = end
    pixels = np.concatenate([pixels_for(path, seed) for seed in (3, 4)])
    texts = Session(path / "onnx/text_model.onnx").run({"input_ids": ids})
    images = Session(path / "onnx/vision_model.onnx").run({"pixel_values": pixels})
    got = Session(path / "onnx/model.onnx").run({"input_ids": ids, "pixel_values": pixels})
    with torch.no_grad():
        wanted_texts = reference.texts(torch.from_numpy(ids)).numpy()
        wanted_images = reference.images(torch.from_numpy(pixels)).numpy()
        logits = reference.logits(torch.from_numpy(ids), torch.from_numpy(pixels)).numpy()
    outputs = ("text_embeds", "image_embeds") if manifest.model_type == "clip" else ("pooler_output", "pooler_output")
    assert_apart(wanted_texts)
    assert_apart(wanted_images)
    assert_close(texts[outputs[0]], wanted_texts, FEATURE_TOLERANCE)
    assert_close(images[outputs[1]], wanted_images, FEATURE_TOLERANCE)
    assert_close(got["logits_per_image"], logits, FEATURE_TOLERANCE)
    np.testing.assert_allclose(got["logits_per_text"], got["logits_per_image"].T, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(got["text_embeds"], axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_exported_folder_passes_the_linter(name: str, exported_case: ExportCase) -> None:
    report = check(str(exported_case(name).path))
    told = [f"{f.code} {f.message}" for f in report.findings if f.severity != "info" and f.code != UNSTATED_LICENCE]
    assert told == []
