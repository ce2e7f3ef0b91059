"""bench page: what a page costs before the browser runtime and the model: bytes, requests, time, long tasks.

The pages are built with the embedded models and opened in a Chromium, several times with an empty cache, from a server
on this machine. What counts is the page's own: HTML, styles, scripts and JSON that come before the first file of the
runtime or of the model. Bytes are those of gzip at its default level, as static hosts send them.
"""

from __future__ import annotations

import functools
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from builder.bench._browser import open_chromium
from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._processes import run_ourselves
from builder.bench._server import serve
from builder.bench._shipped import shipped_models
from builder.bench.caption import EMBEDDED, minimal_page
from builder.bench.peers import minimal
from builder.embedded import checkpoint_dir, model_dir

PAGES = {"camera-caption": "scenes-vlm", "photo-search": "scenes-clip"}
VISITS = 5
MOST_KILOBYTES = 60.0
SETTLE_MS = 1500
LONG_TASKS = """() => new Promise((resolve) => {
  const found = [];
  new PerformanceObserver((list) => found.push(...list.getEntries().map((entry) => entry.duration)))
    .observe({ type: 'longtask', buffered: true });
  setTimeout(() => resolve(found), 100);
})"""
TIMES = """() => {
  const [visit] = performance.getEntriesByType('navigation');
  const painted = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null;
  return { interactive: visit.domContentLoadedEventEnd, painted };
}"""
BYTES = "own bytes before the runtime, gzipped"
LABELS = {BYTES: "kB", "requests before the runtime": "", "first paint": "ms", "interactive": "ms", "long tasks": ""}
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


def _run(setting: Setting) -> Outcome:
    models = shipped_models(setting.work, setting.report)
    measures, goals = list[Measure](), list[Goal]()
    for name, model in PAGES.items():
        site = setting.work / "sites" / name
        setting.report(f"{name}: build")
        run_ourselves("build", name, "--model", str(models[model]), "-o", str(site), "--quiet", what="build")
        contestants = {OURS: (site, "")}
        if model == EMBEDDED and setting.wants(minimal.PEER.name):
            peer = minimal_page(setting, model, checkpoint_dir(model), model_dir(model))
            contestants[peer.name] = (peer.site, f"?{peer.query}")
        found: dict[str, dict[str, Measure]] = {}
        for contestant, (folder, query) in contestants.items():
            setting.report(f"{name}, {contestant}: {VISITS} visits")
            with serve(folder) as address:
                visits = _visit(address, query)
            found[contestant] = dict(_measures(name, contestant, folder, visits))
        for what in LABELS:
            measures += [by_label[what] for by_label in found.values() if what in by_label]
        weight, tasks = found[OURS][BYTES].median, found[OURS]["long tasks"].median
        goals.append(Goal(text=f"{name}: own bytes before the runtime", limit=MOST_KILOBYTES, value=weight, unit="kB"))
        goals.append(Goal(text=f"{name}: long tasks", limit=0, value=tasks))
    return Outcome(
        measures=tuple(measures),
        goals=tuple(goals),
        notes=(
            "Interactive is when the page's own modules have run; the model then loads in a worker. A long task holds "
            "the page's thread for more than 50 ms. The minimal page starts by itself, ours waits for the visitor.",
        ),
    )


def _measures(name: str, contestant: str, site: Path, visits: list[dict[str, Any]]) -> Iterator[tuple[str, Measure]]:
    values = {
        BYTES: [_gzipped(site, visit["before"]) / 1e3 for visit in visits],
        "requests before the runtime": [float(len(visit["before"])) for visit in visits],
        "first paint": [visit["painted"] for visit in visits if visit["painted"] is not None],
        "interactive": [visit["interactive"] for visit in visits],
        "long tasks": [float(len(visit["long"])) for visit in visits],
    }
    for what, unit in LABELS.items():
        if values[what]:
            case = f"{name}: {what}"
            yield what, Measure(case=case, contestant=contestant, unit=unit, values=tuple(values[what]))


def _visit(address: str, query: str) -> list[dict[str, Any]]:
    """Times, long tasks, and the paths that were asked for before the runtime or the model, of each visit."""
    visits = []
    with open_chromium(CAMERA) as browser:
        for visit in range(VISITS + 1):
            page = browser.new_context(permissions=["camera"]).new_page()
            asked: list[str] = []
            page.on("request", functools.partial(_note, asked))
            page.goto(f"{address}{query}", wait_until="load")
            page.wait_for_timeout(SETTLE_MS)
            found = {**page.evaluate(TIMES), "long": page.evaluate(LONG_TASKS), "before": _before(asked, address)}
            page.context.close()
            if visit:  # the first warms the browser up
                visits.append(found)
    return visits


def _note(asked: list[str], request: Any) -> None:
    asked.append(request.url)


def _before(asked: list[str], address: str) -> list[str]:
    """Paths below ``address`` up to the first of the runtime or the model."""
    paths = [url.removeprefix(address).partition("?")[0].partition("#")[0] for url in asked if url.startswith(address)]
    end = next((i for i, path in enumerate(paths) if path.startswith(("runtime/", "models/"))), len(paths))
    return paths[:end]


def _gzipped(site: Path, paths: list[str]) -> int:
    files = {site / (path or "index.html") for path in paths}
    return sum(len(gzip.compress(file.read_bytes(), 6)) for file in files if file.is_file())


BENCH = Bench(name="page", summary="a page's own weight before runtime and model", run=_run, peers=(minimal.PEER.name,))
