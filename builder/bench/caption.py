"""bench caption: the whole camera page as a visitor has it, beside a minimal page with the peers' web model.

Both are served from this machine over the same slow line, see the same camera, ask the same question and end at the
same token. A visit is a new tab: the first with an empty browser, the second with what the first has left there.
Contestants take turns; the first visits of all warm the machine up and do not count. "Before" is ours as it was when
the runtime and the sessions waited for the whole download: _variants.py.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.bench._browser import open_chromium, processor_seconds
from builder.bench._camera import camera_flags, write_camera
from builder.bench._checkpoints import QWEN2_05B, Architecture, write_fastvlm, write_json
from builder.bench._contract import BEFORE, OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._pipeline import make_plain, make_quantized
from builder.bench._processes import run_ourselves
from builder.bench._server import serve
from builder.bench._shipped import shipped_models
from builder.bench._variants import with_downloads_first
from builder.bench.peers import minimal, optimum_onnx
from builder.embedded import checkpoint_dir, model_dir
from builder.errors import BenchError
from builder.manifest import read_manifest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

EMBEDDED = "scenes-vlm"
MIDDLE = "FastVLM-60M"
"""FastVLM's layout, widths between the embedded model's and the published one's, and random weights: on one core a
caption takes a second or two, so that neither page waits for anything but the model."""
SIZES = {
    **QWEN2_05B,
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "vocab_size": 32_000,
    "max_position_embeddings": 1024,
}
TOWER = {"layers": [1, 2, 4, 2, 1], "embed_dims": [48, 96, 192, 384, 768]}
TOKENS = 16
MEGABITS = 50.0
ROUNDS = 3
CAPTIONS = {EMBEDDED: 10, MIDDLE: 4}
"""Of a visit, after the first."""
PATIENCE_S = 180.0
POLL_MS = 100
QUERY = "device=wasm&autostart=1&source=camera&gate=0"
"""The picture counts as new each time: otherwise the page rests while a scene stands still, and saves the work."""
SCRIPT = Path(__file__).with_name("_visits.js")
FIRST, SECOND = "first visit", "second visit"
WAITING = f"{BEFORE}, sessions after the download"
WORDS, WAIT, RATE = "first words", "to the first words, from the picture", "captions per minute"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A site, and what its address says."""

    name: str
    site: Path
    query: str


@dataclass(frozen=True, kw_only=True)
class Visit:
    """Seconds from the navigation to the first words and to the first whole caption, and what followed.

    ``processor_s`` are those that the browser's processes took until then, which other work on the machine hardly
    changes.
    """

    first_words_s: float
    first_caption_s: float
    processor_s: float
    first_token_ms: tuple[float, ...]
    per_minute: float


TO_THE_FIRST: Mapping[str, Callable[[Visit], float]] = {
    WORDS: lambda visit: visit.first_words_s,
    "first caption": lambda visit: visit.first_caption_s,
    "processor time to the first caption": lambda visit: visit.processor_s,
}


def _run(setting: Setting) -> Outcome:
    camera = setting.work / "camera.y4m"
    setting.work.mkdir(parents=True, exist_ok=True)
    everybody = {name: list(_contestants(setting, name)) for name in CAPTIONS}
    write_camera(camera)
    measures = list[Measure]()
    try:
        with open_chromium(camera_flags(camera)) as browser:
            for model, contestants in everybody.items():
                visits: dict[tuple[str, str], list[Visit]] = {}
                for turn in range(ROUNDS + 1):
                    for contestant in contestants:
                        setting.report(f"{model}, {contestant.name}: two visits, turn {turn + 1} of {ROUNDS + 1}")
                        two = visit_twice(browser, contestant, CAPTIONS[model])
                        for when, visit in zip((FIRST, SECOND), two, strict=True):
                            if turn:
                                visits.setdefault((when, contestant.name), []).append(visit)
                measures += _measures(model, visits)
    finally:
        camera.unlink()
    return Outcome(measures=tuple(measures), goals=_goals(measures), notes=NOTES)


def _contestants(setting: Setting, model: str) -> Iterator[Contestant]:
    if model == EMBEDDED:
        checkpoint, plain = checkpoint_dir(model), model_dir(model)
        ours = shipped_models(setting.work, setting.report)[model]
    else:
        made = make_plain(Architecture(name=MIDDLE, write=_write_middle), setting.work, setting.report)
        assert made.checkpoint is not None
        checkpoint, plain = made.checkpoint, made.path
        ours = make_quantized(made, "balanced", setting.report).path
    site = setting.work / "sites" / f"camera-caption-{model}"
    run_ourselves("build", "camera-caption", "--model", str(ours), "-o", str(site), "--quiet", what="build")
    yield Contestant(name=OURS, site=site, query=QUERY)
    if model == MIDDLE:
        waiting = with_downloads_first(site, site.with_name(f"{site.name}-waiting"))
        yield Contestant(name=WAITING, site=waiting, query=QUERY)
    if setting.wants(minimal.PEER.name):
        yield minimal_page(setting, model, checkpoint, plain)


def _write_middle(folder: Path) -> None:
    write_fastvlm(folder, text=SIZES, tower=TOWER)
    write_json(folder / "demo.json", {"generation": {"max_new_tokens": TOKENS}})


def minimal_page(setting: Setting, model: str, checkpoint: Path, plain: Path) -> Contestant:
    """The peer's page, with the same question and the same number of tokens as ours."""
    manifest = read_manifest(plain)
    made = optimum_onnx.make_captioner(checkpoint, plain, model, setting.work, setting.report)
    site = minimal.make_site(
        made,
        model,
        optimum_onnx.CAPTIONER_DTYPES,
        manifest.prompts[0].text,
        manifest.generation.max_new_tokens,
        setting.work,
    )
    return Contestant(name=minimal.PEER.name, site=site.path, query=site.query)


def visit_twice(browser: Browser, contestant: Contestant, captions: int) -> tuple[Visit, Visit]:
    """Open a site in a fresh profile, and once more in another tab of it.

    Raises:
        BenchError: no captions come.
    """
    context = browser.new_context(permissions=["camera"])
    try:
        with serve(contestant.site, megabits=MEGABITS) as address:
            visit = functools.partial(_visit, context, f"{address}?{contestant.query}", contestant.name, captions)
            return visit(), visit()
    finally:
        context.close()


def _visit(context: BrowserContext, address: str, name: str, captions: int) -> Visit:
    page = context.new_page()
    page.add_init_script(path=SCRIPT)
    before = processor_seconds()
    page.goto(address, wait_until="commit")
    wait_for_captions(page, name, 1)
    after = processor_seconds()
    marks = wait_for_captions(page, name, captions + 1)
    page.close()
    times = {what: [mark["at_ms"] for mark in marks if mark["what"] == what] for what in ("asked", "text", "done")}
    waits = [text - max(asked for asked in times["asked"] if asked <= text) for text in times["text"]]
    span_ms = times["done"][-1] - times["done"][0]
    return Visit(
        first_words_s=times["text"][0] / 1e3,
        first_caption_s=times["done"][0] / 1e3,
        processor_s=sum(seconds - before.get(process, 0.0) for process, seconds in after.items()),
        first_token_ms=tuple(waits[1:]),
        per_minute=60e3 * (len(times["done"]) - 1) / span_ms,
    )


def wait_for_captions(page: Page, name: str, count: int) -> list[dict[str, Any]]:
    """Wait until so many captions are done; all that _visits.js has noted.

    Raises:
        BenchError: none come.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        marks: list[dict[str, Any]] = page.evaluate("globalThis.marks")
        if sum(mark["what"] == "done" for mark in marks) >= count:
            return marks
        wrong = next((mark["why"] for mark in marks if mark["what"] == "error"), "")
        if wrong or time.monotonic() > deadline:
            raise BenchError(f"{name} gives no captions: {wrong or page.inner_text('body')[:300]}")
        page.wait_for_timeout(POLL_MS)


def _measures(model: str, visits: Mapping[tuple[str, str], list[Visit]]) -> Iterator[Measure]:
    """Not the first words of random weights: a streamer shows whole words, and these have hardly a space."""
    names = dict.fromkeys(name for _, name in visits)
    for when, (what, value) in itertools.product((FIRST, SECOND), TO_THE_FIRST.items()):
        for name in () if model == MIDDLE and what == WORDS else names:
            values = tuple(value(visit) for visit in visits[when, name])
            yield Measure(case=f"{model}, {when}: {what}", contestant=name, unit="s", values=values)
    taken = {name: [visit for when in (FIRST, SECOND) for visit in visits[when, name]] for name in names}
    for name, found in () if model == MIDDLE else taken.items():
        waits = tuple(itertools.chain.from_iterable(visit.first_token_ms for visit in found))
        yield Measure(case=f"{model}: {WAIT}", contestant=name, unit="ms", values=waits)
    for name, found in taken.items():
        rates = tuple(visit.per_minute for visit in found)
        yield Measure(case=f"{model}: {RATE}", contestant=name, unit="", values=rates)


def _goals(measures: Sequence[Measure]) -> tuple[Goal, ...]:
    def times(case: str, other: str = minimal.PEER.name) -> float | None:
        """How many times the other's value ours is."""
        found = {measure.contestant: measure.median for measure in measures if measure.case == case}
        return found[OURS] / found[other] if other in found else None

    rate = times(f"{MIDDLE}: {RATE}")
    goals = [Goal(text=f"{MIDDLE}, {RATE}: times as many", limit=1.5, value=rate, at_most=False, unit="×")]
    for model in CAPTIONS:
        share = times(f"{model}, {SECOND}: first caption")
        value = None if share is None else 1 / share
        text = f"{model}, {SECOND}, first caption: times as fast"
        goals.append(Goal(text=text, limit=2.0, value=value, at_most=False, unit="×"))
    before = times(f"{MIDDLE}, {FIRST}: first caption", WAITING)
    text = f"{MIDDLE}, {FIRST}, first caption: time relative to before"
    goals.append(Goal(text=text, limit=1, value=before, unit="×"))
    return tuple(goals)


NOTES = (
    f"On WASM with one thread, over a line of {MEGABITS:g} megabits a second; files are sent as they are. How fast "
    "pages are on WebGPU only a machine with a GPU can tell.",
    "Our page is told to caption every picture as new (gate=0): as it comes it rests while nothing changes. Where a "
    "caption takes less than 0.4 s it waits, for the reader's sake, so that about 150 a minute are its most: with "
    "the embedded model that is what is seen.",
    "The minimal page asks the same model, whose decoder optimum-onnx exported, quantized as the card of the published "
    "FastVLM recommends it: decoder and encoder q4, embedding table fp16.",
    f"{MIDDLE} has FastVLM's layout and random weights; a caption of it is {TOKENS} tokens, of the embedded model up "
    "to 40.",
)


BENCH = Bench(
    name="caption",
    summary="the camera page of a visitor, first and second visit",
    run=_run,
    peers=(minimal.PEER.name,),
)
