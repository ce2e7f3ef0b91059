"""bench build: seconds and peak memory of export, quantize and verify at the size of FastVLM-0.5B.

Ours are of the whole model, tower and decoder; the peer can export the decoder alone, and verifies nothing. Every step
is a process of its own. What an earlier run made and nothing has changed since is not made again: its numbers are those
of that run, on the same machine.
"""

from __future__ import annotations

from builder.bench._checkpoints import ARCHITECTURES, QWEN2_05B
from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._pipeline import make_plain, make_quantized
from builder.bench.peers import optimum_onnx

NAME = "FastVLM-0.5B"
MOST_SECONDS, MOST_GIGABYTES = 240.0, 8.0


def _run(setting: Setting) -> Outcome:
    plain = make_plain(ARCHITECTURES[NAME], setting.work, setting.report)
    made = make_quantized(plain, "balanced", setting.report)
    seconds = {step.name: step.seconds for step in made.steps}
    peaks = {step.name: step.peak_bytes / 1e9 for step in made.steps}
    measures = _measures(f"{OURS}, whole model", seconds, peaks)
    after = ("quantize", "verify")
    goals = [
        Goal(text=f"quantize and verify of {NAME}", limit=MOST_SECONDS, value=sum(seconds[s] for s in after), unit="s"),
        Goal(text="their memory", limit=MOST_GIGABYTES, value=max(peaks[s] for s in after), unit="GB"),
    ]
    if setting.wants(optimum_onnx.PEER.name):
        peer = optimum_onnx.make_decoder(QWEN2_05B, "Qwen2-0.5B", setting.work, setting.report)
        steps = ("export", "quantize")
        theirs = {step: peer.seconds[step] for step in steps}
        their_peaks = {step: peer.peak_bytes[step] / 1e9 for step in steps}
        measures += _measures(f"{optimum_onnx.PEER.name}, text decoder", theirs, their_peaks)
        ratio = max(peaks.values()) / max(their_peaks.values())
        goals.append(Goal(text="memory relative to the peer's", limit=0.5, value=ratio, unit="×"))
        ratio = sum(seconds[step] for step in steps) / sum(theirs.values())
        goals.append(Goal(text="seconds of export and quantize relative to the peer's", limit=1, value=ratio, unit="×"))
    return Outcome(
        measures=tuple(measures),
        goals=tuple(goals),
        notes=(
            "The peer exports the text decoder alone, without tower and projector, and neither measures candidates "
            "nor verifies: the whole model is more work.",
        ),
    )


def _measures(contestant: str, seconds: dict[str, float], peaks: dict[str, float]) -> list[Measure]:
    found = [("seconds", "s", seconds), ("memory", "GB", peaks)]
    return [
        Measure(case=f"{step}: {what}", contestant=contestant, unit=unit, values=(value,))
        for what, unit, values in found
        for step, value in values.items()
    ]


BENCH = Bench(
    name="build", summary="seconds and memory of export, quantize and verify", run=_run, peers=(optimum_onnx.PEER.name,)
)
