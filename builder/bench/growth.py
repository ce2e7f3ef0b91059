"""bench growth: 1, 4 and 16 times the work must take no more than 1, 4 and 16 times as long.

Tokens of a prompt and positions before a token with the decoder of scenes-vlm, photos with the picture encoder of
scenes-clip, both as they are shipped on WASM and run natively. Attention grows with the square of a prompt, which is to
stay hidden behind the rest at these lengths.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._decoders import Load, feeds, open_native
from builder.bench._shipped import shipped_graph, shipped_models
from builder.manifest import DECODER

FACTORS = (1, 4, 16)
TOKENS, PHOTOS = 16, 4
TIMES = 15
SLACK = 1.1
"""Over linear, for what a busy machine adds to a median."""


def _run(setting: Setting) -> Outcome:
    folders = shipped_models(setting.work, setting.report)
    decoder = open_native(shipped_graph(folders["scenes-vlm"], DECODER, "wasm"), threads=1)
    vision = open_native(shipped_graph(folders["scenes-clip"], "vision_model", "wasm"), threads=1)
    works: dict[str, Callable[[int], Callable[[], object]]] = {
        "tokens of a prompt": partial(_prompt, decoder),
        "positions before one token": partial(_token, decoder),
        "photos": partial(_photos, vision, folders["scenes-clip"]),
    }
    measures, goals = list[Measure](), list[Goal]()
    for name, work in works.items():
        setting.report(name)
        runs = {factor: work(factor) for factor in FACTORS}
        values: dict[int, list[float]] = {factor: [] for factor in FACTORS}
        for turn in range(TIMES + 1):
            for factor, run in runs.items():
                started = time.perf_counter()
                run()
                if turn:  # the first warms up
                    values[factor].append(1e3 * (time.perf_counter() - started))
        found = [
            Measure(case=name, contestant=f"{OURS}, {factor}× work", unit="ms", values=tuple(taken))
            for factor, taken in values.items()
        ]
        measures += found
        for factor, measure in zip(FACTORS[1:], found[1:], strict=True):
            ratio = measure.median / found[0].median
            goals.append(Goal(text=f"{name}, {factor}× work takes", limit=factor * SLACK, value=ratio, unit="×"))
    return Outcome(
        measures=tuple(measures),
        goals=tuple(goals),
        notes=(f"1× are {TOKENS} tokens or positions, {PHOTOS} photos; one thread.",),
    )


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
