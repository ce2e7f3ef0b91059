"""The held-out scores on the model cards are what the shipped fp32 graphs reach, and they are good enough."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.embedded import NAMES, checkpoint_dir, model_dir
from builder.embedded.score import score_captions, score_search, uniform

pytestmark = pytest.mark.slow


def test_scenes_vlm_captions_and_answers_held_out_scenes() -> None:
    folder = model_dir("scenes-vlm")
    score = score_captions(folder, uniform(folder, "fp32"))
    assert score.single >= 0.90
    assert score.all >= 0.75
    assert score.answers >= 0.85
    written = json.loads((checkpoint_dir("scenes-vlm") / "scores.json").read_text(encoding="utf-8"))
    assert written["scenes"] == score.scenes
    assert written["single"] == pytest.approx(score.single, abs=0.005)
    assert written["all"] == pytest.approx(score.all, abs=0.005)
    assert written["answers"] == pytest.approx(score.answers, abs=0.005)


def test_scenes_clip_finds_held_out_scenes() -> None:
    folder = model_dir("scenes-clip")
    score = score_search(folder, uniform(folder, "fp32"))
    assert score.recall_at_1 >= 0.80
    written = json.loads((checkpoint_dir("scenes-clip") / "scores.json").read_text(encoding="utf-8"))
    assert written["queries"] == score.queries
    assert written["recall_at_1"] == pytest.approx(score.recall_at_1, abs=0.005)


def test_embedded_models_stay_under_30_megabytes() -> None:
    folders: list[Path] = [f(name) for name in NAMES for f in (model_dir, checkpoint_dir)]
    total = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    assert total <= 30_000_000


@pytest.mark.parametrize("name", NAMES)
def test_model_card_states_the_scores(name: str) -> None:
    card = (checkpoint_dir(name) / "README.md").read_text(encoding="utf-8")
    scores = json.loads((checkpoint_dir(name) / "scores.json").read_text(encoding="utf-8"))
    for key in ("single", "all", "answers", "recall_at_1"):
        if key in scores:
            assert f"{100 * scores[key]:.1f} %" in card
