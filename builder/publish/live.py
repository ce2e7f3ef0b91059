"""Look at what was published, as a visitor's browser gets it: a commit that was accepted is no page that works.

Start with `check_space`. The stage, then the tree's checksums, then every file from the page's own address, then where
the model comes from, and at last the page in a browser, if one is installed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import httpx2

from builder.errors import PublishError
from builder.policy import SPACE_HEADERS
from builder.publish._contract import Report
from builder.publish.browser import BrowserError, find_browser, look
from builder.publish.files import LocalFile
from builder.publish.repository import Repository
from builder.redaction import redact

RUNNING, ASLEEP, PAUSED = "RUNNING", "SLEEPING", "PAUSED"
WAITING = frozenset({"BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING", "NO_APP_FILE"})
"""Stages that may end well. A Space that has just been made has no app file yet."""
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
TRIES = 4
PAGE = "https://page.example"
"""Some other origin than the Hub's."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """``ok`` None: could not be looked at. ``said`` is one sentence."""

    name: str
    ok: bool | None
    said: str


def wait_for_stage(repository: Repository, *, seconds: float, report: Report) -> Check:
    """Wait until a Space runs or has failed; that the waiting ended is no success by itself."""
    deadline = time.monotonic() + seconds
    shown, pause_s = "", 0.5
    while True:
        runtime = repository.session.attempt(
            f"asking for the stage of {repository.id}",
            lambda: repository.session.api.get_space_runtime(repository.id),
        )
        stage = str(runtime.stage)
        if stage == RUNNING:
            return Check(name="stage", ok=True, said=f"{repository.id} is {RUNNING}")
        if stage == ASLEEP:
            return Check(name="stage", ok=True, said=f"{repository.id} is asleep: the first who asks it wakes it up")
        if stage == PAUSED:
            said = f"{repository.id} is {PAUSED}: restart it on {repository.address}/settings"
            return Check(name="stage", ok=False, said=said)
        if stage not in WAITING:
            why = redact(str(runtime.raw.get("errorMessage") or "")).strip()
            return Check(name="stage", ok=False, said=f"{repository.id} is {stage}{': ' + why if why else ''}")
        if stage != shown:
            report(f"{repository.id}: {stage.lower().replace('_', ' ')}")
            shown = stage
        if time.monotonic() > deadline:
            return Check(name="stage", ok=None, said=f"{repository.id} is still {stage} after {seconds:.0f} s")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 5.0)


def check_tree(repository: Repository, commit: str, files: Iterable[LocalFile]) -> Check:
    """Compare what the repository holds with what was sent, by the checksums that the Hub computed itself."""
    there = repository.tree(commit)
    wrong = [file.path for file in files if file.path not in there or not there[file.path].is_same(file)]
    if wrong:
        return Check(name="checksums", ok=False, said=f"{repository.id} differs in {', '.join(sorted(wrong)[:5])}")
    return Check(name="checksums", ok=True, said=f"all files of {repository.id} are what was sent")


def check_files(
    address: str, files: Sequence[LocalFile], *, must_hold: str, threads: bool, token: str | None = None
) -> Check:
    """Fetch every file of a page from its address; ``must_hold`` is what index.html names.

    The Hub may put a script of its own into index.html, whose checksum therefore says nothing. ``token`` opens a
    private page: it goes into a header and to this one host, never into an address or along with a redirect.
    """
    problems: list[str] = []
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with httpx2.Client(follow_redirects=not token, timeout=60, headers=headers) as client:
        if token and client.get(f"{address.rstrip('/')}/").status_code != 200:
            said = "a private page that does not open to the token: look at it in a browser that is logged in"
            return Check(name="files", ok=None, said=said)
        for file in files:
            if file.path != INDEX:
                problems += _fetch(client, address, file)
        try:
            answer = client.get(f"{address.rstrip('/')}/")
        except httpx2.HTTPError as error:
            answer = None
            problems.append(f"the page: {type(error).__name__}")
    if answer is not None:
        if answer.status_code != 200 or must_hold not in answer.text:
            problems.append("the page is not the one that was published")
        elif threads:
            lacking = [name for name, value in SPACE_HEADERS.items() if answer.headers.get(name) != value]
            problems += [f"the page lacks the header {name}" for name in lacking]
    if problems:
        return Check(name="files", ok=False, said="; ".join(problems[:5]))
    return Check(name="files", ok=True, said=f"{len(files)} files arrive from {address} as they were sent")


def _fetch(client: httpx2.Client, address: str, file: LocalFile) -> list[str]:
    url = f"{address.rstrip('/')}/{quote(file.path)}"
    suffix = f".{file.path.rpartition('.')[2]}"
    for number in range(TRIES):
        try:
            answer = client.get(url)
        except httpx2.HTTPError as error:
            if number == TRIES - 1:
                return [f"{file.path}: {type(error).__name__}"]
        else:
            if answer.status_code == 200:
                kind = answer.headers.get("content-type", "").partition(";")[0].strip()
                if hashlib.sha256(answer.content).hexdigest() != file.sha256:
                    return [f"{file.path} arrives changed"]
                if suffix in TYPES and kind not in TYPES[suffix]:
                    return [f"{file.path} arrives as {kind or 'nothing'} instead of {TYPES[suffix][0]}"]
                return []
            if number == TRIES - 1 or answer.status_code in (401, 403):
                return [f"{file.path} answers {answer.status_code}"]
        time.sleep(2.0**number / 2)
    raise AssertionError("the last try returns")


def model_origins(model_url: str, files: Iterable[LocalFile]) -> tuple[tuple[str, ...], Check]:
    """Ask for every file of a published model as a page of another origin would.

    Returns the origins that this leads to, which the page's policy must allow, and whether all of them let a page read.
    """
    origins, problems = [], []
    with httpx2.Client(timeout=60) as client:
        for file in files:
            url = f"{model_url}{quote(file.path)}"
            try:
                reached, problem = _follow(client, url)
            except httpx2.HTTPError as error:
                problems.append(f"{file.path}: {type(error).__name__}")
                continue
            origins += reached
            if problem:
                problems.append(f"{file.path} {problem}")
    found = tuple(dict.fromkeys(origins))
    if problems:
        return found, Check(name="model", ok=False, said="; ".join(problems[:5]))
    return found, Check(name="model", ok=True, said=f"the model can be read by pages, from {', '.join(found)}")


def _follow(client: httpx2.Client, url: str) -> tuple[list[str], str]:
    reached: list[str] = []
    for _ in range(5):
        parts = urlsplit(url)
        origin = "null" if reached else PAGE  # what a browser sends after a redirect to another origin
        reached.append(f"{parts.scheme}://{parts.netloc}")
        answer = client.head(url, headers={"origin": origin})
        if answer.headers.get("access-control-allow-origin") not in ("*", origin):
            return reached, "may not be read by a page of another origin"
        if not answer.is_redirect:
            return reached, "" if answer.status_code == 200 else f"answers {answer.status_code}"
        url = str(httpx2.URL(url).join(answer.headers["location"]))
    return reached, "redirects too often"


def check_in_browser(address: str, *, seconds: float, report: Report) -> Check:
    """Open the page without a window and wait for its model."""
    executable = find_browser()
    if executable is None:
        return Check(name="browser", ok=None, said="no Chromium is installed to look at the page with")
    report("opening the page in a browser")
    try:
        seen = look(executable, f"{address.rstrip('/')}/?source=sample&autostart=1", seconds=seconds)
    except (BrowserError, OSError) as error:
        return Check(name="browser", ok=None, said=f"the browser could not be used: {redact(str(error))}")
    if seen.is_good:
        return Check(name="browser", ok=True, said=f"the page is {seen.state} in {executable.rpartition('/')[2]}")
    if seen.is_bad:
        return Check(name="browser", ok=False, said=f"the page gives up: {seen.said}")
    return Check(name="browser", ok=None, said=f"the page is still {seen.state or 'empty'} after {seconds:.0f} s")


def require(checks: Iterable[Check], address: str, *, is_restored: bool = False) -> None:
    """Make sure that no check failed; ``is_restored`` tells that the version before is there again.

    Raises:
        PublishError: one did.
    """
    bad = [check for check in checks if check.ok is False]
    if not bad:
        return
    message = f"{address} was published, but is not as it should be: {'; '.join(check.said for check in bad)}"
    if is_restored:
        raise PublishError(message, hint="the version before is there again; correct what is wrong, and publish again")
    raise PublishError(message, hint="publish again; with --rollback the version before comes back by itself")
