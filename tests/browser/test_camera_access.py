"""The caption page for everybody: axe in every state, the keyboard alone, 400 % zoom, both languages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.camera_page import (
    CAPTION,
    RESTING,
    assert_accessible,
    choose,
    open_settings,
    until_captioned,
    until_running,
)
from tests.browser.conftest import ARTIFACTS, PHONE, OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LANDSCAPE = {"width": 844, "height": 390}
ZOOMED = {"width": 320, "height": 256}
"""1280 × 1024 at 400 %."""


def assert_reflows(page: Page) -> None:
    """Nothing makes the page scroll sideways."""
    wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1], wide


def test_every_state_keeps_wcag(demo_address: str, open_page: OpenPage) -> None:
    """Others: offers after failures in test_camera_recovery.py, camera, hint and lamp in test_camera_live.py."""
    address = f"{demo_address}camera-caption/?device=wasm&source=sample"
    watch = open_page(address, device="wasm", bypass_csp=True)
    page = watch.page
    page.wait_for_selector("[data-role=start]", state="visible")
    assert_accessible(page, "welcome")
    page.route("**/*.onnx", lambda route: None)
    page.click("[data-role=start]")
    page.wait_for_selector('html[data-state="loading"]')
    page.wait_for_timeout(500)
    assert_accessible(page, "loading")
    page.click("[data-role=cancel]")
    page.unroute("**/*.onnx")
    page.click("[data-role=start]")
    until_captioned(watch)
    assert_accessible(page, "running")
    open_settings(page)
    page.select_option("[data-setting=speak]", "voice")
    assert_accessible(page, "settings")
    page.click("[data-role=help]")
    page.wait_for_selector("[data-role=keys]", state="visible")
    assert_accessible(page, "keys")
    page.keyboard.press("Escape")
    page.click("[data-role=pause]")
    page.wait_for_selector('html[data-state="paused"]')
    page.click("[data-role=changed]")
    page.wait_for_selector("[data-role=compared]", state="visible", timeout=60_000)
    page.wait_for_selector('html[data-state="paused"]')
    assert_accessible(page, "paused")
    page.click("[data-role=freeze]")
    page.wait_for_selector("html[data-frozen]")
    page.click("[data-role=quick] button")
    page.wait_for_selector("[data-role=conversation]:not([data-busy]) li", timeout=60_000)
    assert_accessible(page, "frozen")
    page.select_option("[data-role=language]", "zh")
    page.wait_for_selector("html[lang=zh-CN]")
    assert_accessible(page, "chinese")
    page.click("[data-role=source] label:nth-of-type(2)")
    page.wait_for_selector("[data-role=error]", state="visible", timeout=60_000)
    assert_accessible(page, "error")


def test_everything_can_be_done_with_the_keyboard_alone(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=sample&keys=0", device="wasm")
    page = watch.page
    page.wait_for_selector("[data-role=start]", state="visible")
    _tab_to(page, "[data-role=start]")
    page.keyboard.press("Enter")
    until_captioned(watch)
    reached = _walk(page)
    wanted = ["seek", "pick", "share", "describe", "pause", "freeze", "question", "more", "repeat", "changed"]
    assert {*wanted, "source", "prompt", "SUMMARY", "language"} <= reached
    for at in range(3):
        page.locator("summary").nth(at).focus()
        page.keyboard.press("Enter")
    reached = _walk(page)
    settings = ["length", "text", "pace", "gate", "size", "speak", "every", "keys"]
    assert {*settings, "log", "copy-metrics", "help", "copy-link", "txt", "vtt", "json"} <= reached
    page.focus("[data-role=pause]")
    page.keyboard.press("Enter")
    page.wait_for_selector('html[data-state="paused"]')
    assert page.evaluate("document.activeElement.dataset.role") == "pause", "the focus stays where it was"
    page.focus("[data-role=seek]")
    page.keyboard.press("End")
    assert page.evaluate("document.querySelector('video').currentTime") > 30
    page.focus("[data-setting=text]")
    page.keyboard.press("ArrowDown")
    assert page.get_attribute("html", "data-text") == "2"
    for role, answer in (
        ("describe", CAPTION),
        ("changed", "document.querySelector('[data-role=compared]').textContent"),
    ):
        page.evaluate("document.querySelector('[data-role=caption]').dataset.caption = ''")
        page.focus(f"[data-role={role}]")
        page.keyboard.press("Enter")
        watch.wait_until(f"!!{answer}", seconds=60)
        page.wait_for_selector('html[data-state="paused"]')
    page.focus("[data-role=freeze]")
    page.keyboard.press("Enter")
    page.wait_for_selector("html[data-frozen]")
    assert page.evaluate("document.activeElement.dataset.role") == "question"
    page.keyboard.type("Is there a car?")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-role=conversation]:not([data-busy]) li", timeout=60_000)
    page.focus("[data-role=pause]")
    page.keyboard.press("Enter")
    page.wait_for_selector('html[data-state="running"]')
    page.focus("[name=prompt]:checked")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.querySelector('[name=prompt]:checked').value") == "read"
    watch.assert_clean()


def _tab_to(page: Page, selector: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with the Tab key")


def _walk(page: Page) -> set[str]:
    """Press Tab once around the page; what was focused, all of it visibly."""
    names: set[str] = set()
    page.focus("[data-role=language]")
    for _ in range(60):
        name, seen = page.evaluate("""() => {
          const at = document.activeElement;
          const { role, setting, save } = at.dataset;
          const box = (at.closest('label') ?? at).getBoundingClientRect();
          const seen = box.width > 2 && box.bottom > 0 && box.top < innerHeight;
          return [role ?? setting ?? save ?? (at.name || at.tagName), seen || at === document.body];
        }""")
        assert seen, f"{name} has the focus and cannot be seen"
        names.add(name)
        page.keyboard.press("Tab")
    return names


@pytest.mark.parametrize("size", [PHONE, LANDSCAPE, ZOOMED], ids=["phone", "landscape", "400 percent"])
def test_page_fits_small_windows(size: dict[str, int], demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=sample&text=4", device="wasm", viewport=size)
    page = watch.page
    page.wait_for_selector("[data-role=start]", state="visible")
    assert_reflows(page)
    page.click("[data-role=start]")
    until_captioned(watch)
    open_settings(page)
    assert_reflows(page)
    page.click("[data-role=pause]")
    page.wait_for_selector('html[data-state="paused"]')
    page.click("[data-role=freeze]")
    page.wait_for_selector("html[data-frozen]")
    page.fill("[data-role=question]", "Is there a car?")
    page.click(".ask button")
    page.wait_for_selector("[data-role=conversation]:not([data-busy]) li", timeout=60_000)
    assert_reflows(page)
    page.click("[data-role=pause]")
    page.wait_for_selector('html[data-state="running"]')
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=str(ARTIFACTS / f"camera-caption-{size['width']}.png"))
    watch.assert_clean()


def test_caption_stands_on_a_solid_ground_and_grows_on_wish(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1", device="wasm")
    until_captioned(watch)
    page = watch.page
    size = "parseFloat(getComputedStyle(document.querySelector('[data-role=caption]')).fontSize)"
    usual = page.evaluate(size)
    choose(page, "text", "4")
    assert page.evaluate(size) > 2 * usual
    ground = page.evaluate("getComputedStyle(document.querySelector('.sentence')).backgroundColor")
    assert ground.startswith("rgb("), "the ground of the caption can be seen through"
    assert page.evaluate("document.querySelector('[data-role=caption]').lang") == "en"


def test_page_speaks_chinese_and_captions_stay_english(demo_address: str, open_page: OpenPage) -> None:
    address = f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1"
    watch = open_page(address, device="wasm", locale="zh-CN")
    page = until_running(watch)
    watch.wait_until(f"!!{CAPTION}", seconds=30)
    open_settings(page)
    words = page.inner_text("main")
    left = [line for line in words.splitlines() if line.isascii() and any(c.isalpha() for c in line)]
    figures = {page.inner_text(f"[data-part={name}]") for name in ("first-token", "memory", "model", "runs-on")}
    captions = set(page.eval_on_selector_all("[lang=en]", "all => all.map((one) => one.textContent)"))
    assert not set(left) - figures - captions - {"English"}, left
    page.select_option("[data-role=language]", "en")
    page.wait_for_selector("html[lang=en]")
    assert page.inner_text("[data-role=pause]") == "Pause"
    watch.wait_until(RESTING, seconds=30)
    watch.assert_clean()
