"""Look at what was published, as a visitor's browser gets it: a commit that was accepted is no page that works.

In the order of the checks: the stage, the tree's checksums, and at last the page in a browser, if one is installed.
arrival.py fetches the files of the page and of its model. What could not be made sure of in time is no success.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from builder.errors import PublishError
from builder.publish._contract import Report
from builder.publish.browser import BrowserError, find_browser, look
from builder.publish.files import LocalFile
from builder.publish.repository import Repository
from builder.redaction import redact

RUNNING, ASLEEP, PAUSED = "RUNNING", "SLEEPING", "PAUSED"
WAITING = frozenset({"BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING", "NO_APP_FILE"})
"""Stages that may end well. A Space that has just been made has no app file yet."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """``ok`` None: could not be looked at. ``said`` is one sentence."""

    name: str
    ok: bool | None
    said: str


def attempt(name: str, step: Callable[[], Check]) -> Check:
    """Look; a Hub that refuses to be asked is a check that failed, after which the others and a rollback still run."""
    try:
        return step()
    except PublishError as error:
        return Check(name=name, ok=False, said=error.message)


def wait_for_stage(repository: Repository, *, seconds: float, report: Report, name: str = "stage") -> Check:
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
            return Check(name=name, ok=True, said=f"{repository.id} is {RUNNING}")
        if stage == ASLEEP:
            return Check(name=name, ok=True, said=f"{repository.id} is asleep: the first who asks it wakes it up")
        if stage == PAUSED:
            said = f"{repository.id} is {PAUSED}: restart it on {repository.address}/settings"
            return Check(name=name, ok=False, said=said)
        if stage not in WAITING:
            why = redact(str(runtime.raw.get("errorMessage") or "")).strip()
            return Check(name=name, ok=False, said=f"{repository.id} is {stage}{': ' + why if why else ''}")
        if stage != shown:
            report(f"{repository.id}: {stage.lower().replace('_', ' ')}")
            shown = stage
        if time.monotonic() > deadline:
            return Check(name=name, ok=False, said=f"{repository.id} is still {stage} after {seconds:.0f} s")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 5.0)


def check_tree(repository: Repository, commit: str, files: Iterable[LocalFile]) -> Check:
    """Compare what the repository holds with what was sent, by the checksums that the Hub computed itself."""
    there = repository.tree(commit)
    wrong = [file.path for file in files if file.path not in there or not there[file.path].is_same(file)]
    if wrong:
        return Check(name="checksums", ok=False, said=f"{repository.id} differs in {', '.join(sorted(wrong)[:5])}")
    return Check(name="checksums", ok=True, said=f"all files of {repository.id} are what was sent")


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
    stood = f"is still {seen.state}" if seen.state else "says nothing of its state"
    return Check(name="browser", ok=False, said=f"the page {stood} after {seconds:.0f} s")


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
