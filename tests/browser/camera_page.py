"""The caption page as its tests use it: opened and running, its captions and announcements, fake cameras."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter
from playwright.sync_api import Page

from builder.embedded.samples import video_scenes
from builder.paths import web_template
from tests.browser.conftest import ARTIFACTS, DESKTOP, PHONE, Watch

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
window.grown = 0;
window.begun = 0;
addEventListener('DOMContentLoaded', () => {
  const shown = document.querySelector('[data-role=caption]');
  new MutationObserver((changes) => {
    for (const { attributeName, type } of changes) {
      if (type !== 'attributes') {
        if (shown.dataset.done === 'false') window.grown = Math.max(window.grown, ++window.streamed);
      } else if (attributeName === 'data-done' && shown.dataset.done === 'false') {
        window.begun += 1;
        window.streamed = 0;
      }
      else if (attributeName === 'data-done') window.captions.push(shown.dataset.caption);
    }
  }).observe(shown, { attributes: true, childList: true, characterData: true, subtree: true });
  const region = document.querySelector('[data-role=announcer]');
  new MutationObserver(() => {
    if (region.textContent) window.spoken.push({ text: region.textContent, at_ms: performance.now() });
  }).observe(region, { childList: true, characterData: true, subtree: true });
});
"""
"""Notes every caption and announcement, in how many steps the caption of most steps grew, and how often was asked."""


AXE = web_template() / "node_modules" / "axe-core" / "axe.min.js"
RUN_AXE = """async () => {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
  const { violations } = await window.axe.run(document, { runOnly: tags, rules: { 'target-size': { enabled: true } } });
  return violations.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => [html, failureSummary])]);
}"""


def assert_accessible(page: Page, state: str) -> None:
    """No rule of WCAG 2.2 AA that axe knows is broken, on a phone and a desktop, light and dark.

    Keeps a picture of each. The page is to be opened with ``bypass_csp``: the policy refuses a script tag, so that axe
    is evaluated.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    ARTIFACTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for name, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
            page.set_viewport_size(viewport)  # type: ignore[arg-type]
            page.wait_for_timeout(100)
            page.screenshot(path=str(ARTIFACTS / f"camera-{state}-{name}-{scheme}.png"))
            assert page.evaluate(RUN_AXE) == [], (state, name, scheme)
            wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert wide[0] <= wide[1], (state, name, "scrolls sideways")
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]


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
