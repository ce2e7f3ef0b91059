"""What visits need: a slow line, a camera, and the page that ours is compared with."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from builder.bench._browser import open_chromium, processor_seconds
from builder.bench._camera import HEIGHT, RATE, SECONDS_EACH, WIDTH, write_camera
from builder.bench._contract import OURS
from builder.bench._server import serve
from builder.bench.caption import EMBEDDED, FIRST, MIDDLE, SECOND, WAITING, Visit, _goals, _measures
from builder.bench.page import CAMERA, OURS_QUERY, gzipped, visit_once
from builder.bench.peers import minimal
from builder.embedded.samples import VIDEO_SCENES
from tests.conftest import MakeModel


def test_served_folder_comes_no_faster_than_its_line(tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    (tmp_path / "file.bin").write_bytes(content)
    with serve(tmp_path, megabits=8) as address:
        started = time.monotonic()
        with urllib.request.urlopen(f"{address}file.bin") as answer:
            assert answer.read() == content
        assert time.monotonic() - started >= len(content) * 8 / 8e6
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address)


def test_camera_shows_every_scene_for_its_seconds(tmp_path: Path) -> None:
    path = tmp_path / "camera.y4m"
    write_camera(path)
    header, _, frames = path.read_bytes().partition(b"\n")
    assert header.startswith(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1".encode())
    frame_bytes = len(b"FRAME\n") + WIDTH * HEIGHT * 3 // 2
    assert len(frames) == VIDEO_SCENES * SECONDS_EACH * RATE * frame_bytes
    first = frames[:frame_bytes]
    assert frames.startswith(first * (SECONDS_EACH * RATE))
    assert not frames.startswith(first * (SECONDS_EACH * RATE + 1))


def test_minimal_page_has_what_its_address_asks_for(make_model: MakeModel, tmp_path: Path) -> None:
    site = minimal.make_site(make_model(), "tiny", {"vision_encoder": "q4"}, "What & where?", 7, tmp_path)
    asked = parse_qs(site.query)
    assert asked["prompt"] == ["What & where?"] and asked["dtype"] == ['{"vision_encoder": "q4"}']
    assert (site.path / "models" / asked["model"][0] / "config.json").is_file()
    for name in ("index.html", "main.js", "worker.js", "runtime/transformers.min.js"):
        assert (site.path / name).is_file()


def test_processor_time_of_a_child_is_counted_while_it_lives() -> None:
    import subprocess
    import sys

    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        deadline = time.monotonic() + 60
        while processor_seconds().get(busy.pid, 0) < 0.2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        busy.kill()
        busy.wait()
    assert busy.pid not in processor_seconds()


def test_captions_are_compared_with_the_minimal_page_in_their_own_directions() -> None:
    def visit(caption_s: float, rate: float) -> Visit:
        return Visit(
            first_words_s=caption_s / 2,
            first_caption_s=caption_s,
            processor_s=caption_s,
            first_token_ms=(100.0,),
            per_minute=rate,
        )

    both = {OURS: visit(3.0, 40.0), minimal.PEER.name: visit(6.0, 20.0), WAITING: visit(4.0, 40.0)}
    visits = {(when, name): [found] for when in (FIRST, SECOND) for name, found in both.items()}
    measures = [measure for model in (EMBEDDED, MIDDLE) for measure in _measures(model, visits)]
    goals = _goals(measures)
    assert [(goal.value, goal.reached) for goal in goals] == [(2.0, True)] * 3 + [(0.75, True)]
    assert all(goal.value is None for goal in _goals([m for m in measures if m.contestant == OURS]))


@pytest.mark.browser
@pytest.mark.slow
def test_page_is_weighed_with_its_document_its_worker_and_what_that_imports(demo_work: Path) -> None:
    site = demo_work / "site" / "camera-caption"
    with open_chromium(CAMERA) as browser:
        visit = visit_once(browser, site, OURS_QUERY, start=True)
    sizes = gzipped(site, visit["own"])
    assert {"index.html", "manifest.json", "app/shared/style.css"} <= sizes.keys()
    assert {"app/pages/camera-caption/worker.js", "app/shared/download.js"} <= sizes.keys()
    assert not [path for path in sizes if path.startswith(("models/", "runtime/", "icons/", "sample/"))]
    assert all(0 < size <= (site / path).stat().st_size for path, size in sizes.items())
    assert visit["painted"] > 0 and visit["interactive"] > 0
    assert 1 < max(visit["tasks"]) < 2000 and len(visit["tasks"]) > 100


def test_server_notes_what_is_asked_for_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    asked: list[str] = []
    with serve(tmp_path, asked=asked) as address:
        for path in ("a.txt?x=1", "", "a.txt"):
            urllib.request.urlopen(f"{address}{path}").read()
    assert asked == ["a.txt", "", "a.txt"]
