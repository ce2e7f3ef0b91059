"""The caption page as its tests use it: opened and running, its captions and announcements, fake cameras."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from playwright.sync_api import Page

from builder.embedded.painting import render
from builder.embedded.samples import video_scenes
from tests.browser.conftest import CAMERA_PIXELS, CAMERA_RATE, Watch, yuv420

LOADED_MS = 180_000
CAPTION = "document.querySelector('[data-role=caption]').dataset.caption"
SPOKEN = "document.querySelector('[data-role=announcer]').textContent"
RESTING = "document.documentElement.hasAttribute('data-resting')"
CAMERA_ON = (
    "document.querySelector('video').srcObject?.getVideoTracks().some((track) => track.readyState === 'live') ?? false"
)
CAPTIONS = [scene.caption for scene in video_scenes()]

RECORD = """
window.captions = [];
window.spoken = [];
window.streamed = 0;
window.begun = 0;
addEventListener('DOMContentLoaded', () => {
  const shown = document.querySelector('[data-role=caption]');
  new MutationObserver((changes) => {
    for (const { attributeName, type } of changes) {
      if (type !== 'attributes') window.streamed += shown.dataset.done === 'false' ? 1 : 0;
      else if (attributeName === 'data-done' && shown.dataset.done === 'false') window.begun += 1;
      else if (attributeName === 'data-done') window.captions.push(shown.dataset.caption);
    }
  }).observe(shown, { attributes: true, childList: true, characterData: true, subtree: true });
  const region = document.querySelector('[data-role=announcer]');
  new MutationObserver(() => {
    if (region.textContent) window.spoken.push({ text: region.textContent, at_ms: performance.now() });
  }).observe(region, { childList: true, characterData: true, subtree: true });
});
"""
"""Notes every caption, every announcement, how often a caption grew, and how often the model was asked."""


def until_running(watch: Watch) -> Page:
    """Wait until captions run."""
    watch.page.wait_for_selector('html[data-state="running"]', timeout=LOADED_MS)
    return watch.page


def until_captioned(watch: Watch) -> str:
    """Wait for the first caption and return it."""
    until_running(watch)
    watch.wait_until(f"!!{CAPTION}", seconds=60)
    return str(watch.page.evaluate(CAPTION))


def open_settings(page: Page) -> None:
    """Open every disclosure, where settings, figures and earlier captions are."""
    for summary in page.query_selector_all("details:not([open]) > summary"):
        summary.click()


def choose(page: Page, setting: str, value: str) -> None:
    """Change a setting, as a visitor would."""
    open_settings(page)
    page.select_option(f"[data-setting={setting}]", value)


def scene_pixels(index: int, size: int = CAMERA_PIXELS) -> np.ndarray:
    """One of the scenes of the sample video, size × size × 3."""
    return np.asarray(render(video_scenes()[index], size), np.float32)


def darkened(pixels: np.ndarray) -> np.ndarray:
    """The same scene at night."""
    return pixels * 0.18


def blurred(pixels: np.ndarray) -> np.ndarray:
    """The same scene far out of focus."""
    picture = Image.fromarray(pixels.astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(len(pixels) / 16)), np.float32)


def covered(pixels: np.ndarray) -> np.ndarray:
    """A finger on the lens: dark red all over."""
    return np.zeros_like(pixels) + np.array([48.0, 12.0, 10.0])


def write_camera(path: Path, pictures: Sequence[np.ndarray], *, seconds_each: float) -> Path:
    """Write a video for the fake camera: YUV 4:2:0 in a YUV4MPEG2 file, which Chromium plays again and again."""
    size = len(pictures[0])
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{size} H{size} F{CAMERA_RATE}:1 Ip A1:1 C420mpeg2\n".encode())
        for picture in pictures:
            file.write((b"FRAME\n" + yuv420(picture)) * round(seconds_each * CAMERA_RATE))
    return path
