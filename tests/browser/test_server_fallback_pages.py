"""Both pages with a server in place of the model: a real Chromium, the real Gradio app in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Request

from builder import build
from builder.embedded.painting import render
from builder.embedded.samples import ALBUM_SIZE, album_scenes, video_scenes
from builder.embedded.scenes import DESCRIBE
from builder.preview import running_server
from tests.browser.conftest import OpenPage, Watch, screenshot_on_failure
from tests.browser.photo_page import until_idle
from tests.fallback.conftest import answers

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PIXELS = 320
QUESTIONS = ["Describe the picture.", "How many cups?"]
STRANGE = ["a black cat", "an airplane in the clouds", "rain on a window"]
"""Nothing of the kind is in the album, so that the page has more to show than what matches."""
NO_WASM = "--js-flags=--jitless"
"""Takes WebAssembly away from pages and workers, as a browser that is locked down does."""
GRAPHS = (".onnx", ".wasm", "transformers.min.js")


def test_caption_page_asks_the_server_after_consent_and_follows_up_on_questions(
    caption_url: str, open_page: OpenPage, tmp_path: Path
) -> None:
    build("camera-caption", model="scenes-vlm", out=tmp_path / "site", server=caption_url)
    scenes = video_scenes()
    expected = set(answers([render(scene, PIXELS) for scene in scenes], DESCRIBE))
    with running_server(tmp_path / "site") as address:
        watch = open_page(f"{address}?device=server&source=sample", device="wasm", flags=[NO_WASM])
        watch.page.wait_for_selector("[data-role=consent-server]", timeout=60_000)
        assert not [url for url in watch.requested if url.startswith(caption_url)], "asked before the visitor agreed"
        watch.page.click("[data-role=consent-server]")
        watch.wait_until("Boolean(document.querySelector('[data-role=caption]').dataset.caption)", seconds=120)
        said = watch.page.evaluate("document.querySelector('[data-role=caption]').dataset.caption")
        assert said in expected
        assert [url for url in watch.requested if url.startswith(caption_url)]
        assert not [url for url in watch.requested if url.endswith(GRAPHS)], "the model was fetched as well"
        asked: list[dict[str, Any]] = []
        watch.page.on("request", lambda request: _note_question(asked, request))
        watch.page.click("[data-role=freeze]")
        watch.page.wait_for_selector("html[data-frozen]")
        for turn, question in enumerate(QUESTIONS, start=1):
            watch.page.fill("[data-role=question]", question)
            watch.page.press("[data-role=question]", "Enter")
            watch.page.wait_for_selector(f"html:not([data-answering]) [data-role=conversation] li:nth-child({turn})")
        first, second = asked[-2:]
        turns = watch.page.eval_on_selector_all(
            "[data-role=conversation] [lang=en]", "all => all.map(e => e.innerText)"
        )
        assert [first["question"], second["question"]] == QUESTIONS
        assert first["history"] == []
        assert second["history"] == [{"question": QUESTIONS[0], "answer": turns[0]}]
        assert second["picture"] == first["picture"]
        watch.page.click("[data-role=leave-server]")
        watch.page.wait_for_selector('html[data-state="paused"][data-model="none"]')
        assert not watch.page.inner_text("[data-role=sent]").startswith("0 ")
        assert not watch.page.is_visible("[data-part=privacy]"), "“no picture leaves this device”, and some have"
        watch.page.wait_for_timeout(500)  # what was under way
        before = len(watch.requested)
        watch.page.wait_for_timeout(2000)
        assert not [url for url in watch.requested[before:] if url.startswith(caption_url)], "it went on sending"
        watch.assert_clean()


def _note_question(asked: list[dict[str, Any]], request: Request) -> None:
    data = (request.post_data_json or {}).get("data") if request.method == "POST" else None
    if data and len(data) == 4:
        asked.append({"picture": data[0]["url"], "question": data[1], "history": data[3]})


def nearest(watch: Watch, query: str) -> list[str]:
    """Names of the five nearest photos, whatever lies above the cut-off."""
    page = watch.page
    page.fill("[data-role=query]", query)
    page.wait_for_selector(f"[data-role=status]:has-text('“{query}”')", timeout=60_000)
    if page.is_visible("[data-role=show-near]"):
        page.click("[data-role=show-near]")
    page.wait_for_selector("[data-role=results]:not(:has([data-photo]:not([data-name])))")
    found = page.eval_on_selector_all("[data-role=results] [data-photo]", "all => all.map(e => e.dataset.name)")
    return list(found)[:5]


def test_photo_search_without_webassembly_finds_on_the_server_what_the_page_finds_itself(
    search_url: str, open_page: OpenPage, tmp_path: Path
) -> None:
    build("photo-search", model="scenes-clip", out=tmp_path / "site", server=search_url)
    queries = [next(iter(album_scenes().values())).caption, *STRANGE]
    with running_server(tmp_path / "site") as address:
        own = open_page(f"{address}?device=wasm&source=sample&autostart=1", device="wasm")
        until_idle(own, f"{ALBUM_SIZE} photos")
        expected = [nearest(own, query) for query in queries]
        assert expected[0]
        assert [len(names) for names in expected[1:]] == [5] * len(STRANGE)
        assert not [url for url in own.requested if url.startswith(search_url)], "asked although nobody agreed"
        own.assert_clean()
        own.page.close()

        watch = open_page(f"{address}?source=sample", device="wasm", flags=[NO_WASM])
        with screenshot_on_failure(watch, "photo-search-server"):
            watch.page.wait_for_selector("[data-role=consent-server]", timeout=60_000)
            assert "forbids WebAssembly" in watch.page.inner_text("[data-part=reason]")
            assert "sent to" in watch.page.inner_text("[data-part=server-words]")
            assert not [url for url in watch.requested if url.startswith(search_url)], "asked before the visitor agreed"
            watch.page.click("[data-role=consent-server]")
            until_idle(watch, f"{ALBUM_SIZE} photos")
            assert [nearest(watch, query) for query in queries] == expected
            sent = int("".join(filter(str.isdigit, watch.page.inner_text("[data-role=sent]"))))
            assert sent > ALBUM_SIZE * 1000
            assert "They stay on this device" not in watch.page.inner_text("body")
            assert not watch.page.is_visible("[data-role=start]"), "no model runs here"
            assert not [url for url in watch.requested if url.endswith(GRAPHS)], "the model was fetched as well"
        watch.assert_clean()
