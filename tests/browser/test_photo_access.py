"""The search page without a mouse, without eyes, in Chinese: axe in every state, a keyboard walk, what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.embedded.samples import ALBUM_SIZE
from builder.paths import web_template
from tests.browser.conftest import ARTIFACTS, DESKTOP, PHONE, OpenPage, Watch, screenshot_on_failure
from tests.browser.photo_page import RECORD_STATUS, open_photos, search, shown, take, until_idle

pytestmark = [pytest.mark.browser, pytest.mark.slow]
AXE = web_template() / "node_modules" / "axe-core" / "axe.min.js"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
FOCUSED = """(({ tagName, dataset, ariaLabel }) => dataset.role || dataset.part || ariaLabel || tagName)(
  document.activeElement)"""


def assert_accessible(watch: Watch, state: str) -> None:
    """No violation of WCAG 2.2 AA, on a phone and on a desktop, light and dark; keeps a picture of each."""
    page = watch.page
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    ARTIFACTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for name, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
            page.set_viewport_size(viewport)  # type: ignore[arg-type]
            page.wait_for_timeout(250)
            found = page.evaluate(
                "rules => axe.run(document, { runOnly: rules }).then(({ violations }) => violations)", RULES
            )
            page.screenshot(path=str(ARTIFACTS / f"photo-{state}-{name}-{scheme}.png"))
            told = [(rule["id"], [node["html"][:160] for node in rule["nodes"]]) for rule in found]
            assert not told, (state, name, scheme)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                state,
                name,
                "scrolls sideways",
            )
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]


def test_every_state_meets_wcag_on_phone_and_desktop_in_light_and_dark(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    watch = open_page(f"{demo_address}photo-search/?device=wasm", device="wasm", bypass_csp=True)
    page = watch.page
    page.wait_for_selector("[data-role=start]:visible", timeout=60_000)
    assert_accessible(watch, "start")
    page.click("[data-role=start]")
    until_idle(watch, "No photos yet")
    assert_accessible(watch, "empty")
    page.click("[data-role=sample]")
    page.wait_for_selector("html[data-indexing]")
    page.click("[data-role=pause-indexing]")
    until_idle(watch, "Paused")
    assert_accessible(watch, "paused")
    page.click("[data-role=pause-indexing]")
    until_idle(watch, f"{ALBUM_SIZE} photos")
    assert_accessible(watch, "album")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    take(watch, [tmp_path / "broken.jpg"])
    page.locator("summary", has_text="could not be read").click()
    page.locator("summary").filter(has_text="Filters").click()
    page.check("[data-role=scores]")
    page.click("[data-role=tag]")
    page.wait_for_selector("[data-role=tags] button", timeout=120_000)
    search(watch, "yellow cup -blue")
    page.click("[data-role=show-near]") if page.is_visible("[data-role=show-near]") else None
    page.hover("[data-role=results] li:first-child")
    page.click("[data-role=results] li:first-child .choose")
    assert_accessible(watch, "results")
    page.click("[data-role=results] li:first-child button:first-child")
    page.wait_for_selector("[data-role=viewer][open] [data-part=facts]:not(:empty)")
    assert_accessible(watch, "viewer")
    page.keyboard.press("Escape")
    search(watch, "quantum physics")
    assert_accessible(watch, "nothing")
    page.locator("summary").filter(has_text="This album").click()
    page.click("[data-role=delete]")
    assert_accessible(watch, "confirm")
    page.keyboard.press("Escape")
    page.set_input_files("[data-role=pick-index]", str(tmp_path / "broken.jpg"))
    page.wait_for_selector('html[data-state="error"]')
    assert_accessible(watch, "error")


def test_the_page_is_walked_with_the_keyboard_and_tells_what_it_found(demo_address: str, open_page: OpenPage) -> None:
    watch = open_photos(open_page, demo_address, "&source=sample", before=RECORD_STATUS)
    page = watch.page
    with screenshot_on_failure(watch, "photo-keyboard"):
        page.focus("[data-role=query]")
        page.keyboard.type("three yellow keys", delay=20)
        page.wait_for_selector("[data-role=status]:has-text('“three yellow keys”')", timeout=60_000)
        assert "1 of 60 photos matches “three yellow keys”." in page.evaluate("window.said")
        assert not [words for words in page.evaluate("window.said") if "“thr”" in words], (
            "only the newest search counts"
        )
        shown(watch)
        path = []
        for _ in range(12):
            page.keyboard.press("Tab")
            path.append(page.evaluate(FOCUSED))
            if str(path[-1]).startswith("photo-"):
                break
        assert path[-1] == "photo-16.jpg, match 1 of 1", path
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-role=viewer][open] [data-part=facts]:not(:empty)")
        page.keyboard.press("Escape")
        assert page.evaluate(FOCUSED) == "photo-16.jpg, match 1 of 1", "focus comes back"
        page.fill("[data-role=query]", "")
        page.wait_for_selector("[data-role=album]:not([hidden])")
        shown(watch, "album")
        page.focus("[data-role=album] li:first-child button")
        for key, place in (("End", ALBUM_SIZE), ("Home", 1), ("ArrowRight", 2), ("ArrowDown", 9), ("ArrowLeft", 8)):
            page.keyboard.press(key)
            now = page.evaluate("Number(document.activeElement.closest('li').getAttribute('aria-posinset'))")
            assert now == place, key
        page.keyboard.press("x")
        assert page.evaluate("document.activeElement.ariaLabel").endswith("selected")
        assert "1 selected" in page.evaluate("window.said")
    watch.assert_clean()


def test_the_page_speaks_chinese_and_says_that_its_model_does_not(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}photo-search/?device=wasm&autostart=1&source=sample&lang=zh", device="wasm")
    page = watch.page
    with screenshot_on_failure(watch, "photo-chinese"):
        page.wait_for_selector("[data-role=status]:has-text('60 张照片可以搜索了')", timeout=240_000)
        page.fill("[data-role=query]", "黄色的杯子")
        page.wait_for_selector("[data-role=language-note]:has-text('此模型只学过英语')")
        page.wait_for_selector("[data-role=status]:has-text('黄色的杯子')", timeout=60_000)
        page.fill("[data-role=query]", "a yellow cup")
        page.wait_for_selector("[data-role=status]:has-text('60 张照片中有 1 张符合“a yellow cup”')", timeout=60_000)
        assert page.is_hidden("[data-role=language-note]")
        page.select_option("[data-role=language]", "en")
        page.wait_for_selector("[data-role=count]:has-text('1 of 60 photos matches “a yellow cup”')")
    watch.assert_clean()
