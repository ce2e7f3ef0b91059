"""What the app refuses: too much, no pictures, places to fetch from, paths to open, routes that nobody needs."""

from __future__ import annotations

import json
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client.exceptions import AppError
from PIL import Image

from builder.embedded.scenes import DESCRIBE
from tests.fallback.conftest import App, as_bytes, inline, stored

ANSWER = 1
"""Number of /answer in a captioner: /caption comes first."""
SECRET = "root:x:0:0"
ESCAPES = [
    "/etc/passwd",
    "../../../../etc/passwd",
    "app.py",
    str(Path(__file__)),
    "/proc/self/environ",
]
ADDRESSES = [
    "http://127.0.0.1:{port}/picture.png",
    "HTTP://localhost:{port}/picture.png",
    "  http://127.0.0.1:{port}/picture.png",
    "//127.0.0.1:{port}/picture.png",
    "http://[::1]:{port}/picture.png",
    "http://169.254.169.254/latest/meta-data",
    "https://example.com/picture.png",
    "file:///etc/passwd",
    "ftp://127.0.0.1/picture.png",
]


@contextmanager
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A port on loopback, and what anybody said to it."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    heard.append(connection.recv(1000))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield server.getsockname()[1], heard
        finally:
            done.set()
            thread.join()


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it has this many pixels, and is small."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    parts = [
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big") for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def refusal(app: App, picture: Any, question: str = DESCRIBE) -> str:
    """What the app says to a picture that it must not take."""
    said = app.raw(ANSWER, [picture, question, 4, []])
    assert "data" not in said, "it was answered"
    return str(said["error"])


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (inline(b"no picture at all"), "no picture"),
        (inline(b""), "no picture"),
        (inline(as_bytes(Image.effect_noise((64, 64), 80))[:1000]), "no picture"),
        (inline(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"), "no picture"),
        (inline(bomb(20_000, 20_000)), "pixels"),
        (inline(bomb(12_001, 4)), "pixels"),
        (inline(as_bytes(Image.new("RGB", (2100, 100)))), "times as long"),
        ({**inline(b""), "url": "data:image/png;base64,@@@@"}, "damaged"),
        ({**inline(b""), "url": "data:text/html,hello"}, "addresses are not fetched"),
        (None, "There is no picture"),
    ],
    ids=["text", "nothing", "cut", "svg", "bomb", "side", "strip", "base64", "html", "none"],
)
def test_picture_that_is_none_or_too_large_is_refused_in_words(caption_app: App, picture: Any, words: str) -> None:
    assert words in refusal(caption_app, picture)
    assert caption_app.is_alive()


def test_picture_of_too_many_bytes_is_refused_inside_a_request_and_as_an_upload(caption_app: App) -> None:
    large = b"\xff\xd8" + bytes(16_000_000)
    assert "too large" in refusal(caption_app, inline(large, "image/jpeg"))
    answer = httpx.post(f"{caption_app.address}gradio_api/upload", files={"files": ("a.jpg", large)}, timeout=60)
    assert answer.status_code == 413
    assert not [path for path in caption_app.uploads.rglob("*.jpg") if path.stat().st_size > 10_500_000]
    assert caption_app.is_alive()


def test_body_without_a_length_is_cut_off_where_it_becomes_too_large(caption_app: App) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1_000_000)

    try:
        answer = httpx.post(f"{caption_app.address}gradio_api/queue/join", content=endless(), timeout=60)
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # the connection was closed while the rest was still being sent
    assert caption_app.is_alive()


def test_disk_is_not_filled_by_uploads(caption_app: App, space_module: Callable[[str], Any]) -> None:
    guard = space_module("guard")
    kept = caption_app.uploads / "kept.bin"
    files = {"files": ("a.png", as_bytes(Image.new("RGB", (8, 8))))}
    address = f"{caption_app.address}gradio_api/upload"
    with kept.open("wb") as file:
        file.truncate(guard.ROOM)  # sparse: no byte of it is on the disk
    full = httpx.post(address, files=files, timeout=60)
    kept.unlink()
    assert full.status_code == 503
    assert "no room for more pictures" in full.json()["detail"]
    many = [("files", (f"{number}.png", bytes(9_000_000))) for number in range(8)]
    assert httpx.post(address, files=many, timeout=60).status_code == 413
    assert httpx.post(address, content=iter([b"a"]), timeout=60).status_code == 411
    assert httpx.post(address, files=files, timeout=60).status_code == 200


@pytest.mark.parametrize("path", ESCAPES)
def test_path_that_was_not_uploaded_is_refused(caption_app: App, path: str) -> None:
    said = refusal(caption_app, stored(path))
    assert SECRET not in said
    assert "picture" not in said or "sent itself" in said, "it was opened"
    answer = httpx.get(f"{caption_app.address}gradio_api/file={path}", timeout=60)
    assert answer.status_code in (400, 403, 404)
    assert SECRET not in answer.text


@pytest.mark.parametrize("address", ADDRESSES)
def test_address_in_place_of_a_picture_is_not_fetched(caption_app: App, address: str) -> None:
    with listener() as (port, heard):
        place = address.format(port=port)
        data = [stored(place, url=place), DESCRIBE, 4]
        for path, body in (
            ("queue/join", {"data": data, "fn_index": 0, "session_hash": "x"}),
            ("call/answer", {"data": data}),
            ("call/answer", {"data": [None, stored(place), 4]}),
            ("call/answer", {"data": [None, [{"a": stored(place)}], 4]}),
            ("run/answer", {"data": data}),
        ):
            answer = caption_app.post(path, body)
            assert answer.status_code == 400, (path, answer.text)
            assert "not fetched" in answer.json()["detail"]
        assert "not fetched" in refusal(caption_app, {"path": None, "url": place, "meta": stored("")["meta"]})
        fetched = httpx.get(f"{caption_app.address}gradio_api/file={place.strip()}", timeout=60)
        assert fetched.status_code in (403, 404)
    assert not heard


def test_name_of_an_upload_cannot_leave_the_folder_of_uploads(caption_app: App) -> None:
    picture = as_bytes(Image.new("RGB", (8, 8)))
    files = {"files": ("../../../evil<img>.png", picture)}
    (path,) = httpx.post(f"{caption_app.address}gradio_api/upload", files=files, timeout=60).json()
    assert Path(path).resolve().is_relative_to(caption_app.uploads.resolve())
    assert "<" not in path


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/proxy=http://127.0.0.1/",
        "gradio_api/vibe-code",
        "gradio_api/component_server/",
        "gradio_api/process_recording",
        "gradio_api/runs",
        "gradio_api/deep_link",
        "gradio_api/dev/reload",
        "monitoring",
        "login",
        "docs",
    ],
)
def test_route_that_nobody_needs_does_not_exist(caption_app: App, path: str) -> None:
    for method in ("GET", "POST"):
        assert httpx.request(method, caption_app.address + path, timeout=60).status_code == 404


def test_page_of_another_name_for_this_machine_gets_nothing(caption_app: App) -> None:
    answer = httpx.get(f"{caption_app.address}config", headers={"host": "evil.example"}, timeout=60)
    assert answer.status_code == 400


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"path": ' * 100_000, b"{", b"\xff\xfe"])
def test_body_that_is_no_json_is_refused(caption_app: App, body: bytes) -> None:
    address = f"{caption_app.address}gradio_api/queue/join"
    answer = httpx.post(address, content=body, headers={"content-type": "application/json"}, timeout=60)
    assert answer.status_code == 400
    assert json.loads(answer.text)["detail"].startswith("What was sent")


@pytest.mark.parametrize(
    ("question", "words"), [("", "no question"), ("a" * 2001, "characters"), ("what is <image> ?", "must not hold")]
)
def test_question_that_cannot_be_asked_is_refused_in_words(caption_app: App, question: str, words: str) -> None:
    assert words in refusal(caption_app, inline(as_bytes(Image.new("RGB", (64, 64)))), question)


def test_search_says_which_of_the_pictures_cannot_be_read(search_app: App, tmp_path: Path) -> None:
    from gradio_client import handle_file

    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(AppError, match=r"bad\.png: This is no picture"):
        search_app.client.predict("a red cup", [handle_file(bad)], api_name="/search")
    with pytest.raises(AppError, match="no pictures"):
        search_app.client.predict("a red cup", [], api_name="/search")
