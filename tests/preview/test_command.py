"""`webgpu-demo preview`: pages by name, what it prints, Ctrl-C, and messages for what cannot be."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import psutil

from tests.conftest import RunCli
from tests.preview.conftest import MakeSite

StartCli = Callable[..., "Popen[str]"]


def read_json(process: Popen[str]) -> dict[str, Any]:
    """Read the one JSON document that a command prints while it goes on."""
    assert process.stdout is not None
    text = ""
    while not text.endswith("\n}\n"):
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        text += line
    return dict(json.loads(text))


def test_a_page_is_built_with_its_embedded_model_and_served(start_cli: StartCli, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    process = start_cli("preview", "photo-search", "--no-open", "--json", "--as-space", env=environment)
    told = read_json(process)
    page = httpx.get(told["address"], trust_env=False).text
    assert '"name": "scenes-clip"' in page
    assert "/_preview/client.js?as=space" in page
    assert told["start"] == f"{told['preview']}space"
    state = httpx.get(f"{told['preview']}state.json", trust_env=False, timeout=60).json()
    assert [check for check in state["pages"][0]["checks"] if not check["ok"]] == []
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "requests that left this machine: 0" in stderr
    assert "200 GET / " in stderr
    assert stderr.rstrip().endswith("stopped")
    assert not any(child.is_running() for child in children)


def test_an_unknown_page_is_answered_with_the_nearest(run_cli: RunCli) -> None:
    done = run_cli("preview", "camera-captoin", "--no-open")
    assert done.returncode == 1
    assert "no page 'camera-captoin'" in done.stderr
    assert "did you mean 'camera-caption'?" in done.stderr


def test_a_bad_rate_is_refused_before_anything_is_served(run_cli: RunCli, make_site: MakeSite) -> None:
    done = run_cli("preview", str(make_site()), "--no-open", "--throttle", "fast")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--throttle 10mbit" in done.stderr


def test_watching_a_folder_that_was_not_built_is_refused(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("page")
    done = run_cli("preview", ".", "--no-open", "--watch")
    assert done.returncode == 1
    assert "no sources of it to watch" in done.stderr


def test_the_next_free_port_is_taken_with_a_message(start_cli: StartCli, make_site: MakeSite) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        deadline = time.monotonic() + 60
        while True:
            try:
                taken.bind(("127.0.0.1", 8000))
                break
            except OSError:  # a test beside this one has it for a while
                assert time.monotonic() < deadline
                time.sleep(0.1)
        taken.listen()
        process = start_cli("preview", str(make_site()), "--no-open", "--json")
        told = read_json(process)
        port = httpx.URL(told["address"]).port
        assert port is not None
        assert port > 8000
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
        assert f"port 8000 is taken; the next free one is {port}" in stderr


def test_a_folder_of_sites_without_a_page_of_its_own_starts_at_the_landing_page(
    start_cli: StartCli, make_site: MakeSite, tmp_path: Path
) -> None:
    make_site("site/one")
    make_site("site/two")
    process = start_cli("preview", "--no-open", "--json")
    told = read_json(process)
    assert told["address"] == told["preview"] == told["start"]
    html = httpx.get(told["address"], trust_env=False).text
    assert 'href="/one/"' in html
    assert 'href="/two/"' in html
