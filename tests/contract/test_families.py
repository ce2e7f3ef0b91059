"""transformers.js itself, in Node on the CPU, loads every exported layout and answers as PyTorch does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from builder.manifest import Manifest, read_manifest
from tests.checkpoints import CASES, Captioner, DualEncoder
from tests.checkpoints._case import assert_apart, assert_telling
from tests.checkpoints._exported import Exported

WEB_TEMPLATE = Path(__file__).parents[2] / "web_template"
NEW_TOKENS = 32
QUESTION, FOLLOW_UP = "what is in the picture ?", "how many cups are there ?"
LABELS = ["a red cup", "a blue ball on the sign", "dog"]

pytestmark = pytest.mark.slow


def run(node: str, folder: Path, manifest: Manifest, scratch: Path) -> tuple[dict[str, Any], torch.Tensor]:
    """The answers of transformers.js, and the pixels that its processor made of a picture of the model's size."""
    size = manifest.image
    picture, pixels = scratch / "picture.rgb", scratch / "pixels.f32"
    noise = np.random.default_rng(2).integers(0, 256, size=(size.height, size.width, 3), dtype=np.uint8)
    picture.write_bytes(noise.tobytes())
    captions = manifest.task == "image-text-to-text"
    request = {
        "web_template": str(WEB_TEMPLATE),
        "models": str(folder.parent),
        "name": folder.name,
        "task": manifest.task,
        "model_type": manifest.model_type,
        "context": manifest.context.text_tokens,
        "image": {"file": str(picture), "width": size.width, "height": size.height},
        "texts": [QUESTION, FOLLOW_UP] if captions else LABELS,
        "new_tokens": NEW_TOKENS,
        "pixels_out": str(pixels),
    }
    command = [node, str(Path(__file__).with_name("run_checkpoint.mjs")), json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    values = np.fromfile(pixels, np.float32).reshape(1, 3, size.height, size.width)
    settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    mean, std = (np.array(settings[key], np.float32) for key in ("image_mean", "image_std"))
    np.testing.assert_allclose(values[0].transpose(1, 2, 0), (noise / np.float32(255) - mean) / std, atol=1e-5)
    return json.loads(done.stdout.splitlines()[-1]), torch.from_numpy(values)


@pytest.mark.parametrize("name", CASES)
def test_transformers_js_answers_as_pytorch_does(
    name: str, node: str, exported_case: Callable[[str], Exported], tmp_path: Path
) -> None:
    case = exported_case(name)
    manifest = read_manifest(case.path)
    answer, pixels = run(node, case.path, manifest, tmp_path)
    if isinstance(case.reference, Captioner):
        compare_tokens(answer, pixels, case.reference)
    else:
        compare_vectors(answer, pixels, case.reference, manifest)


def compare_tokens(answer: dict[str, Any], pixels: torch.Tensor, reference: Captioner) -> None:
    prompt, first, asked, second = (answer[key] for key in ("prompt", "first", "asked", "second"))
    assert first[: len(prompt)] == prompt
    assert first[len(prompt) :] == reference.generate(prompt, pixels, NEW_TOKENS)
    assert second[: len(first) + len(asked)] == [*first, *asked]
    made = first[len(prompt) :], second[len(first) + len(asked) :]
    assert made[1] == reference.generate([*first, *asked], pixels, NEW_TOKENS)
    assert_telling(reference, prompt, pixels, made[0], asked, made[1])


def compare_vectors(answer: dict[str, Any], pixels: torch.Tensor, reference: DualEncoder, manifest: Manifest) -> None:
    ids = torch.tensor(answer["input_ids"])
    with torch.no_grad():
        texts, images = reference.texts(ids).numpy(), reference.images(pixels).numpy()
        logits = reference.logits(ids, pixels)[0]
    assert_apart(texts)
    np.testing.assert_allclose(answer["texts"], texts, atol=1e-4 * np.abs(texts).max())
    np.testing.assert_allclose(answer["images"], images, atol=1e-4 * np.abs(images).max())
    np.testing.assert_allclose(answer["features"], images, atol=1e-4 * np.abs(images).max())
    wanted = logits.sigmoid() if manifest.model_type == "siglip" else logits.softmax(dim=0)
    scores = {entry["label"]: entry["score"] for entry in answer["scores"]}
    np.testing.assert_allclose([scores[label] for label in LABELS], wanted.numpy(), atol=1e-4)
