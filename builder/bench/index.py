"""bench index: photos per second, in Python beside PyTorch, and in the page beside the bare model on ready tensors.

MobileCLIP2-S0 at full size with random weights, and photographs of a megapixel as JPEG. A photo is opened, turned,
resized, encoded, and kept in the index; PyTorch opens, resizes and encodes. Contestants take turns.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.bench._browser import open_chromium
from builder.bench._checkpoints import ARCHITECTURES
from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._pipeline import make_plain, make_quantized
from builder.bench._processes import run_ourselves
from builder.bench._server import serve
from builder.bench.peers import torch_cpu
from builder.bench.peers._environment import installed
from builder.embedded.painting import render
from builder.embedded.score import held_out_scenes
from builder.errors import BenchError
from builder.folders import new_folder
from builder.manifest import read_manifest
from builder.paths import browser_runtime
from builder.sessions import usable_cores

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAME = "MobileCLIP2-S0"
PHOTOS, PAGE_PHOTOS = 48, 12
WIDTH, HEIGHT = 1152, 864
BATCH = 8
ROUNDS = 7
PATIENCE_S = 300.0
PYTHON, PAGE = "in Python", "in the page, on WASM"
ONE_BY_ONE, BATCHED, BARE = "torch, one by one", f"torch, batches of {BATCH}", "bare model"
FOLDER = Path(__file__).parent
BARE_PAGE = "<!doctype html><title>bare model</title>"
ASK_BARE = """(job) => new Promise((resolve) => {
  const worker = new Worker('worker.js', { type: 'module' });
  worker.onmessage = ({ data }) => resolve(data);
  worker.postMessage(job);
})"""


def _run(setting: Setting) -> Outcome:
    plain = make_plain(ARCHITECTURES[NAME], setting.work, setting.report)
    model = make_quantized(plain, "balanced", setting.report).path
    assert plain.checkpoint is not None
    album = _album(setting.work / f"photos-{PHOTOS}")
    cores = usable_cores()
    rates: dict[str, Callable[[], float]] = {OURS: lambda: _index(album, model, setting.work / "bench.index")}
    if setting.wants(torch_cpu.PEER.name):
        checkpoint = plain.checkpoint
        for name, batch in ((ONE_BY_ONE, 1), (BATCHED, BATCH)):
            rates[name] = partial(
                torch_cpu.photos_per_second,
                checkpoint,
                album,
                batch=batch,
                threads=cores,
                work=setting.work,
                report=setting.report,
            )
    measures = list(_in_turns(setting, PYTHON, rates))
    site, bare = _sites(setting.work, model)
    with open_chromium() as browser:
        photos = sorted(album.iterdir())[:PAGE_PHOTOS]
        pages = {OURS: lambda: page_rate(browser, site, photos), BARE: lambda: _bare(browser, bare, model)}
        measures += _in_turns(setting, PAGE, pages)
    return Outcome(
        measures=tuple(measures),
        goals=_goals(measures),
        notes=(
            f"{PHOTOS} photos of {WIDTH} × {HEIGHT} in Python, {PAGE_PHOTOS} in the page; {cores} cores, of which a "
            "page without cross-origin isolation has one for the model and others for opening photos.",
            "Ours in Python includes loading the model and writing the index; PyTorch's time begins with a model that "
            "is loaded and has run once. Each round has its ratio, and the goals are about their median: what else a "
            "machine does in a round slows every contestant of it.",
            *([f"PyTorch ran with {installed(torch_cpu.PEER, setting.work)}."] if len(rates) > 1 else []),
        ),
    )


def _in_turns(setting: Setting, case: str, rates: dict[str, Callable[[], float]]) -> Iterator[Measure]:
    """Photos per second of each contestant, one round after the other."""
    values: dict[str, list[float]] = {name: [] for name in rates}
    for turn in range(ROUNDS):
        for name, rate in rates.items():
            setting.report(f"{case}: {name}, run {turn + 1} of {ROUNDS}")
            values[name].append(rate())
    for name, taken in values.items():
        yield Measure(case=f"{case}: photos per second", contestant=name, unit="", values=tuple(taken))


def _album(folder: Path) -> Path:
    if not folder.is_dir():
        with new_folder(folder, error=BenchError) as part:
            for number, scene in enumerate(held_out_scenes(PHOTOS)):
                top = (WIDTH - HEIGHT) // 2
                picture = render(scene, WIDTH).crop((0, top, WIDTH, top + HEIGHT))
                picture.save(part / f"{number:03}.jpg", quality=90)
    return folder


def _index(album: Path, model: Path, out: Path) -> float:
    out.unlink(missing_ok=True)  # an index that is there would be brought up to date
    done = run_ourselves("index", str(album), "-o", str(out), "--model", str(model), "--json", "--quiet", what="index")
    out.unlink()
    found = json.loads(done.output)
    return float(found["photos"] / found["seconds"])


def _sites(work: Path, model: Path) -> tuple[Path, Path]:
    """The page, and a folder with the model and the runtime alone."""
    site, bare = work / "sites" / f"photo-search-{NAME}", work / "sites" / f"bare-{NAME}"
    run_ourselves("build", "photo-search", "--model", str(model), "-o", str(site), "--quiet", what="build")
    with new_folder(bare, error=BenchError) as part:
        (part / "index.html").write_text(BARE_PAGE, encoding="utf-8")
        shutil.copy(FOLDER / "_bare_model.js", part / "worker.js")
        shutil.copytree(model, part / "models" / NAME)
        (part / "runtime").mkdir()
        for name in ("transformers.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
            shutil.copy(browser_runtime() / name, part / "runtime")
    return site, bare


def page_rate(browser: Browser, site: Path, photos: list[Path]) -> float:
    """Photos per second between the first and the last that the page has indexed."""
    context = browser.new_context()
    try:
        with serve(site) as address:
            page = context.new_page()
            page.add_init_script(path=FOLDER / "_indexing.js")
            page.goto(f"{address}?device=wasm&autostart=1")
            page.wait_for_selector("html[data-model=loaded]", state="attached", timeout=1e3 * PATIENCE_S)
            page.set_input_files("[data-role=pick]", photos)
            times = [mark["at_ms"] for mark in _marks(page, len(photos))]
    finally:
        context.close()
    return float(1e3 * (len(times) - 1) / (times[-1] - times[0]))


def _marks(page: Page, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        marks: list[dict[str, Any]] = page.evaluate("globalThis.marks")
        wrong = next((mark["why"] for mark in marks if mark["what"] != "indexed"), None)
        if wrong is not None or time.monotonic() > deadline:
            raise BenchError(f"photo-search does not index: {wrong or page.inner_text('[data-role=status]')}")
        if len(marks) >= count:
            return marks
        page.wait_for_timeout(200)


def _bare(browser: Browser, folder: Path, model: Path) -> float:
    manifest = read_manifest(model)
    job = {
        "model": NAME,
        "dtype": manifest.tiers["wasm"]["vision_model"],
        "size": manifest.image.width,
        "photos": PAGE_PHOTOS,
    }
    context = browser.new_context()
    try:
        with serve(folder) as address:
            page = context.new_page()
            page.set_default_timeout(1e3 * PATIENCE_S)
            page.goto(address)
            found: dict[str, Any] = page.evaluate(ASK_BARE, job)
    finally:
        context.close()
    if "error" in found:
        raise BenchError(f"the bare model does not run: {found['error']}")
    return float(found["rate"])


def _goals(measures: list[Measure]) -> tuple[Goal, ...]:
    by_case: dict[str, dict[str, tuple[float, ...]]] = {}
    for measure in measures:
        by_case.setdefault(measure.case.partition(":")[0], {})[measure.contestant] = measure.values

    def share(case: str, others: Sequence[str]) -> float:
        """Of the fastest of the others' rates, round by round; the median."""
        rounds = zip(by_case[case][OURS], *(by_case[case][name] for name in others), strict=True)
        return float(statistics.median(one[0] / max(one[1:]) for one in rounds))

    text = f"{PAGE}: of the bare model's rate"
    goals = [Goal(text=text, limit=0.9, value=share(PAGE, [BARE]), at_most=False)]
    peers = [name for name in by_case[PYTHON] if name != OURS]
    if peers:
        text = f"{PYTHON}: of the faster of PyTorch's rates"
        goals.append(Goal(text=text, limit=1, value=share(PYTHON, peers), at_most=False, unit="×"))
    return tuple(goals)


BENCH = Bench(name="index", summary="photos per second into an index", run=_run, peers=(torch_cpu.PEER.name,))
