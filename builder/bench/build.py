"""bench build: seconds and peak memory of export, quantize and verify, at the size of FastVLM-0.5B and of CLIP.

Of FastVLM ours are of the whole model, tower and decoder; the peer can export the decoder alone. It verifies nothing.
Every step is a process of its own. What an earlier run made and nothing has changed since is not made again: its
numbers are those of that run, on the same machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from builder.bench._checkpoints import ARCHITECTURES, QWEN2_05B
from builder.bench._clip_checkpoint import CLIP
from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._pipeline import Made, make_plain, make_quantized
from builder.bench.peers import optimum_onnx

NAME = "FastVLM-0.5B"
MOST_SECONDS, MOST_GIGABYTES = 240.0, 8.0
PEER = optimum_onnx.PEER.name


def _run(setting: Setting) -> Outcome:
    measures, goals = list[Measure](), list[Goal]()
    plain = make_plain(ARCHITECTURES[NAME], setting.work, setting.report)
    made = make_quantized(plain, "balanced", setting.report)
    seconds, peaks = _of_steps(made)
    measures += _measures(NAME, f"{OURS}, whole model", seconds, peaks)
    after = ("quantize", "verify")
    goals += [
        Goal(text=f"quantize and verify of {NAME}", limit=MOST_SECONDS, value=sum(seconds[s] for s in after), unit="s"),
        Goal(text="their memory", limit=MOST_GIGABYTES, value=max(peaks[s] for s in after), unit="GB"),
    ]
    if setting.wants(PEER):
        decoder = optimum_onnx.make_decoder(QWEN2_05B, "Qwen2-0.5B", setting.work, setting.report)
        theirs = _of_peer(decoder)
        measures += _measures(NAME, f"{PEER}, text decoder", *theirs)
        goals += _against(NAME, (seconds, peaks), theirs)
    clip = make_plain(CLIP, setting.work, setting.report)
    ours = _of_steps(make_quantized(clip, "balanced", setting.report))
    measures += _measures(CLIP.name, f"{OURS}, both towers", *ours)
    if setting.wants(PEER):
        assert clip.checkpoint is not None
        theirs = _of_peer(optimum_onnx.make_clip(clip.checkpoint, CLIP.name, setting.work, setting.report))
        measures += _measures(CLIP.name, f"{PEER}, both in one", *theirs)
        goals += _against(CLIP.name, ours, theirs)
    return Outcome(
        measures=tuple(measures),
        goals=tuple(goals),
        notes=(
            f"Of {NAME} the peer exports the text decoder alone, without tower and projector. It neither measures "
            "candidates nor verifies. Memory is the most that a process held, files that it mapped included.",
        ),
    )


Taken = tuple[dict[str, float], dict[str, float]]
"""Seconds and gigabytes of each step."""


def _of_steps(made: Made) -> Taken:
    return {step.name: step.seconds for step in made.steps}, {step.name: step.peak_bytes / 1e9 for step in made.steps}


def _of_peer(made: optimum_onnx.OptimumModel) -> Taken:
    steps = ("export", "quantize")
    return {step: made.seconds[step] for step in steps}, {step: made.peak_bytes[step] / 1e9 for step in steps}


def _against(name: str, ours: Taken, theirs: Taken) -> Iterator[Goal]:
    ratio = max(ours[1].values()) / max(theirs[1].values())
    yield Goal(text=f"{name}: memory relative to the peer's", limit=0.5, value=ratio, unit="×")
    ratio = sum(ours[0][step] for step in theirs[0]) / sum(theirs[0].values())
    yield Goal(text=f"{name}: seconds of export and quantize relative to the peer's", limit=1, value=ratio, unit="×")


def _measures(name: str, contestant: str, seconds: dict[str, float], peaks: dict[str, float]) -> list[Measure]:
    found = [("seconds", "s", seconds), ("memory", "GB", peaks)]
    return [
        Measure(case=f"{name}, {step}: {what}", contestant=contestant, unit=unit, values=(value,))
        for what, unit, values in found
        for step, value in values.items()
    ]


BENCH = Bench(name="build", summary="seconds and memory of export, quantize and verify", run=_run, peers=(PEER,))
