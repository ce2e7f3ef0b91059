"""Both pages in Firefox, which has 16-bit arithmetic on WebGPU: the smallest variants, as a graphics card runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.embedded.samples import album_scenes, video_scenes
from builder.manifest import read_manifest
from tests.browser.conftest import ARTIFACTS
from tests.browser.firefox import Firefox, open_firefox

pytestmark = pytest.mark.browser

PATIENCE_SECONDS = 400
HALF = "Runs on the graphics processor (WebGPU"
TEXT = "(role) => document.querySelector(`[data-role=${role}]`)?.textContent ?? ''"


def assert_runs_in_halves(firefox: Firefox, model: Path) -> None:
    """The page chose the tier with 16-bit arithmetic, and with it files that no other tier has."""
    tiers = read_manifest(model).tiers
    assert tiers["webgpu-f16"] != tiers["webgpu"]
    device = firefox.evaluate(TEXT, "device")
    assert device.startswith(HALF), device
    assert "with 16-bit arithmetic" in device


def test_camera_caption_with_16_bit_arithmetic_says_what_is_in_the_sample(
    node: str, demo_address: str, quantized_models: dict[str, Path]
) -> None:
    with open_firefox(node, f"{demo_address}camera-caption/?device=webgpu&source=sample&autostart=1") as firefox:
        selector = "[data-role=caption][data-caption][data-done=true]"
        firefox.ask("wait", selector=selector, seconds=PATIENCE_SECONDS)
        ARTIFACTS.mkdir(exist_ok=True)
        firefox.ask("screenshot", path=str(ARTIFACTS / "camera-caption-firefox.png"))
        assert_runs_in_halves(firefox, quantized_models["scenes-vlm"])
        caption = firefox.evaluate("() => document.querySelector('[data-role=caption]').dataset.caption")
        assert caption in {scene.caption for scene in video_scenes()}


def test_photo_search_with_16_bit_arithmetic_finds_a_photo_of_the_sample(
    node: str, demo_address: str, quantized_models: dict[str, Path]
) -> None:
    name, scene = next(iter(album_scenes().items()))
    query = scene.caption.replace(" ", "+")
    with open_firefox(
        node, f"{demo_address}photo-search/?device=webgpu&source=sample&autostart=1&q={query}"
    ) as firefox:
        selector = "html[data-state=done] [data-role=results] [data-photo]"
        firefox.ask("wait", selector=selector, seconds=PATIENCE_SECONDS)
        assert_runs_in_halves(firefox, quantized_models["scenes-clip"])
        first = "() => document.querySelector('[data-role=results] [data-photo]').dataset.name"
        assert firefox.evaluate(first) == name
