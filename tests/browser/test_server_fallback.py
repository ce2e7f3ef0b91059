"""shared/server.js in a real Chromium, under a site's policy, against the real Gradio app in a process of its own."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Playwright

from builder.embedded import model_dir
from builder.embedded.painting import render
from builder.embedded.samples import video_scenes
from builder.embedded.scenes import DESCRIBE
from builder.manifest import file_entry, read_manifest
from builder.policy import site_policy
from builder.preview import running_server
from builder.tasks import embed, pixel_values
from builder.versions import GENERATOR
from tests.conftest import REPOSITORY
from tests.fallback.conftest import answers

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SCENES = 3
PIXELS = 320


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    return [render(scene, PIXELS) for scene in video_scenes()[:SCENES]]


@pytest.fixture(scope="module")
def closed_url() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


@pytest.fixture(scope="module")
def quota_url() -> Iterator[str]:
    """A real Gradio app that says what ZeroGPU says to a visitor whose share is used up."""
    import gradio as gr

    def health() -> dict[str, Any]:
        return {
            "status": "ok",
            "name": "scenes-vlm",
            "image": {"width": 128, "height": 128, "fit": "crop", "resample": "bilinear"},
        }

    def answer(picture: dict[str, Any], question: str, max_new_tokens: float) -> str:
        raise gr.Error("You have exceeded your free ZeroGPU quota (30s requested vs. 0s left).", print_exception=False)

    with gr.Blocks(analytics_enabled=False) as page:
        gr.api(health, api_name="health", queue=False)
        gr.api(answer, api_name="answer")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, run_history=False)
    yield address
    page.close()


@pytest.fixture(scope="module")
def page(
    scenes: list[Image.Image],
    caption_url: str,
    search_url: str,
    closed_url: str,
    quota_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    tools: Playwright,
    chromium: str,
) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("server-bridge")
    template = REPOSITORY / "web_template"
    shutil.copytree(template / "shared", folder / "shared")
    (folder / "runtime").mkdir()
    shutil.copy(template / "runtime" / "gradio-client.min.js", folder / "runtime")
    shutil.copy(Path(__file__).with_name("server_bridge.js"), folder)
    for number, scene in enumerate(scenes):
        scene.save(folder / f"scene{number}.png")
    scenes[0].resize((1280, 720)).save(folder / "frame.jpg", quality=90)
    script = '<script type="module" src="server_bridge.js"></script>'
    (folder / "index.html").write_text(f"<!doctype html>{script}", encoding="utf-8")
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    record = {
        "page": "server-bridge",
        "generator": GENERATOR,
        "policy": site_policy([url.rstrip("/") for url in (caption_url, search_url, closed_url, quota_url)]),
        "files": [asdict(file_entry(folder, path)) for path in files],
    }
    (folder / "manifest.json").write_text(json.dumps(record), encoding="utf-8")
    with running_server(folder) as address:
        arguments = ["--headless=new", "--no-sandbox"]
        browser = tools.chromium.launch(executable_path=chromium, headless=False, args=arguments)
        opened = browser.new_page()
        opened.add_init_script(
            "window.violations = [];"
            "document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.blockedURI))"
        )
        opened.goto(address)
        for _ in range(100):
            if opened.evaluate("() => globalThis.ready === true"):
                break
            opened.wait_for_timeout(100)
        yield opened
        violations = opened.evaluate("() => window.violations")
        browser.close()
    assert not violations


def call(page: Page, function: str, **given: Any) -> Any:
    return page.evaluate(f"(given) => globalThis.{function}(given)", given)


def test_captions_are_those_of_the_same_graphs_and_every_byte_is_counted(
    page: Page, caption_url: str, scenes: list[Image.Image]
) -> None:
    assert "load_ms" in call(page, "load", url=caption_url, name="scenes-vlm")
    for number, expected in enumerate(answers(scenes, DESCRIBE)):
        got = call(page, "caption", url=caption_url, picture=f"scene{number}.png", prompt=DESCRIBE)
        assert got["text"] == expected
        assert "".join(got["pieces"]).strip() == expected
        assert len(got["pieces"]) == got["tokens"]
        assert 0 < got["first_token_ms"] <= got["total_ms"]
        assert got["cut"] is False
        assert got["closed"]
        assert 1_000 < got["sent"] < 60_000, "of a picture no more goes than the model looks at"
        assert got["told"] == got["total"]


def test_frame_of_a_camera_is_cut_and_made_small_before_it_is_sent(page: Page, caption_url: str) -> None:
    got = call(page, "caption", url=caption_url, picture="frame.jpg", prompt=DESCRIBE, max_new_tokens=2)
    assert got["tokens"] == 2
    assert got["cut"] is True
    assert got["sent"] < 60_000


def test_stopped_caption_ends_as_an_abort_and_the_next_one_is_whole(
    page: Page, caption_url: str, scenes: list[Image.Image]
) -> None:
    stopped = call(page, "caption", url=caption_url, picture="scene0.png", prompt=DESCRIBE, stop_at=1)
    assert stopped["error"] == "AbortError"
    assert len(stopped["pieces"]) == 1
    whole = call(page, "caption", url=caption_url, picture="scene0.png", prompt=DESCRIBE)
    assert whole["text"] == answers(scenes[:1], DESCRIBE)[0]


def test_terminated_bridge_ends_what_is_open_and_answers_nothing_more(page: Page, caption_url: str) -> None:
    open_one, later = call(page, "terminate", url=caption_url, picture="scene0.png", prompt=DESCRIBE)
    assert open_one["error"] == later["error"] == "AbortError"


def test_vectors_are_those_of_the_same_graphs(page: Page, search_url: str, scenes: list[Image.Image]) -> None:
    model = model_dir("scenes-clip")
    manifest = read_manifest(model)
    plain = dict.fromkeys(manifest.components, "fp32")
    of_pictures, of_texts = embed(model, manifest, plain, pixel_values(model, manifest, scenes), ["a red cup"])
    image = asdict(manifest.image)
    names = [f"scene{number}.png" for number in range(SCENES)]
    got = call(page, "embed", url=search_url, image=image, pictures=names, texts=["a red cup"])
    np.testing.assert_allclose(got[:SCENES], of_pictures, atol=1e-4)
    np.testing.assert_allclose(got[SCENES:], of_texts, atol=1e-5)


def test_many_at_once_are_answered_or_told_that_the_server_is_busy(
    page: Page, caption_url: str, scenes: list[Image.Image]
) -> None:
    expected = answers(scenes[:1], DESCRIBE)[0]
    got = call(page, "captionsAtOnce", count=30, url=caption_url, picture="scene0.png", prompt=DESCRIBE)
    answered = [one for one in got if one.get("text") == expected]
    others = [one for one in got if one.get("text") != expected]
    assert answered
    assert {one.get("error") for one in others} <= {"ServerBusy"}, others
    assert all("busy" in one["message"] for one in others)


def test_failures_come_as_sentences(page: Page, caption_url: str, closed_url: str, quota_url: str) -> None:
    host = closed_url.removeprefix("http://").rstrip("/")
    unreachable = call(page, "load", url=closed_url, name="scenes-vlm")
    assert unreachable["error"] == "ServerUnreachable"
    assert host in unreachable["message"]
    other = call(page, "load", url=caption_url, name="another-model")
    assert other["error"] == "ServerChanged"
    assert "another-model" in other["message"]
    refused = call(page, "caption", url=caption_url, picture="scene0.png", prompt="a" * 3000)
    assert refused["error"] == "ServerRefused"
    assert "2000 characters" in refused["message"]
    quota = call(page, "caption", url=quota_url, picture="scene0.png", prompt=DESCRIBE)
    assert quota["error"] == "ServerQuota"
    assert "used up" in quota["message"]
