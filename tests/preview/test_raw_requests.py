"""Requests that no well-behaved client sends, over raw sockets: none may reach a file outside or end the server."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from builder.preview import running_server
from tests.preview.conftest import write_site


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    root = tmp_path_factory.mktemp("raw")
    (root / "secret.txt").write_text("secret")
    (root / "site-secret").mkdir()
    (root / "site-secret/index.html").write_text("secret")
    with running_server(write_site(root / "site"), tools=True) as address:
        number = httpx.URL(address).port
        assert number is not None
        yield number
        assert httpx.get(address, trust_env=False).status_code == 200, "the server is gone"


def send(port: int, request: bytes, *, end: bool = False) -> bytes:
    """Send bytes as they are, and read until the server closes; ``end`` says that no more will come."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(request)
        if end:
            link.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := link.recv(65536):
            answer += chunk
    return answer


def get(port: int, target: bytes, host: bytes = b"127.0.0.1") -> bytes:
    return send(port, b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")


OUTWARD = [
    b"/../secret.txt",
    b"/app/../../secret.txt",
    b"/%2e%2e/secret.txt",
    b"/%2e%2e%2fsecret.txt",
    b"/..%5csecret.txt",
    b"/..\\secret.txt",
    b"/....//secret.txt",
    b"/%252e%252e/secret.txt",
    b"/app/%2e%2e/%2e%2e/secret.txt",
    b"//secret.txt",
    b"//evil.example/../secret.txt",
    b"/../site-secret/index.html",
    b"/%00../secret.txt",
    b"/index.html%00.js",
    b"/C:/secret.txt",
    b"/app/main.js/",
    b"/app/main.js/../../../secret.txt",
    b"/.",
    b"/./index.html",
    b"/app/./main.js",
    b"/index.html\\",
    b"/_preview/../secret.txt",
    b"/_preview/as/no-webgpu/../../../../secret.txt",
    b"/_preview/as/no-webgpu/%2e%2e/%2e%2e/secret.txt",
    b"/_preview/..%2f..%2fsecret.txt",
    b"/_preview/landing.html",
    b"/_preview/as/unknown/index.html",
    b"/_preview/as/no-webgpu",
    b"/" + b"a" * 300,
    b"/" + b"a/" * 2500,
    b"/" + b"%c3%28" * 50,
]


@pytest.mark.parametrize("target", OUTWARD, ids=lambda target: target[:40].decode("latin-1"))
def test_a_path_that_is_none_of_the_site_is_not_found(port: int, target: bytes) -> None:
    answer = get(port, target)
    assert answer.split(b" ", 2)[1] == b"404", answer[:80]
    assert b"secret" not in answer


REFUSED = [
    b"GET #/../../secret.txt HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET index.html HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    b"GET http://evil.example/secret.txt HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\r\n\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", REFUSED, ids=lambda request: request[:40].decode("latin-1"))
def test_a_request_that_is_none_gets_no_page(port: int, request_bytes: bytes) -> None:
    try:
        answer = send(port, request_bytes, end=True)
    except OSError as error:
        assert not isinstance(error, TimeoutError)
        return  # refused before all of it was read
    assert b" 200 " not in answer.split(b"\r\n", 1)[0]
    assert b"secret" not in answer


def test_a_version_of_http_that_is_not_spoken_is_refused(port: int) -> None:
    answer = send(port, b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ", 2)[1] == b"505"


@pytest.mark.parametrize("host", [b"evil.example", b"127.0.0.1.evil.example", b"localhost.evil.example:80", b""])
def test_another_host_gets_nothing_not_even_the_previews_own_pages(port: int, host: bytes) -> None:
    for target in (b"/", b"/_preview/", b"/_preview/state.json"):
        assert get(port, target, host).split(b" ", 2)[1] == b"400"


def test_connections_that_stop_in_the_middle_hold_nobody_up(port: int) -> None:
    halves = [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: 127.0",
        b"POST /_preview/report HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n{",
        b"GET /models/m/onnx/model.onnx HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",  # and the answer is never read
    ]
    links = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(20) for _ in halves]
    try:
        for link, half in zip(links, halves * 20, strict=True):
            link.sendall(half)
        assert get(port, b"/").startswith(b"HTTP/1.1 200")
    finally:
        for link in links:
            link.close()
    assert get(port, b"/models/m/onnx/model.onnx").endswith(bytes(range(256)))


def test_a_server_with_connections_left_open_still_ends(tmp_path: Path) -> None:
    site = write_site(tmp_path / "site", files={"models/m/large.onnx": bytes(64 << 20)})
    with running_server(site) as address:
        number = httpx.URL(address).port
        links = [socket.create_connection(("127.0.0.1", number), timeout=20) for _ in range(3)]
        links[1].sendall(b"GET / HTTP/1.1\r\nHost: 127.0")
        links[2].sendall(b"GET /models/m/large.onnx HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert links[2].recv(15) == b"HTTP/1.1 200 OK"
        began = time.monotonic()
    assert time.monotonic() - began < 20
    for link in links:
        link.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", number), timeout=20)


def test_requests_sent_in_one_piece_are_answered_in_turn(port: int) -> None:
    one = b"GET /models/m/onnx/model.onnx HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=0-3\r\n\r\n"
    last = b"HEAD /app/main.js HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    answer = send(port, one * 5 + last)
    assert answer.count(b"HTTP/1.1 206") == answer.count(b"\r\n\r\n\x00\x01\x02\x03") == 5
    assert answer.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("line", [b"GARBAGE", b"GET /\xc3\xbc HTTP/1.1", b"GET / HTTP/1.1\r\nHost : a"])
def test_what_cannot_be_read_is_refused_with_every_header(port: int, line: bytes) -> None:
    answer = send(port, line + b"\r\n\r\n", end=True).lower()
    assert answer.startswith(b"http/1.1 400")
    for name in (b"opener-policy: same-origin", b"embedder-policy: require-corp", b"resource-policy: cross-origin"):
        assert answer.count(b"cross-origin-" + name) == 1
    assert answer.count(b"x-content-type-options: nosniff") == 1


def test_a_target_in_absolute_form_is_a_path_of_its_host(port: int) -> None:
    assert get(port, b"http://127.0.0.1:%d/app/main.js" % port).startswith(b"HTTP/1.1 200")
    assert get(port, b"HTTP://localhost", b"evil.example").startswith(b"HTTP/1.1 200"), "the Host header is ignored"
    for target in (b"http://evil.example/", b"http://127.0.0.1@evil.example/", b"http:///", b"ftp://127.0.0.1/"):
        assert get(port, target).split(b" ", 2)[1] == b"400"
    assert get(port, b"http://127.0.0.1/../secret.txt").split(b" ", 2)[1] == b"404"


FEW_DESCRIPTORS = """
import resource, sys
from pathlib import Path
from builder.preview import preview, protocol
protocol.PATIENCE_S = float(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
preview(Path(sys.argv[1]), open_browser=False, on_ready=lambda address: print(address, flush=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of descriptors to set")
@pytest.mark.parametrize("patience_s", ["1", "3600"], ids=["closed-in-time", "the-oldest-make-room"])
def test_silent_connections_more_than_there_are_descriptors_hold_nobody_up(tmp_path: Path, patience_s: str) -> None:
    command = [sys.executable, "-c", FEW_DESCRIPTORS, str(write_site(tmp_path / "site")), patience_s]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    parts = (b"", b"GET / HTTP/1.1\r\nHost: 127.0", b"POST /_preview/report HTTP/1.1\r\n")
    links: list[socket.socket] = []
    try:
        assert process.stdout is not None
        number = httpx.URL(process.stdout.readline().strip()).port
        assert number is not None
        for index in range(100):
            links.append(socket.create_connection(("127.0.0.1", number), timeout=20))
            with contextlib.suppress(ConnectionError):  # closed already
                links[-1].sendall(parts[index % 3])
        assert get(number, b"/").startswith(b"HTTP/1.1 200")
        for link in links if patience_s == "1" else links[:60]:
            with contextlib.suppress(ConnectionResetError):
                assert link.recv(1) == b"", "it was closed"
    finally:
        for link in links:
            link.close()
        process.terminate()
        process.communicate(timeout=30)
