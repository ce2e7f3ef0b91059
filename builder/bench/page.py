"""bench page: what a page costs before the browser runtime and the model: bytes, requests, time, long tasks.

The pages are built with the embedded models and opened in a Chromium, several times with an empty cache, from a server
on this machine. What counts is the page's own: HTML, styles, scripts and JSON that come before the first file of the
runtime or of the model. Bytes are those of gzip at its default level, as static hosts send them.
"""

from __future__ import annotations

import functools
import gzip
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._processes import run_ourselves
from builder.bench._shipped import shipped_models
from builder.browsers import find_chromium
from builder.errors import BenchError

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


def _run(setting: Setting) -> Outcome:
    models = shipped_models(setting.work, setting.report)
    measures, goals = list[Measure](), list[Goal]()
    for name, model in PAGES.items():
        site = setting.work / "sites" / name
        setting.report(f"{name}: build")
        run_ourselves("build", name, "--model", str(models[model]), "-o", str(site), "--quiet", what="build")
        setting.report(f"{name}: {VISITS} visits")
        with _server(site) as address:
            visits = _visit(address)
        found = {
            ("own bytes before the runtime, gzipped", "kB"): [
                _gzipped(site, visit["before"]) / 1e3 for visit in visits
            ],
            ("requests before the runtime", ""): [float(len(visit["before"])) for visit in visits],
            ("first paint", "ms"): [visit["painted"] for visit in visits if visit["painted"] is not None],
            ("interactive", "ms"): [visit["interactive"] for visit in visits],
            ("long tasks", ""): [float(len(visit["long"])) for visit in visits],
        }
        own = [
            Measure(case=f"{name}: {what}", contestant=OURS, unit=unit, values=tuple(values))
            for (what, unit), values in found.items()
            if values
        ]
        measures += own
        by_case = {measure.case: measure.median for measure in own}
        goals.append(
            Goal(
                text=f"{name}: own bytes before the runtime",
                limit=MOST_KILOBYTES,
                value=by_case[f"{name}: {BYTES}"],
                unit="kB",
            )
        )
        goals.append(Goal(text=f"{name}: long tasks", limit=0, value=by_case[f"{name}: long tasks"]))
    return Outcome(
        measures=tuple(measures),
        goals=tuple(goals),
        notes=(
            "Interactive is when the page's own modules have run; the model then loads in a worker. A long task holds "
            "the page's thread for more than 50 ms.",
        ),
    )


def _visit(address: str) -> list[dict[str, Any]]:
    """Times, long tasks, and the paths that were asked for before the runtime or the model, of each visit."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as problem:
        raise BenchError("bench page needs a browser to drive", hint="pip install playwright") from problem
    visits = []
    with sync_playwright() as tools:
        try:
            browser = tools.chromium.launch(executable_path=find_chromium())
        except Error as problem:
            raise BenchError(f"no Chromium starts: {problem.message}", hint="playwright install chromium") from problem
        for visit in range(VISITS + 1):
            page = browser.new_context().new_page()
            asked: list[str] = []
            page.on("request", functools.partial(_note, asked))
            page.goto(address, wait_until="load")
            page.wait_for_timeout(SETTLE_MS)
            found = {**page.evaluate(TIMES), "long": page.evaluate(LONG_TASKS), "before": _before(asked, address)}
            page.context.close()
            if visit:  # the first warms the browser up
                visits.append(found)
        browser.close()
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


@contextmanager
def _server(site: Path) -> Iterator[str]:
    """A static host on this machine; yields its address, with a slash at the end."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            del format, args

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


BENCH = Bench(name="page", summary="a page's own weight before runtime and model", run=_run)
