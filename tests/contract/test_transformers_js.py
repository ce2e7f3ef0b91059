"""transformers.js itself, in Node on the CPU, loads the embedded models and answers as onnxruntime does in Python."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builder.embedded.painting import render
from builder.embedded.scenes import DESCRIBE
from builder.embedded.score import Captioner, Matcher, held_out_scenes, uniform
from builder.manifest import SUFFIXES, read_manifest
from builder.quantize.recipe import suits
from builder.site import build

WEB_TEMPLATE = Path(__file__).parents[2] / "web_template"
pytestmark = pytest.mark.slow


def run_model(
    node: str, folder: Path, dtype: dict[str, str], images: list[Image.Image], texts: list[str], scratch: Path
) -> object:
    manifest = read_manifest(folder)
    files = []
    for number, image in enumerate(images):
        files.append(str(scratch / f"{number}.rgb"))
        Path(files[-1]).write_bytes(image.tobytes())
    request = {
        "web_template": str(WEB_TEMPLATE),
        "models": str(folder.parent),
        "name": folder.name,
        "dtype": dtype,
        "task": manifest.task,
        "size": manifest.image.width,
        "context": manifest.context.text_tokens,
        "images": files,
        "texts": texts,
    }
    command = [node, str(Path(__file__).with_name("run_model.mjs")), json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("dtype", SUFFIXES)
def test_captions_in_node_are_those_of_onnxruntime(
    dtype: str, quantized_models: dict[str, Path], node: str, tmp_path: Path
) -> None:
    folder = quantized_models["scenes-vlm"]
    size = read_manifest(folder).image.width
    images = [render(scene, size) for scene in held_out_scenes(8)]
    components = read_manifest(folder).components
    dtypes = {name: dtype if dtype in variants else "q8" for name, variants in components.items()}
    model = Captioner(folder, dtypes)
    expected = [model.answer(model.features(image), DESCRIBE) for image in images]
    got = run_model(node, folder, dtypes, images, [DESCRIBE], tmp_path)
    assert got == expected
    assert len(set(expected)) > 4, "the model says the same of every picture"


@pytest.mark.parametrize("dtype", [dtype for dtype in SUFFIXES if suits(dtype, "text_model")])
def test_rankings_in_node_are_those_of_onnxruntime(
    dtype: str, quantized_models: dict[str, Path], node: str, tmp_path: Path
) -> None:
    folder = quantized_models["scenes-clip"]
    size = read_manifest(folder).image.width
    scenes = held_out_scenes(24, different=True)
    images = [render(scene, size) for scene in scenes]
    texts = [scene.caption for scene in scenes]
    model = Matcher(folder, uniform(folder, dtype))
    expected = model.texts(texts) @ model.images(images).T
    got = run_model(node, folder, uniform(folder, dtype), images, texts, tmp_path)
    assert isinstance(got, dict)
    rows, columns = (np.array(got[key], np.float64) for key in ("texts", "images"))
    rows, columns = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (rows, columns))
    ranking = rows @ columns.T
    np.testing.assert_allclose(ranking, expected, atol=5e-3)
    assert (ranking.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.95


def test_vectors_that_come_with_a_site_are_those_that_its_page_would_compute(
    quantized_models: dict[str, Path], node: str, tmp_path: Path
) -> None:
    site = build("photo-search", model=quantized_models["scenes-clip"], out=tmp_path / "site").path
    request = {
        "web_template": str(WEB_TEMPLATE),
        "models": str(site / "models"),
        "name": "scenes-clip",
        "dtypes": sorted(read_manifest(site / "models/scenes-clip").components["text_model"]),
    }
    command = [node, str(Path(__file__).with_name("embed_sentences.mjs")), json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    least = json.loads(done.stdout)
    assert sorted(least) == request["dtypes"]
    assert all(cosine is not None and cosine >= 0.999 for cosine in least.values()), least
