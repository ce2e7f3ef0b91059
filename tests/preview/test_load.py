"""Two proofs that take long: hundreds of ranges of a large file at once, and its throughput beside nginx's."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conftest import cli_process

pytestmark = pytest.mark.soak

SIZE = 300 << 20
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
NGINX_CONF = """
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  types {{ application/octet-stream onnx; }}
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@pytest.fixture(scope="module")
def large_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("large") / "site"
    root.mkdir()
    (root / "index.html").write_text("<!doctype html><head><title>Large</title></head>")
    block = random.Random(8).randbytes(1 << 20)
    with (root / "model.onnx").open("wb") as file:
        for number in range(SIZE >> 20):  # every block differs, so that bytes of a wrong place are noticed
            file.write(number.to_bytes(8, "big") + block[8:])
    return root


@pytest.fixture
def preview_process(large_site: Path) -> Iterator[tuple[psutil.Process, str]]:
    process = cli_process("preview", str(large_site), "--no-open", "--quiet", cwd=large_site.parent)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    yield psutil.Process(process.pid), address
    process.terminate()
    process.communicate(timeout=30)


def download(host: str, port: int, path: str, headers: str = "") -> tuple[int, int, bytes]:
    """Fetch over a plain socket: status, bytes of the body, SHA-256 of them."""
    with socket.create_connection((host, port), timeout=300) as link:
        link.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += link.recv(65536)
        start, _, body = head.partition(b"\r\n\r\n")
        digest, count = hashlib.sha256(body), len(body)
        while chunk := link.recv(1 << 18):
            digest.update(chunk)
            count += len(chunk)
    return int(start.split()[1]), count, digest.digest()


def test_two_hundred_ranges_at_once_are_exact_and_memory_stays_flat(
    preview_process: tuple[psutil.Process, str], large_site: Path
) -> None:
    process, address = preview_process
    port = int(address.rstrip("/").rpartition(":")[2])
    chance = random.Random(200)
    spans = [
        (first, min(SIZE, first + chance.randrange(1, 24 << 20)) - 1) for first in chance.choices(range(SIZE), k=200)
    ]
    download("127.0.0.1", port, "/index.html")
    before = process.memory_info().rss
    highest = before
    with ThreadPoolExecutor(200) as pool:
        answers = [
            pool.submit(download, "127.0.0.1", port, "/model.onnx", f"Range: bytes={first}-{last}\r\n")
            for first, last in spans
        ]
        while not all(answer.done() for answer in answers):
            highest = max(highest, process.memory_info().rss)
            time.sleep(0.01)
    with (large_site / "model.onnx").open("rb") as file:
        for (first, last), answer in zip(spans, answers, strict=True):
            file.seek(first)
            expected = hashlib.sha256(file.read(last - first + 1)).digest()
            assert answer.result() == (206, last - first + 1, expected)
    total = sum(last - first + 1 for first, last in spans)
    print(f"\n200 ranges, {total / 1e6:.0f} MB: memory {before / 1e6:.1f} MB before, {highest / 1e6:.1f} MB at most")
    assert highest - before < 20e6


@contextmanager
def running_nginx(root: Path, folder: Path) -> Iterator[int]:
    if not Path(NGINX).exists():
        pytest.fail("nginx is what the throughput is compared with: apt-get install nginx-light")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    conf = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # its worker could not read what only root may
    conf.write_text(NGINX_CONF.format(user=user, folder=folder, port=port, root=root))
    process = subprocess.Popen([NGINX, "-c", str(conf), "-p", str(folder)], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, process.stderr and process.stderr.read().decode()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


READ = """
import socket, sys, time
*ports, size, times = map(int, sys.argv[1:])
buffer = memoryview(bytearray(1 << 20))
best = dict.fromkeys(ports, 0.0)
for _ in range(times):
    for port in ports:
        with socket.create_connection(("127.0.0.1", port)) as link:
            began = time.perf_counter()
            link.sendall(b"GET /model.onnx HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n")
            count = 0
            while got := link.recv_into(buffer):
                count += got
            assert count > size, count
            best[port] = max(best[port], size / (time.perf_counter() - began))
print(*best.values())
"""


def test_throughput_is_at_least_four_fifths_of_nginx(
    preview_process: tuple[psutil.Process, str], large_site: Path, tmp_path: Path
) -> None:
    """The best of many downloads of each, in turns, by the same client, which throws the bytes away."""
    own_port = int(preview_process[1].rstrip("/").rpartition(":")[2])
    with running_nginx(large_site, tmp_path) as port:
        arguments = [str(own_port), str(port), str(SIZE), "40"]
        done = subprocess.run(
            [sys.executable, "-c", READ, *arguments], capture_output=True, text=True, check=True, timeout=500
        )
    ours, theirs = map(float, done.stdout.split())
    print(f"\npreview {ours / 1e6:.0f} MB/s, nginx {theirs / 1e6:.0f} MB/s, ratio {ours / theirs:.2f}")
    assert ours >= 0.8 * theirs
