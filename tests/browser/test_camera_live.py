"""The live loop of the caption page: what is asked when, and what a visitor can do while it runs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser.camera_page import (
    CAMERA_ON,
    CAPTION,
    CAPTIONS,
    RECORD,
    RESTING,
    assert_accessible,
    blurred,
    choose,
    covered,
    darkened,
    until_captioned,
    until_running,
)
from tests.browser.conftest import OpenPage
from tests.browser.video import scene_pixels, write_camera

pytestmark = [pytest.mark.browser, pytest.mark.slow]
KEEP_WORKER = """
const Plain = window.Worker;
window.Worker = class extends Plain {
  constructor(...given) {
    super(...given);
    if (String(given[0]).endsWith('/worker.js')) window.worker = this;
  }
};
"""
HINT = "document.querySelector('[data-role=hint]').textContent"


def test_model_rests_while_the_picture_is_the_same_and_goes_on_when_asked_anew(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    camera = write_camera(tmp_path / "still.y4m", [scene_pixels(2)], seconds_each=2)
    address = f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1"
    watch = open_page(address, device="wasm", camera=camera, before=RECORD)
    assert until_captioned(watch) == CAPTIONS[2]
    page = watch.page
    watch.wait_until(RESTING, seconds=20)
    asked = page.evaluate("window.begun")
    page.wait_for_timeout(3000)
    assert page.evaluate("window.begun") == asked, "the model runs although nothing changes"
    page.click("[data-role=prompt] label:has-text('Read the text')")
    watch.wait_until(f"{CAPTION} === 'EXIT'", seconds=20)
    assert watch.states().count("loading") == 1, "another question needs no restart"
    choose(page, "gate", "0")
    asked = page.evaluate("window.begun")
    watch.wait_until(f"window.begun > {asked} + 3", seconds=30)
    for label in ("Describe", "Read the text") * 5:  # a busy machine draws a short caption at once
        page.click(f"[data-role=prompt] label:has-text({label!r})")
        page.wait_for_timeout(1000)
        if page.evaluate("window.grown") > 1:
            break
    assert page.evaluate("window.grown") > 1, "captions do not grow word by word"
    choose(page, "pace", "10")
    page.wait_for_timeout(1500)
    asked = page.evaluate("window.begun")
    page.wait_for_timeout(3000)
    assert page.evaluate("window.begun") <= asked + 1, "ten seconds from one caption to the next"
    watch.assert_clean()


def test_scenes_that_change_are_captioned_each(demo_address: str, open_page: OpenPage, tmp_path: Path) -> None:
    camera = write_camera(tmp_path / "scenes.y4m", [scene_pixels(i) for i in (2, 3, 5)], seconds_each=4)
    address = f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1"
    watch = open_page(address, device="wasm", camera=camera, before=RECORD)
    until_running(watch)
    expected = [CAPTIONS[i] for i in (2, 3, 5)]
    watch.wait_until(f"{expected!r}.every((text) => window.captions.includes(text))", seconds=60)
    watch.assert_clean()


def test_faults_of_the_picture_are_said_before_the_model_is_asked(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    scene = scene_pixels(3)
    pictures = [covered(scene), darkened(scene), blurred(scene), scene]
    camera = write_camera(tmp_path / "faults.y4m", pictures, seconds_each=3)
    address = f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1"
    watch = open_page(address, device="wasm", camera=camera, before=RECORD)
    page = until_running(watch)
    for words in ("covered", "too dark", "blurred"):
        watch.wait_until(f"{HINT}.includes({words!r})", seconds=30)
        assert page.is_visible("[data-role=hint]")
    watch.wait_until(f"{HINT} === ''", seconds=30)
    assert page.is_hidden("[data-role=hint]"), "nothing is wrong with this picture"
    assert page.is_hidden("[data-role=torch]"), "this camera has no lamp"
    watch.assert_clean()


def test_lamp_of_the_camera_can_be_switched(demo_address: str, open_page: OpenPage, tmp_path: Path) -> None:
    camera = write_camera(tmp_path / "scene.y4m", [darkened(scene_pixels(3))], seconds_each=2)
    lamp = """
      window.lamp = [];
      MediaStreamTrack.prototype.getCapabilities = () => ({ torch: true });
      MediaStreamTrack.prototype.applyConstraints = async ({ advanced }) => { window.lamp.push(advanced[0].torch); };
    """
    address = f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1"
    watch = open_page(address, device="wasm", camera=camera, before=lamp, bypass_csp=True)
    page = until_running(watch)
    page.wait_for_selector("[data-role=hint]", state="visible")
    assert_accessible(page, "camera")
    for pressed in ("true", "false"):
        page.click("[data-role=torch]")
        page.wait_for_selector(f"[data-role=torch][aria-pressed={pressed}]")
    assert page.evaluate("window.lamp") == [True, False]
    page.evaluate("MediaStreamTrack.prototype.applyConstraints = async () => { throw new Error('burnt out') }; 0")
    page.click("[data-role=torch]")
    watch.wait_until("document.querySelector('[data-role=status]').textContent.includes('burnt out')", seconds=5)
    assert page.get_attribute("html", "data-state") == "running", "a lamp that refuses is no end of the captions"
    page.focus("[data-role=torch]")
    page.keyboard.press("p")
    page.wait_for_selector('html[data-state="paused"]')
    assert page.evaluate("document.activeElement.dataset.role") == "pause", "the lamp is gone, and the focus with it"


def test_pause_stops_a_caption_in_the_middle_and_lets_the_camera_go(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    camera = write_camera(tmp_path / "scenes.y4m", [scene_pixels(i) for i in (2, 3)], seconds_each=1)
    address = f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1&gate=0"
    watch = open_page(address, device="wasm", camera=camera, before=RECORD)
    until_captioned(watch)
    page = watch.page
    page.evaluate("""new Promise((resolve) => {
      const shown = document.querySelector('[data-role=caption]');
      const look = () => {
        if (shown.dataset.done === 'true') return setTimeout(look);
        document.querySelector('[data-role=pause]').click();
        resolve();
      };
      look();
    })""")
    page.wait_for_selector('html[data-state="paused"]')
    assert page.get_attribute("[data-role=caption]", "data-done") == "true", "words go on coming"
    assert not page.evaluate(CAMERA_ON)
    finished, spoken = page.evaluate("[window.captions.length, window.spoken.length]")
    page.wait_for_timeout(5000)
    assert page.evaluate("[window.captions.length, window.spoken.length]") == [finished, spoken]
    watch.assert_clean()


def test_describe_now_takes_one_picture_while_paused(demo_address: str, open_page: OpenPage, tmp_path: Path) -> None:
    camera = write_camera(tmp_path / "scene.y4m", [scene_pixels(5)], seconds_each=2)
    address = f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1"
    watch = open_page(address, device="wasm", camera=camera, before=RECORD)
    assert until_captioned(watch) == CAPTIONS[5]
    page = watch.page
    watch.wait_until("window.spoken.length > 0", seconds=30)  # after pause nothing is said any more
    page.click("[data-role=pause]")
    page.wait_for_selector('html[data-state="paused"]')
    done = page.evaluate("window.captions.length")
    page.click("[data-role=describe]")
    watch.wait_until(f"window.captions.length > {done}", seconds=30)
    page.wait_for_selector('html[data-state="paused"]')
    assert not page.evaluate(CAMERA_ON), "the camera stays on after a single picture"
    # What is asked for is said, also for the second time.
    twice = "window.spoken.slice(-2).every(({ text }) => text === 'Three black balls.') && window.spoken.length > 1"
    watch.wait_until(twice, seconds=10)
    page.click("[data-role=more]")
    watch.wait_until(f"{CAPTION}.startsWith('Describe: three black balls. Read the text: ')", seconds=30)
    watch.assert_clean()


def test_what_changed_compares_the_captions_of_two_moments(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1", device="wasm")
    until_captioned(watch)
    page = watch.page
    page.click("[data-role=pause]")
    page.wait_for_selector('html[data-state="paused"]')
    said = []
    for moment in ("9", "9", "21"):  # of the sample video: scenes 2, 2 and 5
        page.fill("[data-role=seek]", moment)
        page.click("[data-role=changed]")
        before = said[-1] if said else ""
        compared = "document.querySelector('[data-role=compared]').textContent"
        watch.wait_until(f"!['', {before!r}].includes({compared})", seconds=30)
        page.wait_for_selector('html[data-state="paused"]')
        said.append(page.inner_text("[data-role=compared]"))
    assert said[0].startswith(f"Remembered: “{CAPTIONS[2]}”")
    assert said[1].startswith("Nothing has changed since"), said
    assert f"“{CAPTIONS[2]}”" in said[2]
    assert f"“{CAPTIONS[5]}”" in said[2]
    watch.assert_clean()


def test_questions_about_a_frozen_picture_reuse_what_was_computed(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(
        f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1", device="wasm", before=KEEP_WORKER
    )
    until_captioned(watch)
    page = watch.page
    page.click("[data-role=freeze]")
    page.wait_for_selector("html[data-frozen]")
    page.wait_for_timeout(1000)
    reused = []
    turns = "document.querySelectorAll('[data-role=conversation] li').length"
    for turn, question in enumerate(("Describe the picture.", "Is there a car?", "How many cups?"), start=1):
        page.fill("[data-role=question]", question)
        page.press("[data-role=question]", "Enter")
        watch.wait_until(f"{turns} === {turn} && !document.documentElement.hasAttribute('data-answering')", seconds=30)
        reused.append(int(page.get_attribute("html", "data-reused") or -1))
    assert reused[0] == 0 < reused[1] < reused[2], reused
    answers = page.eval_on_selector_all(
        "[data-role=conversation] [lang=en]", "all => all.map((one) => one.textContent)"
    )
    assert answers[1:] == ["no", "none"] or answers[1] in ("yes", "no"), answers
    # A fresh worker knows nothing of it: the picture and all turns are sent once more, and the answers are the same.
    page.evaluate("window.worker.postMessage({ id: 1e6, type: 'forget', payload: {} })")
    page.click("[data-role=quick] button:has-text('Read the text')")
    watch.wait_until(f"{turns} === 4 && !document.documentElement.hasAttribute('data-answering')", seconds=60)
    assert page.get_attribute("html", "data-reused") == "0"
    page.evaluate("""() => {
      const field = document.querySelector('[data-role=question]');
      field.value = 'Is there a ball?';
      field.form.requestSubmit();
      document.querySelector('[data-role=stop-answer]').focus();
    }""")
    assert page.evaluate("document.activeElement.dataset.role") == "stop-answer"
    watch.wait_until("!document.documentElement.hasAttribute('data-answering')", seconds=60)
    assert page.evaluate("document.activeElement.dataset.role") == "question"
    page.click("[data-role=pause]")
    page.wait_for_selector('html[data-state="running"]')
    assert page.is_hidden("[data-role=conversation]")
    watch.assert_clean()


def test_hidden_page_looks_at_nothing_and_goes_on_when_seen_again(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    camera = write_camera(tmp_path / "scenes.y4m", [scene_pixels(i) for i in (2, 3)], seconds_each=1)
    address = f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1&gate=0"
    watch = open_page(address, device="wasm", camera=camera, before=RECORD)
    until_captioned(watch)
    page = watch.page
    hide = """(hidden) => {
      Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }"""
    page.evaluate(hide, True)
    assert page.get_attribute("html", "data-state") == "paused"
    assert not page.evaluate(CAMERA_ON), "the camera films a room that nobody sees"
    noted = "[window.begun, window.captions.length, window.spoken.length]"
    before = page.evaluate(noted)
    page.wait_for_timeout(5000)
    assert page.evaluate(noted) == before, "captions or their announcements go on"
    page.evaluate(hide, False)
    page.wait_for_selector('html[data-state="running"]')
    watch.wait_until(f"window.begun > {before[0]} && ({CAMERA_ON})", seconds=30)
    page.click("[data-role=pause]")
    page.evaluate(hide, True)
    page.evaluate(hide, False)
    page.wait_for_timeout(500)
    assert page.get_attribute("html", "data-state") == "paused", "the visitor had paused it"
    watch.assert_clean()


def test_colours_count_and_plain_pictures_are_captioned(demo_address: str, open_page: OpenPage, tmp_path: Path) -> None:
    grey = np.full((320, 320, 3), 90.0)
    inside = np.hypot(*np.mgrid[-160:160, -160:160]) < 60
    balls = [np.where(inside[..., None], colour, grey) for colour in ((255.0, 40.0, 40.0), (40.0, 150.0, 40.0))]
    camera = write_camera(tmp_path / "balls.y4m", balls, seconds_each=2)
    address = f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1"
    watch = open_page(address, device="wasm", camera=camera, before=RECORD, bypass_csp=True)
    until_captioned(watch)
    page = watch.page
    watch.wait_until("window.begun > 3", seconds=30)  # red and green balls of the same grey take turns
    file = io.BytesIO()
    Image.new("RGB", (640, 240), (0, 0, 60)).save(file, "PNG")
    plain = {"name": "blue.png", "mimeType": "image/png", "buffer": file.getvalue()}
    page.evaluate("""() => {
      const shown = document.querySelector('[data-role=caption]');
      window.cleared = false;
      new MutationObserver(() => { window.cleared ||= shown.textContent === ''; }).observe(shown, { childList: true });
    }""")
    page.set_input_files("[data-role=pick]", files=[plain])
    watch.wait_until(f"window.cleared && !!{CAPTION}", seconds=30)
    watch.wait_until(RESTING, seconds=20)
    assert page.is_hidden("[data-role=hint]"), "nobody holds a finger on a file"
    assert_accessible(page, "picture")
    watch.assert_clean()
