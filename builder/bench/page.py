"""bench page: what a page costs before the browser runtime and the model: bytes, requests, time, long tasks.

The pages are built with the embedded models and opened in a Chromium, several times with an empty cache, from a server
on this machine, and started. What counts is the page's own: HTML, styles, scripts and JSON, its worker's too, that come
before the first file of the runtime; what describes the model is the model's. Bytes are those of gzip at its default
level, as static hosts send them.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.bench._browser import open_chromium
from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._processes import run_ourselves
from builder.bench._server import serve
from builder.bench._shipped import shipped_models
from builder.bench.caption import EMBEDDED, minimal_page
from builder.bench.peers import minimal
from builder.embedded import checkpoint_dir, model_dir
from builder.errors import BenchError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGES = {"camera-caption": "scenes-vlm", "photo-search": "scenes-clip"}
VISITS = 5
MOST_KILOBYTES = 60.0
SETTLE_MS = 1500
PATIENCE_S = 120.0
RUNTIME, NOT_OURS = "runtime/", ("models/", "icons/", "sample/")
"""Icons are the browser's wish, and no page waits for them or for the sample."""
HEAVIEST = 8
WATCH = """
performance.mark('the measured page');
globalThis.offered_ms = null;
new MutationObserver(() => {
  if (document.documentElement?.dataset.state === 'paused') offered_ms ??= performance.now();
}).observe(document, { subtree: true, attributeFilter: ['data-state'] });
"""
FOUND = """() => {
  const [visit] = performance.getEntriesByType('navigation');
  const painted = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null;
  return { interactive: offered_ms ?? visit.domContentLoadedEventEnd, painted };
}"""
BYTES, TASKS = "own bytes before the runtime, gzipped", "long tasks until the model is loaded"
LONG_MS = 50.0
TRACED, MARK = ("toplevel", "devtools.timeline", "blink.user_timing"), "the measured page"
LABELS = {
    BYTES: "kB",
    "own requests before the runtime": "",
    "first paint": "ms",
    "interactive": "ms",
    TASKS: "",
    "longest task": "ms",
}
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
OURS_QUERY = "?device=wasm"


def _run(setting: Setting) -> Outcome:
    models = shipped_models(setting.work, setting.report)
    measures, goals = list[Measure](), list[Goal]()
    for name, model in PAGES.items():
        site = setting.work / "sites" / name
        setting.report(f"{name}: build")
        run_ourselves("build", name, "--model", str(models[model]), "-o", str(site), "--quiet", what="build")
        contestants = {OURS: (site, OURS_QUERY)}
        if model == EMBEDDED and setting.wants(minimal.PEER.name):
            peer = minimal_page(setting, model, checkpoint_dir(model), model_dir(model))
            contestants[peer.name] = (peer.site, f"?{peer.query}")
        visits: dict[str, list[dict[str, Any]]] = {contestant: [] for contestant in contestants}
        with open_chromium(CAMERA) as browser:
            for turn in range(VISITS + 1):
                for contestant, (folder, query) in contestants.items():
                    setting.report(f"{name}, {contestant}: visit {turn + 1} of {VISITS + 1}")
                    visit = visit_once(browser, folder, query, start=contestant == OURS)
                    if turn:  # the first warms the browser up
                        visits[contestant].append(visit)
        found = {key: dict(_measures(name, key, folder, visits[key])) for key, (folder, _) in contestants.items()}
        for what in LABELS:
            measures += [by_label[what] for by_label in found.values() if what in by_label]
        weight, tasks = found[OURS][BYTES].median, found[OURS][TASKS].median
        goals.append(Goal(text=f"{name}: own bytes before the runtime", limit=MOST_KILOBYTES, value=weight, unit="kB"))
        goals.append(Goal(text=f"{name}: long tasks", limit=0, value=tasks))
    return Outcome(
        measures=tuple(measures),
        goals=tuple(goals),
        notes=(
            "Ours is interactive when its start can be pressed; the minimal page, where there is nothing to press, "
            "when its document has been read and its script has begun. A long task holds the page's thread for more "
            "than 50 ms; they are counted until the model is loaded in its worker and "
            f"{SETTLE_MS / 1e3:g} s after, by processor time, because a busy machine lengthens every task.",
            "Own bytes are counted without the service worker, which takes the same files once more to keep them.",
        ),
    )


def _measures(name: str, contestant: str, site: Path, visits: list[dict[str, Any]]) -> Iterator[tuple[str, Measure]]:
    sizes = [gzipped(site, visit["own"]) for visit in visits]
    heaviest = sorted(sizes[0].items(), key=lambda entry: -entry[1])[:HEAVIEST]
    values = {
        BYTES: [sum(found.values()) / 1e3 for found in sizes],
        "own requests before the runtime": [float(len(visit["own"])) for visit in visits],
        "first paint": [visit["painted"] for visit in visits if visit["painted"] is not None],
        "interactive": [visit["interactive"] for visit in visits],
        TASKS: [float(sum(task > LONG_MS for task in visit["tasks"])) for visit in visits],
        "longest task": [max(visit["tasks"], default=0.0) for visit in visits],
    }
    notes = {BYTES: ", ".join(f"{path.rpartition('/')[2]} {size / 1e3:.1f}" for path, size in heaviest)}
    for what, unit in LABELS.items():
        if values[what]:
            taken, note = tuple(values[what]), notes.get(what, "")
            case = f"{name}: {what}"
            yield what, Measure(case=case, contestant=contestant, unit=unit, values=taken, note=note)


def visit_once(browser: Browser, site: Path, query: str, *, start: bool) -> dict[str, Any]:
    """Open a site with an empty cache and press its start, if it has one, until its model is loaded.

    Returns:
        Times in milliseconds, in ``tasks`` those of `task_times`, and in ``own`` the paths of `own_paths`.

    Raises:
        BenchError: the runtime is never asked for.
    """
    asked: list[str] = []
    context = browser.new_context(permissions=["camera"], service_workers="block")
    try:
        with serve(site, asked=asked) as address:
            page = context.new_page()
            page.add_init_script(WATCH)
            browser.start_tracing(page=page, categories=list(TRACED))
            page.goto(f"{address}{query}", wait_until="load")
            if start:
                page.click("[data-role=start]")
                page.wait_for_selector("html[data-model=loaded]", state="attached", timeout=1e3 * PATIENCE_S)
            deadline = time.monotonic() + PATIENCE_S
            while not any(path.startswith(RUNTIME) for path in asked):
                if time.monotonic() > deadline:
                    raise BenchError(f"the page in {site.name} never asked for the runtime")
                page.wait_for_timeout(100)
            page.wait_for_timeout(SETTLE_MS)
            found: dict[str, Any] = page.evaluate(FOUND)
            tasks = task_times(json.loads(browser.stop_tracing())["traceEvents"])
    finally:
        context.close()
    return {**found, "own": own_paths(asked), "tasks": tasks}


def task_times(events: Sequence[Mapping[str, Any]]) -> list[float]:
    """Milliseconds of processor time of each task on the page's own thread, out of the browser's trace.

    A browser has pages of its own, too: the measured one has left its mark.
    """
    threads = {(event["pid"], event["tid"]) for event in events if event["name"] == MARK}
    tasks = (e for e in events if e["name"].endswith("RunTask") and (e["pid"], e["tid"]) in threads)
    return [event["tdur"] / 1e3 for event in tasks if "tdur" in event]


def own_paths(asked: Sequence[str]) -> list[str]:
    """The page's own paths, each once, up to the first of the runtime; the page itself is ``index.html``.

    Everything that is asked for before counts, whoever asks: what starting needs is fetched before the runtime.
    """
    end = next((at for at, path in enumerate(asked) if path.startswith(RUNTIME)), len(asked))
    paths = (path or "index.html" for path in asked[:end])
    return list(dict.fromkeys(path for path in paths if not path.startswith(NOT_OURS)))


def gzipped(site: Path, paths: Sequence[str]) -> dict[str, int]:
    """Path → bytes on the line, of those that the site has."""
    return {path: len(gzip.compress((site / path).read_bytes(), 6)) for path in paths if (site / path).is_file()}


BENCH = Bench(name="page", summary="a page's own weight before runtime and model", run=_run, peers=(minimal.PEER.name,))
