"""What a visitor's browser would get, fetched from hosts that are closed, slow to learn, or signed for GET only."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from builder.errors import PublishError
from builder.policy import SPACE_HEADERS
from builder.publish.arrival import check_files, model_origins
from builder.publish.browser import BrowserError, look
from builder.publish.files import LocalFile, from_bytes, from_text
from builder.publish.live import Check, attempt, check_in_browser, require

FILES = (from_text("index.html", "<p>v2</p>"), from_text("app/worker.js", "// v2"), from_bytes("a.wasm", b"\0asm"))
TYPES = {"html": "text/html", "js": "text/javascript", "wasm": "application/wasm"}


@dataclass
class Host:
    """Serves ``files``, with ``headers`` beside those of its own; ``onward`` is where it sends every GET instead."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    everywhere: Mapping[str, str] = field(default_factory=dict)
    onward: str = ""
    seen: list[str] = field(default_factory=list)


@pytest.fixture
def host() -> Iterator[Callable[..., Host]]:
    with ExitStack() as stack:

        def start(*files: LocalFile, **given: object) -> Host:
            made = Host(files={file.path: file.content() for file in files}, **given)  # type: ignore[arg-type]

            class Handler(BaseHTTPRequestHandler):
                def do_HEAD(self) -> None:
                    self.send_error(501)

                def do_GET(self) -> None:
                    path = self.path.lstrip("/") or "index.html"
                    made.seen.append(path)
                    body = made.files.get(path, b"")
                    self.send_response(302 if made.onward else 200 if path in made.files else 404)
                    own = {"content-length": str(len(body)), "content-type": TYPES.get(path.rpartition(".")[2], "")}
                    onward = {"location": f"{made.onward}/{path}"} if made.onward else {}
                    for name, value in {**own, **onward, **made.everywhere, **made.headers.get(path, {})}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, format: str, *args: object) -> None:
                    del format, args

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            made.address = f"http://127.0.0.1:{server.server_port}"
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            return made

        yield start


def check(address: str | None, *, threads: bool = False, pauses: int = 0, said: list[str] | None = None) -> Check:
    report = (said if said is not None else []).append
    return check_files(address, FILES, must_hold="v2", threads=threads, report=report, pauses_s=[0.0] * pauses)


def test_address_that_the_hub_does_not_tell_is_not_guessed() -> None:
    assert check(None).ok is None


def test_page_that_cannot_be_reached_is_asked_for_alone_and_is_a_failure(host: Callable[..., Host]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}"
    found = check(closed, pauses=2)
    assert found.ok is False
    assert f"{closed}/ cannot be reached" in found.said
    assert check("https://ada-page.static.hf.invalid").ok is False
    other = host(from_text("index.html", "v1"))
    assert check(other.address, pauses=2).ok is False
    assert other.seen == ["index.html"] * 3, "files of a page that is not the one were fetched"


def test_files_that_come_later_are_asked_for_again_and_no_others(host: Callable[..., Host]) -> None:
    page = host(*FILES)
    late = page.files.pop("a.wasm")
    said: list[str] = []

    class Then(list[str]):
        def append(self, line: str) -> None:
            said.append(line)
            page.files["a.wasm"] = late

    assert check(page.address, pauses=1, said=Then()).ok is True
    assert said == ["a.wasm answers 404; looking again in 0 s"]
    assert page.seen.count("app/worker.js") == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"app/worker.js": b"// v1"}, "app/worker.js arrives changed"),
        ({}, "app/worker.js arrives as text/plain instead of text/javascript"),
    ],
)
def test_file_that_arrives_otherwise_is_named(host: Callable[..., Host], wrong: dict[str, bytes], words: str) -> None:
    page = host(*FILES, headers={} if wrong else {"app/worker.js": {"content-type": "text/plain"}})
    page.files.update(wrong)
    assert words in check(page.address).said


def test_threads_need_their_headers_on_every_file(host: Callable[..., Host]) -> None:
    page = host(*FILES, headers={"index.html": SPACE_HEADERS})
    found = check(page.address, threads=True)
    assert found.ok is False
    assert "app/worker.js lacks the header cross-origin-embedder-policy" in found.said
    assert check(host(*FILES, everywhere=SPACE_HEADERS).address, threads=True).ok is True


def test_model_is_asked_for_as_pages_do_it_from_storage_that_answers_only_that(host: Callable[..., Host]) -> None:
    readable = {"access-control-allow-origin": "*"}
    storage = host(*FILES, everywhere=readable)
    hub = host(onward=storage.address, everywhere=readable)
    origins, found = model_origins(f"{hub.address}/", FILES)
    assert found.ok is True, found.said
    assert set(origins) == {hub.address, storage.address}
    origins, found = model_origins(f"{host(onward=host(*FILES).address, everywhere=readable).address}/", FILES)
    assert found.ok is False
    assert "may not be read by a page of another origin" in found.said
    assert len(origins) == 2, "the page can still be built for where they lead"


def test_hub_that_refuses_to_be_asked_is_a_failed_check_and_not_the_end() -> None:
    def refuse() -> Check:
        raise PublishError("the Hub failed with status 500", hint="later")

    failed = attempt("stage", refuse)
    assert failed == Check(name="stage", ok=False, said="the Hub failed with status 500")
    with pytest.raises(PublishError, match="is not as it should be: the Hub failed"):
        require([failed], "https://page.example")


@pytest.mark.browser
def test_page_that_never_says_that_it_is_ready_is_a_failure(host: Callable[..., Host]) -> None:
    silent = host(from_text("index.html", "<title>v2</title>"))
    found = check_in_browser(silent.address, seconds=1, report=lambda line: None)
    assert found.ok is False
    assert "says nothing of its state" in found.said


def test_browser_does_not_inherit_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, noted = tmp_path / "browser", tmp_path / "environment"
    program.write_text(f"#!/bin/sh\nenv > '{noted}'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("HF_TOKEN", "hf_" + "a1B2" * 9)
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "hf_" + "a1B2" * 9)
    with pytest.raises(BrowserError):
        look(str(program), "about:blank", seconds=1)
    assert "PATH=" in noted.read_text(encoding="utf-8")
    assert "hf_a1B2" not in noted.read_text(encoding="utf-8")
