"""bench build: seconds and peak memory of export, quantize and verify, at the size of FastVLM-0.5B and of CLIP.

Compared is the same work: FastVLM-0.5B's language model against a Qwen2-0.5B of the same sizes, and both towers of CLIP
against them in one graph; each exported in float32, and every product of it brought to q4. A captioner is exported
whole, so ours has the smallest picture tower that there can be beside its language model. Ours checks each graph
against PyTorch on the way, and measures what quantizing did; the peer does neither. What our commands take for a whole
model is shown beside, because the goals are about that. Every step is a process of its own and made anew, in turns.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from builder.bench._checkpoints import ARCHITECTURES, QWEN2_05B, SMALLEST_TOWER, Architecture, write_fastvlm
from builder.bench._clip_checkpoint import CLIP
from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._pipeline import make_checkpoint, run_steps
from builder.bench._processes import Finished
from builder.bench.peers import optimum_onnx
from builder.bench.peers._environment import installed

NAME = "FastVLM-0.5B"
MOST_SECONDS, MOST_GIGABYTES = 240.0, 8.0
PEER = optimum_onnx.PEER.name
ROUNDS = 3
COMPARED = ("export", "quantize")
AFTER = ("quantize", "verify")
LANGUAGE = Architecture(
    name=f"{NAME}-smallest-tower", write=partial(write_fastvlm, text=QWEN2_05B, tower=SMALLEST_TOWER)
)

Taken = Mapping[str, Finished]
"""What each step took, by its name."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One case: its contestants, each of which does it in a folder that is not there yet."""

    case: str
    contestants: Mapping[str, Callable[[Path], Taken]]


def _run(setting: Setting) -> Outcome:
    measures, goals = list[Measure](), list[Goal]()
    for work in _works(setting):
        rounds: dict[str, list[Taken]] = {name: [] for name in work.contestants}
        for turn in range(ROUNDS):
            for name, make in work.contestants.items():
                setting.report(f"{work.case}: {name}, run {turn + 1} of {ROUNDS}")
                rounds[name].append(_anew(setting.work / "build", make))
        measures += _measures(work.case, rounds)
        goals += _absolute(rounds[OURS]) if work.case == NAME else _against(work.case, rounds)
    versions = installed(optimum_onnx.PEER, setting.work) if setting.wants(PEER) else ""
    return Outcome(
        measures=tuple(measures),
        goals=tuple(goals),
        notes=(
            "Memory is the most that a process held, files that it mapped included. Ratios are those of one round, and "
            "of them the median.",
            *([f"{PEER} ran with {versions}."] if versions else []),
        ),
    )


def _works(setting: Setting) -> Iterator[Work]:
    whole = make_checkpoint(ARCHITECTURES[NAME], setting.work, setting.report)
    clip = make_checkpoint(CLIP, setting.work, setting.report)
    captioner = make_checkpoint(LANGUAGE, setting.work, setting.report)

    def ours(checkpoint: Path, components: Sequence[str]) -> Callable[[Path], Taken]:
        return lambda folder: run_steps(
            checkpoint, folder / "ours", setting.report, components=components, dtypes=("q4",), verify=False
        )

    def theirs(checkpoint: Path, steps: Mapping[str, str]) -> Callable[[Path], Taken]:
        return lambda folder: optimum_onnx.run_steps(checkpoint, folder, steps, setting.work, setting.report)

    language = {OURS: ours(captioner, ())}
    towers = {OURS: ours(clip, CLIP.components)}
    if setting.wants(PEER):
        qwen2 = optimum_onnx.make_decoder_checkpoint(QWEN2_05B, "Qwen2-0.5B", setting.work, setting.report)
        language[PEER] = theirs(qwen2, optimum_onnx.DECODER_STEPS)
        towers[PEER] = theirs(clip, optimum_onnx.CLIP_STEPS)
    yield Work(case=f"{NAME}'s language model to q4", contestants=language)
    yield Work(case=f"{CLIP.name} to q4", contestants=towers)
    yield Work(case=NAME, contestants={OURS: lambda folder: run_steps(whole, folder / "ours", setting.report)})


def _anew(folder: Path, make: Callable[[Path], Taken]) -> Taken:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        return make(folder)
    finally:
        shutil.rmtree(folder)


def _seconds(taken: Taken, steps: Sequence[str]) -> float:
    return sum(taken[step].seconds for step in steps)


def _gigabytes(taken: Taken, steps: Sequence[str]) -> float:
    return max(taken[step].peak_bytes for step in steps) / 1e9


def _absolute(rounds: Sequence[Taken]) -> Iterator[Goal]:
    seconds = statistics.median(_seconds(taken, AFTER) for taken in rounds)
    peak = statistics.median(_gigabytes(taken, AFTER) for taken in rounds)
    yield Goal(text=f"quantize and verify of {NAME}", limit=MOST_SECONDS, value=seconds, unit="s")
    yield Goal(text="their memory", limit=MOST_GIGABYTES, value=peak, unit="GB")


def _against(case: str, rounds: Mapping[str, Sequence[Taken]]) -> Iterator[Goal]:
    if PEER not in rounds:
        return
    pairs = list(zip(rounds[OURS], rounds[PEER], strict=True))
    for what, limit, value in (("memory", 0.5, _gigabytes), ("seconds", 1.0, _seconds)):
        ratio = statistics.median(value(ours, COMPARED) / value(theirs, COMPARED) for ours, theirs in pairs)
        yield Goal(text=f"{case}: {what} relative to the peer's", limit=limit, value=ratio, unit="×")


def _measures(case: str, rounds: Mapping[str, Sequence[Taken]]) -> Iterator[Measure]:
    steps = list(next(iter(rounds.values()))[0])
    for what, unit, value in (("seconds", "s", _seconds), ("memory", "GB", _gigabytes)):
        for step in steps:
            for name, taken in rounds.items():
                values = tuple(round(value(one, (step,)), 3) for one in taken)
                yield Measure(case=f"{case}, {step}: {what}", contestant=name, unit=unit, values=values)


BENCH = Bench(name="build", summary="seconds and memory of export, quantize and verify", run=_run, peers=(PEER,))
