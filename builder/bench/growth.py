"""bench growth: 1, 4 and 16 times the work must take no more than 1, 4 and 16 times as long.

Tokens of a prompt and positions before a token with the decoder of scenes-vlm, photos with the picture encoder of
scenes-clip, both as they are shipped on WASM and run natively; photos through the whole of `webgpu-demo index`; in
pages photos that are searched and indexed and tokens of a caption; and parameters: a token, and the commands that make
a web model, with decoders of three widths. Attention grows with the square of a prompt, which is to stay hidden behind
the rest at these lengths.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from builder.bench._checkpoints import QWEN2_05B, SMALLEST_TOWER, Architecture, write_fastvlm
from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._decoders import Load, feeds, open_native
from builder.bench._growth_pages import PAGE_PHOTOS, SEARCHED, captioning, indexing, searching
from builder.bench._growth_pages import TOKENS as CAPTION_TOKENS
from builder.bench._pipeline import make_plain, make_quantized, run_steps
from builder.bench._processes import run_ourselves
from builder.bench._shipped import shipped_graph, shipped_models
from builder.embedded.painting import render
from builder.embedded.score import held_out_scenes
from builder.manifest import DECODER

FACTORS = (1, 4, 16)
TOKENS, PHOTOS = 16, 4
WIDTHS = {1: 256, 4: 512, 16: 1024}
LAYERS = 6
TIMES = 15
INDEXED, INDEX_TIMES = 12, 5
COMMAND_TIMES = 3
PHOTOS_INDEXED = "photos indexed by the command"
SLACK = 1.1
"""Over linear, for what a busy machine adds to a median."""


def _run(setting: Setting) -> Outcome:
    folders = shipped_models(setting.work, setting.report)
    vlm, clip = folders["scenes-vlm"], folders["scenes-clip"]
    decoder = open_native(shipped_graph(vlm, DECODER, "wasm"), threads=1)
    vision = open_native(shipped_graph(clip, "vision_model", "wasm"), threads=1)
    made = {
        factor: make_quantized(make_plain(_wider(width), setting.work, setting.report), "balanced", setting.report)
        for factor, width in WIDTHS.items()
    }
    wider = {
        factor: open_native(shipped_graph(found.path, DECODER, "webgpu"), threads=1) for factor, found in made.items()
    }
    works: dict[str, Callable[[int], Callable[[], object]]] = {
        "tokens of a prompt": partial(_prompt, decoder),
        "positions before one token": partial(_token, decoder),
        "photos": partial(_photos, vision, clip),
        "parameters, one token": lambda factor: _token(wider[factor], 1),
    }
    measures = list[Measure]()
    for name, work in works.items():
        setting.report(name)
        measures += _measures(name, "ms", _in_turns({factor: work(factor) for factor in FACTORS}))
    measures += _measures("photos searched in the page", "ms", searching(setting.work, FACTORS, setting.report))
    tokens = captioning(made[1].path, FACTORS, setting.work, setting.report)
    measures += _measures("tokens of a caption in the page", "ms", tokens)
    with tempfile.TemporaryDirectory() as folder:
        albums = {factor: _album(Path(folder) / str(factor), INDEXED * factor) for factor in FACTORS}
        measures += _measures(PHOTOS_INDEXED, "s", _indexing(setting, clip, albums))
        measures += _measures("photos indexed in the page", "s", indexing(clip, albums, setting.work, setting.report))
    for step, taken in _commands(setting, {factor: found.checkpoint for factor, found in made.items()}).items():
        measures += _measures(f"parameters, {step}", "s", taken)
    return Outcome(
        measures=tuple(measures),
        goals=tuple(_goals(measures)),
        notes=(
            f"1× are {TOKENS} tokens or positions, {PHOTOS} photos for the encoder alone, {INDEXED} for the whole "
            f"command and {PAGE_PHOTOS} for the page, {SEARCHED:,} that are searched, {CAPTION_TOKENS} tokens of a "
            f"caption, and a decoder of {LAYERS} layers with {WIDTHS[1]} channels (4 million parameters); one thread, "
            "all for the commands.",
        ),
    )


def _measures(case: str, unit: str, times: Mapping[int, Sequence[float]]) -> Iterator[Measure]:
    for factor, taken in times.items():
        contestant = f"{OURS}, {factor}× work"
        yield Measure(case=case, contestant=contestant, unit=unit, values=tuple(taken), work=factor)


def _in_turns(runs: Mapping[int, Callable[[], object]]) -> dict[int, list[float]]:
    values: dict[int, list[float]] = {factor: [] for factor in FACTORS}
    for turn in range(TIMES + 1):
        for factor, run in runs.items():
            started = time.perf_counter()
            run()
            if turn:  # the first warms up
                values[factor].append(1e3 * (time.perf_counter() - started))
    return values


def _goals(measures: Sequence[Measure]) -> Iterator[Goal]:
    by_case: dict[str, list[Measure]] = {}
    for measure in measures:
        by_case.setdefault(measure.case, []).append(measure)
    for case, (first, *others) in by_case.items():
        for measure in others:
            ratio = measure.median / first.median
            yield Goal(text=f"{case}, {measure.work}× work takes", limit=measure.work * SLACK, value=ratio, unit="×")


def _wider(width: int) -> Architecture:
    """A captioner whose decoder is so wide: twice the width are four times the parameters."""
    sizes = {
        **QWEN2_05B,
        "hidden_size": width,
        "intermediate_size": width * 11 // 4,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": width // 64,
        "vocab_size": 4 * width,  # as wide as any layer it would be taken for one: the builder knows the head by that
        "max_position_embeddings": 1024,
    }
    return Architecture(name=f"growth-{width}", write=partial(write_fastvlm, text=sizes, tower=SMALLEST_TOWER))


def _commands(setting: Setting, checkpoints: Mapping[int, Path | None]) -> dict[str, dict[int, list[float]]]:
    """Seconds of export, quantize and verify of each checkpoint, made anew in turns: command → factor → values."""
    seconds: dict[str, dict[int, list[float]]] = {}
    for turn in range(COMMAND_TIMES):
        for factor, checkpoint in checkpoints.items():
            assert checkpoint is not None
            setting.report(f"commands at {factor}×, run {turn + 1} of {COMMAND_TIMES}")
            with tempfile.TemporaryDirectory(dir=setting.work) as folder:
                for step, done in run_steps(checkpoint, Path(folder) / "made", setting.report).items():
                    seconds.setdefault(step, {}).setdefault(factor, []).append(done.seconds)
    return seconds


def _album(folder: Path, count: int) -> Path:
    """So many different files of the same few pictures: painting takes longer than indexing."""
    folder.mkdir()
    scenes = held_out_scenes(INDEXED)
    for number in range(count):
        scene = render(scenes[number % INDEXED], 512)
        scene.save(folder / f"{number:04}.jpg", quality=85 + number // INDEXED % 10)
    return folder


def _indexing(setting: Setting, model: Path, albums: Mapping[int, Path]) -> dict[int, list[float]]:
    """Seconds of `webgpu-demo index` for albums of 1, 4 and 16 times as many photos, in turns."""
    seconds: dict[int, list[float]] = {factor: [] for factor in albums}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(INDEX_TIMES):
            for factor, album in albums.items():
                setting.report(f"indexing {INDEXED * factor} photos, run {turn + 1} of {INDEX_TIMES}")
                out = Path(folder) / f"{factor}-{turn}.index"
                command = ("index", str(album), "-o", str(out), "--model", str(model), "--quiet")
                seconds[factor].append(json.loads(run_ourselves(*command, "--json", what="index").output)["seconds"])
    return seconds


def _prompt(session: Any, factor: int) -> Callable[[], object]:
    return _once(session, Load(label="", new=TOKENS * factor, past=0, times=1))


def _token(session: Any, factor: int) -> Callable[[], object]:
    return _once(session, Load(label="", new=1, past=TOKENS * factor, times=1))


def _once(session: Any, load: Load) -> Callable[[], object]:
    given = feeds(session, load)
    return lambda: session.run(None, given)


def _photos(session: Any, folder: Path, factor: int) -> Callable[[], object]:
    from builder.manifest import read_manifest

    given = feeds(session, Load(label="", new=0, past=0, times=1), read_manifest(folder))

    def embed() -> None:
        for _ in range(PHOTOS * factor):
            session.run(None, given)

    return embed


BENCH = Bench(name="growth", summary="time at 1, 4 and 16 times the work", run=_run)
