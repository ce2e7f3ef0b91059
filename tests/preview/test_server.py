"""The preview server, over real sockets: types, ranges, validators, isolation headers, and what it must not serve."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from builder.errors import PreviewError
from builder.preview import check_port, running_server
from builder.preview.access import Access, Recorder
from builder.preview.headers import EveryAnswer
from builder.preview.server import free_port

CONTENT = bytes(range(256)) * 1024
MARKS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "cross-origin",
    "x-content-type-options": "nosniff",
}
FILES = {
    "index.html": "text/html; charset=utf-8",
    "app/main.js": "text/javascript; charset=utf-8",
    "runtime/ort.mjs": "text/javascript; charset=utf-8",
    "runtime/ort.wasm": "application/wasm",
    "data/all/manifest.json": "application/json",
    "models/model.onnx": "application/octet-stream",
    "models/model.onnx_data": "application/octet-stream",
    "sample/scenes.webm": "video/webm",
    "sample/1.jpg": "image/jpeg",
    "icon.png": "image/png",
    "icon.svg": "image/svg+xml",
    "style.css": "text/css; charset=utf-8",
    "Übersicht 1.html": "text/html; charset=utf-8",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all tests: those that change something add files of their own."""
    root = tmp_path_factory.mktemp("preview") / "site"
    for name in [*FILES, ".env", ".git/config", "sub/index.html", "big.bin"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    (root / "big.bin").write_bytes(CONTENT)
    (root / "empty").mkdir()
    (root.parent / "secret.txt").write_text("secret")
    return root


@pytest.fixture(scope="module")
def client(site: Path) -> Iterator[httpx.Client]:
    with running_server(site) as address, httpx.Client(base_url=address, trust_env=False) as client:
        yield client


def raw_request(client: httpx.Client, head: str) -> str:
    """Send a request line as it is: httpx would tidy up the path."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as link:
        link.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := link.recv(65536):
            answer += chunk
    return answer.decode("latin-1")


@pytest.mark.parametrize(("name", "kind"), FILES.items())
def test_every_type_is_served_by_our_own_table(client: httpx.Client, name: str, kind: str) -> None:
    answer = client.get(name)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, kind, name.encode())


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("HEAD", "/", {}, 200),
        ("GET", "/big.bin", {"range": "bytes=0-0"}, 206),
        ("GET", "/sub", {}, 307),
        ("GET", "/", {"host": "evil.example"}, 400),
        ("GET", "/missing", {}, 404),
        ("POST", "/", {}, 405),
        ("GET", "/big.bin", {"range": "bytes=999999999-"}, 416),
    ],
)
def test_every_answer_carries_the_isolation_headers(
    client: httpx.Client, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = client.request(method, path, headers=headers)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in MARKS} == MARKS


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-99", 0, 99),
        ("bytes=1000-", 1000, len(CONTENT) - 1),
        ("bytes=-10", len(CONTENT) - 10, len(CONTENT) - 1),
        ("bytes=5-99999999", 5, len(CONTENT) - 1),
        ("bytes=70000-200000", 70000, 200000),
    ],
)
def test_a_range_gives_exactly_its_bytes(client: httpx.Client, wanted: str, first: int, last: int) -> None:
    answer = client.get("big.bin", headers={"range": wanted})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(last - first + 1)
    assert answer.content == CONTENT[first : last + 1]


def test_a_range_beyond_the_end_is_refused_with_the_length(client: httpx.Client) -> None:
    answer = client.get("big.bin", headers={"range": f"bytes={len(CONTENT)}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "bytes=abc", "lines=1-2", "bytes=", "bytes=--1"])
def test_a_range_that_is_not_understood_gives_the_whole_file(client: httpx.Client, wanted: str) -> None:
    answer = client.get("big.bin", headers={"range": wanted})
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_if_range_gives_the_range_only_of_the_same_file(client: httpx.Client) -> None:
    etag = client.head("big.bin").headers["etag"]
    same = client.get("big.bin", headers={"range": "bytes=0-1", "if-range": etag})
    other = client.get("big.bin", headers={"range": "bytes=0-1", "if-range": '"other"'})
    assert (same.status_code, other.status_code, other.content) == (206, 200, CONTENT)


def test_an_etag_is_strong_and_saves_the_second_download(client: httpx.Client, site: Path) -> None:
    (site / "edited.bin").write_bytes(CONTENT)
    etag = client.get("edited.bin").headers["etag"]
    assert etag.startswith('"')
    unchanged = client.get("edited.bin", headers={"if-none-match": f'"x", {etag}'})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    (site / "edited.bin").write_bytes(CONTENT[::-1])
    changed = client.get("edited.bin", headers={"if-none-match": etag})
    assert (changed.status_code, changed.content) == (200, CONTENT[::-1])


def test_head_gives_the_headers_without_the_body(client: httpx.Client) -> None:
    answer = client.head("big.bin")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(len(CONTENT)), b"")


@pytest.mark.parametrize("name", ["big.bin", "app/main.js"])
def test_a_range_is_for_get_only_and_its_unit_is_in_any_case(client: httpx.Client, name: str) -> None:
    whole = client.head(name, headers={"range": "bytes=0-3"})
    assert (whole.status_code, whole.headers["content-length"]) == (200, str(len(client.get(name).content)))
    assert "content-range" not in whole.headers
    assert client.head(name, headers={"range": "bytes=999999999-"}).status_code == 200
    part = client.get(name, headers={"range": "Bytes=0-3"})
    assert (part.status_code, part.content) == (206, client.get(name).content[:4])


def test_a_folder_without_slash_is_redirected_with_its_query(client: httpx.Client) -> None:
    answer = client.get("/sub?device=wasm&q=a%20b")
    assert (answer.status_code, answer.headers["location"]) == (307, "/sub/?device=wasm&q=a%20b")
    assert client.get(answer.headers["location"]).text == "sub/index.html"


@pytest.mark.parametrize(
    "path", ["/missing", "/empty/", "/index.html/", "/missing/index.html", "/.env", "/.git/config"]
)
def test_what_is_missing_or_hidden_is_not_found(client: httpx.Client, path: str) -> None:
    assert (client.get(path).status_code, client.get(path).text) == (404, "not found")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/sub/../../secret.txt",
        "/sub/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "//secret.txt",
        "//evil.example/%2e%2e",
        "/index.html%00.js",
        "/C:/secret.txt",
    ],
)
def test_a_path_that_leads_outside_is_not_found(client: httpx.Client, path: str) -> None:
    answer = raw_request(client, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1")
    assert answer.split()[1] == "404"
    assert "secret\n" not in answer
    assert not answer.endswith("secret")


def test_no_link_is_followed(client: httpx.Client, site: Path) -> None:
    (site / "inside.html").symlink_to(site / "index.html")
    (site / "outside.txt").symlink_to(site.parent / "secret.txt")
    (site / "up").symlink_to(site.parent)
    for name in ("inside.html", "outside.txt", "up/secret.txt", "up/site/index.html"):
        assert client.get(name).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.1:8000", "evil@localhost", ""])
def test_a_request_to_another_name_is_refused(client: httpx.Client, host: str) -> None:
    assert raw_request(client, f"GET / HTTP/1.1\r\nHost: {host}").split()[1] == "400"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:8123"])
def test_a_request_to_a_loopback_name_is_answered(client: httpx.Client, host: str) -> None:
    assert raw_request(client, f"GET / HTTP/1.1\r\nHost: {host}").split()[1] == "200"


def test_the_server_listens_on_loopback_only(site: Path) -> None:
    with running_server(site) as address:
        port = httpx.URL(address).port
        assert port is not None
        addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
        for outside in addresses - {"127.0.0.1"}:
            if not str(outside).startswith("127."):
                with socket.socket() as link:
                    link.settimeout(5)
                    assert link.connect_ex((outside, port)) != 0


def test_the_server_is_gone_after_the_block(site: Path) -> None:
    before = threading.active_count()
    with running_server(site) as address:
        assert httpx.get(address, trust_env=False).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, trust_env=False)
    assert threading.active_count() == before


def test_a_taken_port_is_refused_with_a_free_one(site: Path) -> None:
    with running_server(site) as address:
        port = httpx.URL(address).port
        assert port is not None
        with pytest.raises(PreviewError, match=f"port {port} cannot be used: address already in use") as caught:
            check_port(port)
        free = int(caught.value.hint.rpartition(" ")[2])
        assert free > port
        check_port(free)
        assert free_port(port) == free


def test_after_the_highest_port_the_next_free_one_is_a_low_one() -> None:
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # somebody else has it, which is as good
            taken.bind(("127.0.0.1", 65535))
            taken.listen()
        with pytest.raises(PreviewError, match="port 65535 cannot be used: address already in use") as caught:
            check_port(65535)
    assert 8000 <= int(caught.value.hint.rpartition(" ")[2]) < 65535


def test_many_requests_at_once_are_all_answered(client: httpx.Client) -> None:
    answers: list[bytes] = []

    def fetch() -> None:
        with httpx.Client(trust_env=False) as own:
            answers.append(own.get(str(client.base_url.join("big.bin"))).content)

    threads = [threading.Thread(target=fetch) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert answers == [CONTENT] * 16


def test_an_unreadable_file_does_not_end_the_server(client: httpx.Client, site: Path) -> None:
    os.mkfifo(site / "pipe.bin")
    assert client.get("pipe.bin").status_code == 404
    assert client.get("/").status_code == 200
    (site / "gone.txt").write_text("here")
    (site / "gone.txt").chmod(0)
    assert client.get("gone.txt").status_code == (200 if os.geteuid() == 0 else 404)


def test_what_this_program_fails_at_is_said_and_answered_with_every_header() -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("no\x1b[2Jt well")

    lines: list[str] = []
    app = Recorder(EveryAnswer(fail), Access(on_line=lines.append))
    answer = TestClient(app, raise_server_exceptions=False).get("/a")
    assert (answer.status_code, answer.text) == (500, "internal server error\n")
    assert {name: answer.headers.get(name) for name in MARKS} == MARKS
    assert lines[0].startswith("this program failed at /a: RuntimeError(")
    assert "\x1b" not in lines[0]


def test_what_goes_on_beside_the_server_does_not_end_in_silence(site: Path) -> None:
    class Failing:
        sites = (site,)

        @property
        def folders(self) -> tuple[Path, ...]:
            raise OSError("the system has no more watches")

        def fresh(self) -> dict[str, bytes | Path]:
            return {}

    with pytest.raises(OSError, match="no more watches"), running_server(site, source=Failing()) as address:
        assert httpx.get(address, trust_env=False).status_code == 200, "the server goes on"
