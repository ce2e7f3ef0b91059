"""Scenes are reproducible, their captions canonical, and their answers follow from what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from builder.embedded.painting import render
from builder.embedded.samples import ALBUM_SIZE, VIDEO_SCENES, album_scenes, video_scenes
from builder.embedded.scenes import (
    COLOURS,
    COUNTS,
    KINDS,
    RELATION_SHARES,
    UNSEEN_PAIRS,
    WORDS,
    Scene,
    questions,
    sample_scene,
)
from builder.embedded.score import held_out_scenes
from builder.embedded.shapes import STYLES


def scenes(count: int, relation: str | None = None) -> list[Scene]:
    rng = np.random.default_rng(3)
    return [sample_scene(rng, relation=relation) for _ in range(count)]


def test_grammar_has_the_breadth_that_the_models_are_measured_on() -> None:
    assert len(KINDS) >= 12
    assert len(COLOURS) == 8
    assert len(WORDS) == 12
    assert all(len(styles) >= 2 for styles in STYLES.values())


def test_same_seed_gives_same_pixels() -> None:
    first, second = (render(sample_scene(np.random.default_rng(11)), 128) for _ in range(2))
    assert np.array_equal(np.asarray(first), np.asarray(second))


@pytest.mark.parametrize("size", [96, 128, 384])
def test_render_fills_the_asked_size(size: int) -> None:
    image = render(scenes(1)[0], size)
    assert image.size == (size, size)
    assert image.mode == "RGB"


@pytest.mark.parametrize("relation", RELATION_SHARES)
def test_every_relation_stays_inside_the_picture(relation: str) -> None:
    for scene in scenes(60, relation):
        assert scene.relation == relation
        for thing in scene.things:
            assert 0 < thing.x < 1
            assert 0 < thing.y < 1
            if relation != "inside":
                assert thing.x - 0.8 * thing.radius > -0.05
                assert thing.x + 0.8 * thing.radius < 1.05


def test_captions_name_things_in_canonical_order() -> None:
    for scene in scenes(300):
        first, last = scene.things[0], scene.things[-1]
        match scene.relation:
            case "left of":
                assert first.x < last.x
                assert " left of " in scene.caption
            case "above":
                assert first.y < last.y
                assert " above " in scene.caption
            case "row":
                assert [t.x for t in scene.things] == sorted(t.x for t in scene.things)
            case "inside":
                assert last.kind == "box"
                assert first.radius < last.radius
            case "count":
                assert scene.caption.startswith(COUNTS[len(scene.things)] + " ")


def test_training_scenes_hold_no_unseen_pair_and_held_out_scenes_do() -> None:
    rng = np.random.default_rng(0)
    trained = [(t.colour, t.kind) for _ in range(500) for t in sample_scene(rng, unseen=False).things]
    assert not UNSEEN_PAIRS & set(trained)
    held_out = {(t.colour, t.kind) for scene in held_out_scenes(500) for t in scene.things}
    assert UNSEEN_PAIRS & held_out


def test_answers_follow_from_the_scene() -> None:
    rng = np.random.default_rng(5)
    asked = 0
    for scene in scenes(300):
        kinds = [thing.kind for thing in scene.things]
        for question, answer in questions(scene, rng):
            asked += 1
            if question.startswith("What colour"):
                assert answer in {thing.colour for thing in scene.things}
            elif question.startswith("Is there"):
                named = question.removesuffix("?").split()[-1]
                assert answer == ("yes" if named in kinds else "no")
            elif question.startswith("How many"):
                assert answer in {"none", "one", *COUNTS.values()}
            elif "sign say" in question:
                assert answer in WORDS
    assert asked > 700


def test_sample_album_and_video_hold_different_scenes() -> None:
    album = [scene.caption for scene in album_scenes().values()]
    assert len(set(album)) == len(album) == ALBUM_SIZE
    video = [scene.caption for scene in video_scenes()]
    assert len(set(video)) == len(video) == VIDEO_SCENES
