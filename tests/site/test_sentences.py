"""A site has its page's own sentences, with their vectors where the model that it carries runs here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.embedded import model_dir
from builder.manifest import read_manifest
from builder.paths import web_template
from builder.sentences import Sentences, read_sentences, sentences_record
from builder.site import build

PAGE = web_template() / "pages/photo-search"
CLIP = model_dir("scenes-clip")


def test_a_site_has_the_vectors_of_every_sentence_and_always_the_same(tmp_path: Path) -> None:
    said: list[str] = []
    first, second = (
        (build("photo-search", out=tmp_path / name, report=said.append).path / "models/scenes-clip/sentences.json")
        for name in ("a", "b")
    )
    assert first.read_bytes() == second.read_bytes()
    sentences = read_sentences(PAGE / "sentences.json")
    found = json.loads(first.read_text(encoding="utf-8"))
    assert (found["labels"], found["neutral"]) == (sentences.labels, list(sentences.neutral))
    (vectors,) = found["vectors"]
    assert vectors["towers"] == [read_manifest(CLIP).components["text_model"]["fp32"].sha256]
    assert list(vectors["codes"]) == sentences.all()
    assert said == ["building photo-search with scenes-clip"] * 2


def test_a_model_that_does_not_run_here_is_built_without_vectors_and_says_so(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    said: list[str] = []
    model = make_model(task="zero-shot-image-classification")
    site = build("photo-search", model=model, out=tmp_path / "site", report=said.append).path
    assert json.loads((site / "models/tiny-vlm/sentences.json").read_text(encoding="utf-8"))["vectors"] == []
    assert [line.split(",")[0] for line in said[1:]] == [
        f"without vectors of the page's labels by onnx/text_model_{name}.onnx" for name in ("q4", "quantized")
    ]


def test_another_sentence_has_a_vector_of_its_own_and_the_rest_keep_theirs() -> None:
    def codes(labels: dict[str, str]) -> dict[str, str]:
        record = sentences_record(Sentences(labels=labels, neutral=()), CLIP, read_manifest(CLIP), report=pytest.fail)
        (vectors,) = json.loads(json.dumps(record["vectors"]))
        return dict(vectors["codes"])

    before, after = codes({"dog": "a dog", "cup": "a cup"}), codes({"cup": "a cup", "dog": "a yellow dog"})
    assert list(after) == ["a cup", "a yellow dog"]
    assert before["a cup"] == after["a cup"]
    assert before["a dog"] != after["a yellow dog"]


def test_files_that_are_not_those_of_the_manifest_give_no_vectors() -> None:
    manifest = read_manifest(CLIP)
    tower = replace(manifest.components["text_model"]["fp32"], sha256="0" * 64)
    said: list[str] = []
    other = replace(manifest, components={**manifest.components, "text_model": {"fp32": tower}})
    record = sentences_record(Sentences(labels={"cup": "a cup"}, neutral=()), CLIP, other, report=said.append)
    assert record["vectors"] == []
    assert "is corrupt" in said[0]


def test_a_model_without_a_text_encoder_needs_nothing_to_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    bare = replace(read_manifest(CLIP), components={})
    record = sentences_record(Sentences(labels={"cup": "a cup"}, neutral=()), CLIP, bare, report=pytest.fail)
    assert record == {"labels": {"cup": "a cup"}, "neutral": [], "vectors": []}
