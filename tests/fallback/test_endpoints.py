"""The app's endpoints: exactly those that are promised, with the answers that the same graphs give elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from builder.embedded import model_dir
from builder.embedded.samples import video_scenes
from builder.embedded.scenes import DESCRIBE
from builder.manifest import read_manifest
from builder.tasks import embed, pixel_values
from tests.fallback.conftest import App, answers, as_bytes, inline

READ = "Read the text."
CLIENTS, CROWD = 20, 120
CAPTION = 0
"""Number of /caption in a captioner."""


def test_info_of_a_captioner_lists_exactly_the_promised_endpoints(caption_app: App) -> None:
    assert caption_app.endpoints() == {"/caption", "/answer", "/health"}


def test_info_of_a_dual_encoder_lists_exactly_the_promised_endpoints(search_app: App) -> None:
    assert search_app.endpoints() == {"/embed", "/embed_image", "/embed_text", "/search", "/health"}


def test_health_names_the_model_and_its_dtypes(caption_app: App) -> None:
    (health,) = caption_app.post("run/health", {"data": []}).json()["data"]
    assert health["status"] == "ok"
    assert health["name"] == "scenes-vlm"
    assert health["dtypes"] == dict.fromkeys(("vision_encoder", "embed_tokens", "decoder_model_merged"), "fp32")


def test_caption_streams_what_the_same_graphs_write_elsewhere(
    caption_app: App, pictures: list[Image.Image], captions: list[str]
) -> None:
    for picture, expected in zip(pictures, captions, strict=True):
        steps = list(caption_app.client.submit(inline(as_bytes(picture)), DESCRIBE, api_name="/caption"))
        texts = [text for text, _ in steps]
        assert texts[-1] == expected
        assert len(texts) > 2
        assert all(after.strip().startswith(before.strip()) for before, after in pairwise(texts))
        assert steps[-1][1]["tokens"] == len(texts) - 1


def test_answer_to_an_uploaded_picture_is_that_of_the_same_graphs(
    caption_app: App, pictures: list[Image.Image], tmp_path: Path
) -> None:
    path = tmp_path / "scene.png"
    path.write_bytes(as_bytes(pictures[0]))
    text, figures = caption_app.client.predict(handle_file(path), READ, 40, api_name="/answer")
    assert text == answers(pictures[:1], READ)[0]
    assert figures["tokens"] >= 1
    short, figures = caption_app.client.predict(handle_file(path), DESCRIBE, 2, api_name="/answer")
    assert figures["tokens"] == 2
    assert answers(pictures[:1], DESCRIBE)[0].startswith(short)


def test_question_goes_on_from_the_history_that_is_sent_with_it(
    caption_app: App, pictures: list[Image.Image], captions: list[str], space_module: Callable[[str], Any]
) -> None:
    captions_module = space_module("captions")
    model = space_module("webmodel").find_model({"MODEL_DIR": str(model_dir("scenes-vlm"))})
    pixels = space_module("pictures").fit_picture(pictures[0], model.manifest["image"])
    turns = [captions_module.Turn(question=DESCRIBE, answer=captions[0])]
    *_, expected = captions_module.Captioner(model).answer(pixels, DESCRIBE, 40, turns)
    history = [{"question": DESCRIBE, "answer": captions[0]}]
    picture = inline(as_bytes(pictures[0]))
    text, figures = caption_app.client.predict(picture, DESCRIBE, 40, history, api_name="/answer")
    assert text == expected.text
    assert figures["tokens"] == expected.tokens
    for wrong in ({"question": DESCRIBE}, [DESCRIBE], [{"question": DESCRIBE, "answer": "<image>"}]):
        with pytest.raises(AppError, match=r"conversation is a list|has a question and an answer|must not hold"):
            caption_app.client.predict(picture, DESCRIBE, 40, wrong, api_name="/answer")


def test_vectors_are_those_of_the_same_graphs(search_app: App, pictures: list[Image.Image]) -> None:
    model = model_dir("scenes-clip")
    manifest = read_manifest(model)
    texts = ["a red cup", "a blue ball on the left of a sign"]
    plain = dict.fromkeys(manifest.components, "fp32")
    of_pictures, of_texts = embed(model, manifest, plain, pixel_values(model, manifest, pictures), texts)
    for picture, expected in zip(pictures, of_pictures, strict=True):
        got = search_app.client.predict(inline(as_bytes(picture)), api_name="/embed_image")
        np.testing.assert_allclose(got, expected, atol=1e-5)
    for text, expected in zip(texts, of_texts, strict=True):
        np.testing.assert_allclose(search_app.client.predict(text, api_name="/embed_text"), expected, atol=1e-5)
    addresses = [inline(as_bytes(picture))["url"] for picture in pictures]
    together = search_app.client.predict(addresses, texts, api_name="/embed")
    np.testing.assert_allclose(together, [*of_pictures, *of_texts], atol=1e-5)


def test_search_puts_the_described_picture_first(search_app: App, pictures: list[Image.Image], tmp_path: Path) -> None:
    files = []
    for number, picture in enumerate(pictures):
        files.append(tmp_path / f"scene {number}.png")
        files[-1].write_bytes(as_bytes(picture))
    for number, scene in enumerate(video_scenes()[: len(pictures)]):
        found = search_app.client.predict(scene.caption, [handle_file(file) for file in files], api_name="/search")
        rows = found["data"]
        assert rows[0][1] == f"scene {number}.png"
        assert [row[0] for row in rows] == [1, 2, 3, 4]
        assert [row[2] for row in rows] == sorted((row[2] for row in rows), reverse=True)


def test_parallel_clients_get_the_answer_or_are_told_that_the_app_is_busy(
    caption_app: App, pictures: list[Image.Image], captions: list[str]
) -> None:
    picture = inline(as_bytes(pictures[0]))
    clients = [Client(caption_app.address, verbose=False) for _ in range(2)]

    def call(number: int) -> str:
        try:
            text: str = clients[number % 2].predict(picture, DESCRIBE, api_name="/caption")[0]
            return text
        except httpx.HTTPStatusError as error:
            return str(error.response.status_code)
        except Exception as error:  # gradio_client's own for a full queue has no class of its own in every version
            return f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(CLIENTS) as pool:
        got = list(pool.map(call, range(CLIENTS)))
    answered = [text for text in got if text == captions[0]]
    busy = [text for text in got if text != captions[0]]
    assert answered
    assert all("busy" in text.lower() or "queue is full" in text.lower() or text == "503" for text in busy), busy
    assert caption_app.is_alive()


def test_who_comes_when_the_queue_is_full_is_told_that_the_app_is_busy(
    caption_app: App, pictures: list[Image.Image]
) -> None:
    """Nobody waits for an answer here, so that callers come faster than the model writes."""
    data = [inline(as_bytes(pictures[0])), DESCRIBE]

    def join(number: int) -> httpx.Response:
        return caption_app.post("queue/join", {"data": data, "fn_index": CAPTION, "session_hash": f"crowd{number}"})

    with ThreadPoolExecutor(CLIENTS) as pool:
        got = list(pool.map(join, range(CROWD)))
    told = [answer for answer in got if answer.status_code != 200]
    assert told
    assert len(told) < CROWD
    assert {answer.status_code for answer in told} == {503}
    assert all("queue is full" in answer.json()["detail"].lower() for answer in told), told[0].text
    deadline = time.monotonic() + 120
    while "error" in caption_app.raw(CAPTION, data):
        assert time.monotonic() < deadline, "the queue never emptied"
        time.sleep(0.5)


def test_pictures_inside_requests_are_never_written_down(caption_app: App, pictures: list[Image.Image]) -> None:
    before = {path for path in caption_app.uploads.rglob("*") if path.is_file()}
    caption_app.client.predict(inline(as_bytes(pictures[1])), DESCRIBE, api_name="/caption")
    assert {path for path in caption_app.uploads.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["gradio-config", "index"])
def test_page_of_the_app_asks_no_other_host_for_anything(caption_app: App, name: str) -> None:
    text = httpx.get(caption_app.address + ("config" if name == "gradio-config" else ""), timeout=60).text
    assert "fonts.googleapis.com" not in text
    assert "cdnjs" not in text
