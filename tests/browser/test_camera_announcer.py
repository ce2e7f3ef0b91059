"""What a screen reader gets to hear of the captions, under a clock that the test turns."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from playwright.sync_api import Page

from tests.browser.camera_page import RECORD, SPOKEN, choose, until_captioned
from tests.browser.conftest import OpenPage, Watch

pytestmark = [pytest.mark.browser, pytest.mark.slow]
MAKE = """async () => {
  const { Announcer } = await import(new URL('app/shared/announcer.js', document.baseURI));
  const region = document.querySelector('[data-role=announcer]');
  window.heard = [];
  new MutationObserver(() => region.textContent && window.heard.push([region.textContent, performance.now()]))
    .observe(region, { childList: true, characterData: true, subtree: true });
  window.announcer = new Announcer(region);
}"""
SPEAK = """
window.uttered = [];
window.speechSynthesis.__proto__.speak = (utterance) => {
  window.uttered.push(utterance.text);
  window.spokenBy = utterance.voice.name;
  if (!window.endless) setTimeout(() => utterance.onend?.(new Event('end')), 1000);
};
window.speechSynthesis.__proto__.cancel = () => {};
window.voice = (name, lang, localService) => ({ name, lang, localService, voiceURI: name, default: !localService });
window.voices = [voice('Far', 'en-US', false)];
window.speechSynthesis.__proto__.getVoices = () => window.voices;
Object.defineProperty(SpeechSynthesisUtterance.prototype, 'voice', {
  get() { return this.chosen; },
  set(chosen) { this.chosen = chosen; },
});
"""
"""No voice is installed in a headless browser; a speaker would not be heard either."""


@pytest.fixture
def announcer(demo_address: str, open_page: OpenPage) -> Page:
    """A page with an announcer of its own as ``window.announcer`` and a clock that stands still."""
    page = open_page(f"{demo_address}camera-caption/?device=wasm", device="wasm").page
    page.wait_for_selector("[data-role=start]", state="visible")
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))
    page.evaluate(MAKE)
    return page


def heard(page: Page) -> list[str]:
    """All that was announced."""
    page.clock.run_for(1)
    return [text for text, _ in page.evaluate("window.heard")]


def test_announcements_keep_their_distance_and_the_newest_wins(announcer: Page) -> None:
    for second in range(40):  # a caption each half second
        announcer.evaluate("(text) => window.announcer.announce(text)", f"a cup number {second}")
        announcer.clock.run_for(500)
    said = announcer.evaluate("window.heard")
    assert len(said) == 6, said
    times = [at_ms for _, at_ms in said]
    assert all(later - earlier >= 4000 for earlier, later in pairwise(times)), times
    numbers = [int(re.findall(r"\d+", text)[0]) for text, _ in said]
    assert numbers == [0, 7, 15, 23, 31, 39], "not the newest of those that waited"


def test_announcements_are_whole_sentences(announcer: Page) -> None:
    announcer.evaluate("window.announcer.announce('  a red cup\\n left of a ball ')")
    assert heard(announcer) == ["A red cup left of a ball."]


def test_same_words_and_same_scene_are_announced_once(announcer: Page) -> None:
    for text, scene in (("a cup", "1"), ("a cup", "2"), ("a red cup", "2"), ("one red cup", "2"), ("a ball", "3")):
        announcer.evaluate("([text, scene]) => window.announcer.announce(text, { scene })", [text, scene])
        announcer.clock.run_for(10_000)
    assert heard(announcer) == ["A cup.", "A red cup.", "A ball."]
    for text, scene in (("It is too dark.", ""), ("two balls", "3")):
        announcer.evaluate("([text, scene]) => window.announcer.announce(text, { scene })", [text, scene])
        announcer.clock.run_for(10_000)
    announcer.evaluate("window.announcer.answer('Nothing has changed.')")
    announcer.evaluate("window.announcer.announce('a blue ball', { scene: '3' })")
    announcer.clock.run_for(10_000)
    assert heard(announcer)[3:] == ["It is too dark.", "Nothing has changed."], "a hint makes no new scene"


def test_nothing_is_announced_after_a_pause(announcer: Page) -> None:
    announcer.evaluate("window.announcer.announce('a cup')")
    announcer.evaluate("window.announcer.announce('a ball')")
    announcer.evaluate("window.announcer.silence()")
    announcer.clock.run_for(60_000)
    assert heard(announcer) == ["A cup."]


def test_what_is_asked_for_is_said_at_once_and_again(announcer: Page) -> None:
    announcer.evaluate("window.announcer.announce('a cup')")
    announcer.evaluate("window.announcer.answer('a cup')")
    announcer.clock.run_for(500)
    assert heard(announcer) == ["A cup.", "A cup."], "the region has to change for the same words to be read again"
    announcer.evaluate("window.announcer.interval_ms = 15_000")
    announcer.evaluate("window.announcer.announce('a ball')")
    announcer.clock.run_for(10_000)
    assert heard(announcer) == ["A cup.", "A cup."]
    announcer.clock.run_for(6_000)
    assert heard(announcer)[-1] == "A ball."


def test_live_page_announces_seldom_in_whole_sentences_and_alerts_on_failure(
    demo_address: str, open_page: OpenPage
) -> None:
    address = f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1&gate=0"
    watch = open_page(address, device="wasm", before=RECORD)
    until_captioned(watch)
    page = watch.page
    page.wait_for_timeout(13_000)
    spoken = page.evaluate("window.spoken")
    assert len(spoken) >= 2
    assert all(re.fullmatch(r"[A-Z].*\.", entry["text"]) for entry in spoken), spoken
    assert all(
        later["at_ms"] - earlier["at_ms"] >= 3990 and later["text"] != earlier["text"]
        for earlier, later in pairwise(spoken)
    ), spoken
    assert page.evaluate("document.querySelectorAll('[aria-live=assertive]').length") == 0
    page.evaluate("document.querySelector('video').dispatchEvent(new Event('error'))")
    assert page.is_hidden("[role=alert]"), "nothing is alarmed about without a failure"
    page.route("**/*.webm", lambda route: route.abort())
    page.evaluate("document.querySelector('video').src = 'sample/gone.webm'")
    page.wait_for_selector("[role=alert]", state="visible", timeout=30_000)


def test_voice_of_the_page_takes_the_place_of_the_screen_reader(demo_address: str, open_page: OpenPage) -> None:
    address = f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1&gate=0"
    watch = open_page(address, device="wasm", before=RECORD + SPEAK)
    until_captioned(watch)
    page = watch.page
    assert page.evaluate("window.uttered") == [], "speech is off until it is asked for"
    choose(page, "speak", "voice")
    assert "screen reader" in page.inner_text("[data-part=voice]")
    page.wait_for_timeout(1000)
    assert page.evaluate("window.uttered") == [], "a voice of a server was sent the captions"
    assert page.is_visible("[data-part=no-voice]")
    assert "no voice of its own" in watch.status()
    choose(page, "speak", "reader")
    page.evaluate("window.voices.push(voice('Nah', 'zh-CN', true), voice('Near', 'en-GB', true))")
    page.evaluate("window.endless = true")
    choose(page, "speak", "voice")
    assert page.evaluate("[window.uttered, window.spokenBy]") == [["This is the voice."], "Near"]
    assert page.is_hidden("[data-part=no-voice]")
    before = page.evaluate("window.spoken.length")
    watch.wait_until("window.uttered.length > 1", seconds=30)  # although the browser never says that one has ended
    page.evaluate("window.endless = false")
    watch.wait_until("window.uttered.length > 2", seconds=30)
    assert page.evaluate("window.spoken.length") == before, "two voices at once"
    assert all(text.endswith(".") for text in page.evaluate("window.uttered"))
    choose(page, "speak", "nobody")
    uttered = page.evaluate("window.uttered.length")
    page.wait_for_timeout(5000)
    assert page.evaluate("window.uttered.length") == uttered
    assert page.evaluate("window.spoken.length") == before
    watch.assert_clean()


def test_keys_describe_repeat_pause_and_can_be_turned_off(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(
        f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1", device="wasm", before=RECORD
    )
    until_captioned(watch)
    page = watch.page
    assert page.get_attribute("[data-role=describe]", "aria-keyshortcuts") == "D"
    page.keyboard.press("p")
    page.wait_for_selector('html[data-state="paused"]')
    spoken = page.evaluate("window.spoken.length")
    page.keyboard.press("r")
    watch.wait_until(f"window.spoken.length > {spoken}", seconds=5)
    page.keyboard.press("d")
    watch.wait_until(f"window.spoken.length > {spoken} + 1", seconds=30)
    page.wait_for_selector('html[data-state="paused"]')
    page.keyboard.press("m")
    watch.wait_until(f"{SPOKEN}.includes('Read the text:')", seconds=30)
    page.wait_for_selector('html[data-state="paused"]')
    page.keyboard.press("w")
    watch.wait_until(f"{SPOKEN}.startsWith('Remembered')", seconds=30)
    page.wait_for_selector('html[data-state="paused"]')
    _typing_is_left_alone(watch)
    page.keyboard.press("?")
    page.wait_for_selector("[data-role=keys]", state="visible")
    assert page.locator("[data-part=keys] kbd").count() == 7
    assert "browse mode" in page.inner_text("[data-role=keys]")
    page.keyboard.press("p")
    assert page.evaluate("document.documentElement.dataset.state") == "paused", "keys rest while a dialog is open"
    page.keyboard.press("Escape")
    choose(page, "keys", "0")
    assert page.get_attribute("[data-role=describe]", "aria-keyshortcuts") is None
    page.click("h1")
    page.keyboard.press("p")
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.dataset.state") == "paused"
    watch.assert_clean()


def _typing_is_left_alone(watch: Watch) -> None:
    page = watch.page
    page.focus("[data-role=question]")
    page.keyboard.type("dprmwf?")
    assert page.input_value("[data-role=question]") == "dprmwf?"
    assert page.evaluate("document.documentElement.dataset.state") == "paused"
    page.fill("[data-role=question]", "")
    page.click("h1")
