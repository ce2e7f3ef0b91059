"""Task-level quality: captions and rankings of every tier against fp32, on scenes or on a folder of pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from builder.embedded import NAMES, model_dir
from builder.embedded.painting import render
from builder.embedded.scenes import DESCRIBE, sample_scene
from builder.embedded.score import (
    SOURCE_PIXELS,
    Captioner,
    Matcher,
    held_out_scenes,
    load_pixels,
    score_captions,
    score_search,
    uniform,
)
from builder.errors import VerifyError
from builder.evaluation import EvaluationSet, Evaluator, calibration_pixels, held_out, lost_points, read_folder
from builder.manifest import ImageFacts, Quality, read_manifest
from builder.parity import Reference, image_count
from builder.quantize import quantize
from builder.tasks import _Prompts as Prompts
from builder.tasks import embed, fit_picture, pixel_values, write_answers
from builder.verify import verify
from tests.checkpoints import Captioner as CaptionerCase
from tests.checkpoints._exported import Exported


def pictures(folder: Path, count: int = 4) -> list[str]:
    """Write drawn scenes as PNG files; their captions by file name."""
    folder.mkdir()
    scenes = held_out_scenes(count, different=True)
    for number, scene in enumerate(scenes):
        render(scene, 200).save(folder / f"{number}.png")
    return [scene.caption for scene in scenes]


@pytest.mark.soak  # all held-out scenes; the next test but one asserts the same of a part of them
def test_shipped_tiers_of_scenes_vlm_stay_within_a_point_of_fp32(quantized_models: dict[str, Path]) -> None:
    folder = quantized_models["scenes-vlm"]
    plain = score_captions(folder, uniform(folder, "fp32"))
    for dtypes in {tuple(sorted(tier.items())) for tier in read_manifest(folder).tiers.values()}:
        score = score_captions(folder, dict(dtypes))
        assert score.all >= plain.all - 0.01, dtypes
        assert score.answers >= plain.answers - 0.01, dtypes


@pytest.mark.soak  # likewise
def test_shipped_tiers_of_scenes_clip_stay_within_a_point_of_fp32(quantized_models: dict[str, Path]) -> None:
    folder = quantized_models["scenes-clip"]
    plain = score_search(folder, uniform(folder, "fp32"))
    for dtypes in {tuple(sorted(tier.items())) for tier in read_manifest(folder).tiers.values()}:
        assert score_search(folder, dict(dtypes)).recall_at_1 >= plain.recall_at_1 - 0.01, dtypes


def test_verify_measures_every_tier_of_an_embedded_model(quantized_models: dict[str, Path]) -> None:
    for name, task in (("scenes-vlm", "right_answers"), ("scenes-clip", "recall_at_1")):
        manifest = read_manifest(quantized_models[name])
        assert set(manifest.quality) == set(manifest.tiers)
        for quality in manifest.quality.values():
            assert quality.source == "held-out scenes"
            assert not lost_points(quality)
            assert quality.fp32[task] >= 0.8
            assert all(0.5 < score <= 1 for score in quality.scores.values())


def test_answers_are_those_of_the_embedded_captioner() -> None:
    folder = model_dir("scenes-vlm")
    manifest = read_manifest(folder)
    drawn = [render(scene, SOURCE_PIXELS) for scene in held_out_scenes(3)]
    pixels = pixel_values(folder, manifest, drawn)
    got = write_answers(folder, manifest, uniform(folder, "fp32"), pixels, [[DESCRIBE]] * 3)
    model = Captioner(folder, uniform(folder, "fp32"))
    kind = {"bicubic": 3, "bilinear": 2}[manifest.image.resample]
    for picture, row, (answer,) in zip(drawn, pixels, got, strict=True):
        small = picture.resize((manifest.image.width, manifest.image.height), Image.Resampling(kind))
        np.testing.assert_array_equal(load_pixels(small, manifest.image.width)[0], row)
        features = model.sessions["vision_encoder"].run({"pixel_values": row[None]})["image_features"]
        assert model.generate(features, DESCRIBE) == answer
        assert answer


def test_vectors_are_those_of_the_embedded_matcher() -> None:
    folder = model_dir("scenes-clip")
    manifest = read_manifest(folder)
    scenes = held_out_scenes(3)
    pixels = pixel_values(folder, manifest, [render(scene, SOURCE_PIXELS) for scene in scenes])
    found, texts = embed(folder, manifest, uniform(folder, "fp32"), pixels, [scene.caption for scene in scenes])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        texts, Matcher(folder, uniform(folder, "fp32")).texts([scene.caption for scene in scenes]), atol=1e-5
    )


def test_fp32_agrees_with_itself_and_a_broken_tower_does_not(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "scenes-clip"))
    graph = onnx.load(str(folder / "onnx" / "vision_model.onnx"))
    rng = np.random.default_rng(0)
    for tensor in graph.graph.initializer:
        if len(tensor.dims) >= 2:
            array = onnx.numpy_helper.to_array(tensor)
            noise = rng.normal(size=array.shape) * array.std()
            tensor.CopyFrom(onnx.numpy_helper.from_array((array + noise).astype(np.float32), tensor.name))
    onnx.save(graph, str(folder / "onnx" / "vision_model_q4.onnx"))
    manifest = read_manifest(folder)
    scenes = held_out(manifest, count=20)
    assert scenes is not None
    evaluator = Evaluator(folder, manifest, scenes)
    same = evaluator.evaluate(uniform(folder, "fp32"))
    assert set(same.scores.values()) == {1.0} or same.scores["recall_at_1"] == same.fp32["recall_at_1"]
    assert same.scores["ranking"] == same.scores["same_first"] == 1
    broken = evaluator.evaluate({"vision_model": "q4", "text_model": "fp32"})
    assert broken.scores["recall_at_1"] < 0.7
    assert broken.scores["image_cosine"] < 0.9
    assert broken.scores["ranking"] < 0.9
    assert broken.scores["text_cosine"] > 0.9999
    assert lost_points(broken)["recall_at_1"] > 0.3


def test_lost_points_are_told_beyond_one_point_only() -> None:
    plain = Quality(source="x", images=100, scores={"right_answers": 0.9}, fp32={"right_answers": 0.91})
    assert lost_points(plain) == {}
    assert lost_points(replace(plain, scores={"right_answers": 0.89})) == {"right_answers": pytest.approx(0.02)}


def test_folder_with_captions_gives_recall_and_without_only_rankings(tmp_path: Path) -> None:
    folder = model_dir("scenes-clip")
    manifest = read_manifest(folder)
    captions = pictures(tmp_path / "album")
    bare = Evaluator(folder, manifest, read_folder(tmp_path / "album", manifest)).evaluate(uniform(folder, "fp32"))
    assert set(bare.scores) == {"image_cosine", "ranking", "same_first"}
    assert bare.source == "album"
    (tmp_path / "album" / "0.txt").write_text(captions[0] + "\n", encoding="utf-8")
    (tmp_path / "album" / "captions.json").write_text(json.dumps({"1.png": captions[1], "2": captions[2]}), "utf-8")
    found = read_folder(tmp_path / "album", manifest)
    assert [example.caption for example in found.examples] == [*captions[:3], None]
    told = Evaluator(folder, manifest, found).evaluate(uniform(folder, "fp32"))
    assert told.fp32["recall_at_1"] == told.scores["recall_at_1"] == 1


def test_unreadable_pictures_are_named_and_the_rest_goes_on(tmp_path: Path, quantized_models: dict[str, Path]) -> None:
    folder = Path(shutil.copytree(quantized_models["scenes-clip"], tmp_path / "scenes-clip"))
    pictures(tmp_path / "album")
    (tmp_path / "album" / "torn.jpg").write_bytes((tmp_path / "album" / "0.png").read_bytes()[:300])
    (tmp_path / "album" / "note.png").write_text("no picture", encoding="utf-8")
    said: list[str] = []
    manifest = verify(folder, evaluation=tmp_path / "album", report=said.append)
    assert {quality.images for quality in manifest.quality.values()} == {4}
    for name in ("torn.jpg", "note.png"):
        assert any(line.startswith(f"{name} cannot be read") for line in said)
        assert name in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [{}, {"note.png": "no picture"}])
def test_folder_without_a_picture_is_refused_and_the_manifest_left_alone(
    content: dict[str, str], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "scenes-clip"))
    before = (folder / "manifest.json").read_bytes()
    (tmp_path / "album").mkdir()
    for name, text in content.items():
        (tmp_path / "album" / name).write_text(text, encoding="utf-8")
    with pytest.raises(VerifyError, match="holds no picture that can be read"):
        verify(folder, evaluation=tmp_path / "album")
    with pytest.raises(VerifyError, match="is no folder of pictures"):
        verify(folder, evaluation=tmp_path / "nowhere")
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("text", ["{", "[1]", '{"0.png": 3}'])
def test_captions_of_a_wrong_form_are_refused(text: str, tmp_path: Path) -> None:
    pictures(tmp_path / "album", 1)
    (tmp_path / "album" / "captions.json").write_text(text, encoding="utf-8")
    with pytest.raises(VerifyError, match=r"captions\.json"):
        read_folder(tmp_path / "album", read_manifest(model_dir("scenes-clip")))


def test_other_models_have_no_held_out_scenes() -> None:
    for name in NAMES:
        manifest = read_manifest(model_dir(name))
        assert isinstance(held_out(manifest, count=2), EvaluationSet)
        assert held_out(replace(manifest, name="another")) is None


@pytest.mark.parametrize(("fit", "left"), [("crop", 255), ("letterbox", 0), ("stretch", 255)])
def test_picture_is_fitted_as_the_manifest_says(fit: str, left: int) -> None:
    tall = Image.new("RGB", (40, 80), "white")
    fitted = fit_picture(tall, ImageFacts(width=32, height=32, fit=fit, resample="bilinear"))
    assert fitted.shape == (32, 32, 3)
    assert (fitted[16, 0] == left).all()
    assert (fitted[16, 16] == 255).all()
    drawn = fit_picture(render(sample_scene(np.random.default_rng(1)), 64), ImageFacts(width=64, height=64, fit=fit))
    assert drawn.std() > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smolvlm-v4", "idefics3-untied", "llava-onevision"])
def test_verify_compares_models_by_their_own_chats_on_a_folder(
    name: str, exported_case: Callable[[str], Exported], tmp_path: Path
) -> None:
    exported = exported_case(name)
    folder = Path(shutil.copytree(exported.path, tmp_path / name))
    captions = pictures(tmp_path / "pictures", 2)
    quantize(folder, dtypes=["q8"], every=False)
    quality = verify(folder, evaluation=tmp_path / "pictures").quality
    assert set(quality) == {"webgpu-f16", "webgpu", "wasm"}
    assert all(0 <= q.scores["same_tokens"] <= 1 and q.images == len(captions) for q in quality.values())

    manifest = read_manifest(folder)
    examples = read_folder(tmp_path / "pictures", manifest).examples
    pixels = pixel_values(folder, manifest, [example.picture for example in examples])
    question = "What is this?"
    answers = write_answers(folder, manifest, dict.fromkeys(manifest.components, "fp32"), pixels, [[question]] * 2)
    assert isinstance(exported.reference, CaptionerCase)
    ids = Prompts(folder, manifest).ids(question)
    for row, (answer,) in zip(pixels, answers, strict=True):
        assert answer, "the end mark came at once: nothing is compared"
        assert answer == exported.reference.generate(ids, torch.from_numpy(row[None]), len(answer))


def test_empty_captions_are_none_and_no_score_is_made_of_them(tmp_path: Path) -> None:
    pictures(tmp_path / "album", 2)
    (tmp_path / "album" / "captions.json").write_bytes(b'\xef\xbb\xbf{"0.png": "", "1.png": "  "}')
    folder = model_dir("scenes-vlm")
    manifest = read_manifest(folder)
    found = read_folder(tmp_path / "album", manifest)
    assert [example.caption for example in found.examples] == [None, None]
    quality = Evaluator(folder, manifest, found).evaluate(uniform(folder, "fp32"))
    assert set(quality.scores) == {"same_answers", "same_tokens"}
    assert quality.fp32 == {}


def test_words_that_are_right_count_where_captions_are_worded_otherwise(tmp_path: Path) -> None:
    (caption,) = pictures(tmp_path / "album", 1)
    words = caption.rstrip(".").split()
    (tmp_path / "album" / "0.txt").write_text(" ".join(reversed(words)).upper(), encoding="utf-8")
    folder = model_dir("scenes-vlm")
    manifest = read_manifest(folder)
    quality = Evaluator(folder, manifest, read_folder(tmp_path / "album", manifest)).evaluate(uniform(folder, "fp32"))
    assert quality.fp32["right_answers"] == 0
    assert quality.fp32["right_words"] == quality.scores["right_words"] > 0.8


def test_pictures_are_brought_to_the_models_size_as_they_are_read_and_no_more_than_are_wanted(tmp_path: Path) -> None:
    manifest = read_manifest(model_dir("scenes-clip"))
    (tmp_path / "album").mkdir()
    for number in range(5):
        Image.new("RGB", (900, 600), (0, 40 * number, 0)).save(tmp_path / "album" / f"{number}.png")
    said: list[str] = []
    found = read_folder(tmp_path / "album", manifest, most=3, report=said.append)
    assert [example.name for example in found.examples] == ["0.png", "1.png", "2.png"]
    assert {example.picture.size for example in found.examples} == {(manifest.image.width, manifest.image.height)}
    assert said == ["3 of 5 pictures in album are used"]
    pixels = calibration_pixels(model_dir("scenes-clip"), manifest, tmp_path / "album")
    assert (
        len(pixels) == image_count(manifest) == len(Reference(model_dir("scenes-clip"), manifest, pixels=pixels).pixels)
    )


def test_pictures_of_16_bits_keep_their_greys(tmp_path: Path) -> None:
    (tmp_path / "album").mkdir()
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "album" / "deep.png")
    (example,) = read_folder(tmp_path / "album", read_manifest(model_dir("scenes-clip"))).examples
    assert np.asarray(example.picture).mean() == pytest.approx(127.5, abs=1)


def test_cropped_picture_is_the_same_as_one_resized_whole_and_a_sliver_takes_no_memory() -> None:
    facts = ImageFacts(width=48, height=32, fit="crop", resample="bicubic")
    noise = np.random.default_rng(0).integers(0, 256, size=(90, 141, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    whole = picture.resize((48 * 141 // 90, 48), Image.Resampling.BICUBIC)
    left, top = (whole.width - 48) // 2, (whole.height - 32) // 2
    wanted = np.asarray(whole.crop((left, top, left + 48, top + 32)), np.int16)
    assert np.abs(fit_picture(picture, facts) - wanted).max() <= 1
    sliver = fit_picture(Image.new("RGB", (2, 40_000), "teal"), ImageFacts(width=1024, height=1024))
    assert (sliver == (0, 128, 128)).all()
