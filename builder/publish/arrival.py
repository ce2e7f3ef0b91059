"""Fetch what was published as a visitor's browser does: every file of a page, and the model from another origin.

Start with `check_files` and `model_origins`. Both ask for several files at a time, and none is asked for after the
time that its size allows.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import httpx2

from builder.policy import SPACE_HEADERS
from builder.publish._contract import Report
from builder.publish.files import LocalFile
from builder.publish.live import Check

TYPES = {
    ".html": ("text/html",),
    ".js": ("text/javascript", "application/javascript"),
    ".mjs": ("text/javascript", "application/javascript"),
    ".css": ("text/css",),
    ".json": ("application/json",),
    ".wasm": ("application/wasm",),
}
"""What a browser insists on for scripts, styles and WebAssembly."""
INDEX = "index.html"
PAUSES_S = (2.0, 5.0, 10.0)
"""The Hub may go on for a moment to serve the version before, or not know the address of a new Space."""
PATIENCE_S, BYTES_PER_S = 90.0, 500_000
"""The time for all files together: so much, and what a slow line needs for their bytes."""
TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
AT_ONCE = 8
PAGE = "https://page.example"
"""Some other origin than the Hub's."""
ERRORS = (httpx2.HTTPError, httpx2.InvalidURL)


def check_files(
    address: str | None,
    files: Sequence[LocalFile],
    *,
    must_hold: str,
    threads: bool,
    report: Report,
    token: str | None = None,
    pauses_s: Sequence[float] = PAUSES_S,
) -> Check:
    """Fetch every file of a page from its address; ``must_hold`` is what index.html names.

    index.html comes first: where it does not, nothing else is asked for. The Hub may put a script of its own into it,
    so that its checksum says nothing. With ``threads`` every file needs the headers that isolate a page: a worker whose
    script comes without them hangs, and says nothing. ``token`` opens a private page: it goes into a header and to this
    one host, never into an address or along with a redirect.
    """
    if address is None:
        return Check(name="files", ok=None, said="the Hub does not say at which address the page is: look at it there")
    root = address.rstrip("/") + "/"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    until = time.monotonic() + PATIENCE_S + sum(file.size_bytes for file in files) / BYTES_PER_S
    waiting = [file for file in files if file.path != INDEX]
    with (
        httpx2.Client(follow_redirects=not token, timeout=TIMEOUT, headers=headers) as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):

        def fetch(file: LocalFile) -> str:
            return _fetch(client, root, file, threads, until)

        for pause_s in (*pauses_s, None):
            problem, status = _open(client, root, must_hold, threads)
            if token and status not in (None, 200):
                said = "a private page that does not open to the token: look at it in a browser that is logged in"
                return Check(name="files", ok=None, said=said)
            if problem:
                problems = [problem]
            else:
                found = dict(zip(waiting, pool.map(fetch, waiting), strict=True))
                waiting = [file for file, wrong in found.items() if wrong]
                problems = [wrong for wrong in found.values() if wrong]
            if not problems or pause_s is None or time.monotonic() + pause_s > until:
                break
            report(f"{problems[0]}; looking again in {pause_s:.0f} s")
            time.sleep(pause_s)
    if problems:
        return Check(name="files", ok=False, said="; ".join(problems[:5]))
    return Check(name="files", ok=True, said=f"{len(files)} files arrive from {address} as they were sent")


def _open(client: httpx2.Client, root: str, must_hold: str, threads: bool) -> tuple[str, int | None]:
    """What is wrong with the page itself, and the status of its answer, where there was one."""
    try:
        answer = client.get(root)
    except ERRORS as error:
        return f"{root} cannot be reached: {type(error).__name__}", None
    if answer.status_code != 200 or must_hold not in answer.text:
        return f"{root} is not the page that was published", answer.status_code
    return _lacking("the page", answer.headers) if threads else "", answer.status_code


def _fetch(client: httpx2.Client, root: str, file: LocalFile, threads: bool, until: float) -> str:
    """What is wrong with one file as it arrives, or nothing."""
    digest, suffix = hashlib.sha256(), f".{file.path.rpartition('.')[2]}"
    late = f"{file.path} had not arrived in time"
    if time.monotonic() > until:
        return late
    try:
        with client.stream("GET", f"{root}{quote(file.path)}") as answer:
            if answer.status_code != 200:
                return f"{file.path} answers {answer.status_code}"
            for chunk in answer.iter_bytes():
                digest.update(chunk)
                if time.monotonic() > until:
                    return late
    except ERRORS as error:
        return f"{file.path}: {type(error).__name__}"
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    if digest.hexdigest() != file.sha256:
        return f"{file.path} arrives changed"
    if suffix in TYPES and kind not in TYPES[suffix]:
        return f"{file.path} arrives as {kind or 'nothing'} instead of {TYPES[suffix][0]}"
    return _lacking(file.path, answer.headers) if threads else ""


def _lacking(what: str, headers: httpx2.Headers) -> str:
    lacking = [name for name, value in SPACE_HEADERS.items() if headers.get(name) != value]
    return f"{what} lacks the header {', '.join(lacking)}" if lacking else ""


def model_origins(model_url: str, files: Sequence[LocalFile]) -> tuple[tuple[str, ...], Check]:
    """Ask for every file of a published model as a page of another origin would.

    Returns the origins that this leads to, which the page's policy must allow, and whether all of them let a page read.
    """
    with httpx2.Client(timeout=TIMEOUT) as client, ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda file: _follow(client, f"{model_url}{quote(file.path)}", file), files))
    origins = tuple(dict.fromkeys(origin for reached, _ in found for origin in reached))
    problems = [f"{file.path} {problem}" for file, (_, problem) in zip(files, found, strict=True) if problem]
    if problems:
        return origins, Check(name="model", ok=False, said="; ".join(problems[:5]))
    return origins, Check(name="model", ok=True, said=f"the model can be read by pages, from {', '.join(origins)}")


def _follow(client: httpx2.Client, url: str, file: LocalFile) -> tuple[list[str], str]:
    """Ask for the first byte, as pages do, with GET: an address that is signed for it answers nothing else."""
    reached: list[str] = []
    for _ in range(5):
        parts = urlsplit(url)
        origin = "null" if reached else PAGE  # what a browser sends after a redirect to another origin
        headers = {"origin": origin} | ({"range": "bytes=0-0"} if file.size_bytes else {})
        try:
            with client.stream("GET", url, headers=headers) as answer:
                onward = str(httpx2.URL(url).join(answer.headers["location"])) if answer.is_redirect else None
        except ERRORS as error:
            return reached, f"cannot be fetched: {type(error).__name__}"
        reached.append(f"{parts.scheme}://{parts.netloc}")
        if answer.headers.get("access-control-allow-origin") not in ("*", origin):
            return reached, "may not be read by a page of another origin"
        if onward is None:
            return reached, "" if answer.status_code in (200, 206) else f"answers {answer.status_code}"
        url = onward
    return reached, "redirects too often"
