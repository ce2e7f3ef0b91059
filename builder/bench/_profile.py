"""profile: where the time of a component goes, by operator, and which operators fell to the CPU.

onnxruntime's own profiler runs the graph; a decoder runs a prompt and a token, as a conversation does. On a GPU every
operator that is left to the CPU costs a copy there and back, so these are listed apart. Start with `profile`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.bench._contract import Report
from builder.bench._decoders import Load, feeds
from builder.errors import BenchError, did_you_mean
from builder.manifest import Manifest, Variant, read_manifest

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}
LEAST_TIMES, MOST_TIMES, LEAST_MS = 5, 100, 300.0
"""Runs of a load: short ones are repeated until they have taken ``LEAST_MS`` together, or single runs would decide."""
PAST = 280


@dataclass(frozen=True, kw_only=True)
class Operator:
    """All nodes of one kind on one provider: how many ran in a run, and milliseconds of it, the median of the runs.

    ``low`` and ``high`` are the smallest and the largest of them.
    """

    name: str
    provider: str
    nodes: int
    milliseconds: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One component under one load. ``milliseconds`` are the median of the sums of all operators of ``runs`` runs."""

    component: str
    dtype: str
    load: str
    provider: str
    runs: int
    milliseconds: float
    operators: tuple[Operator, ...]

    @property
    def elsewhere(self) -> tuple[Operator, ...]:
        """What a provider other than the CPU left to the CPU."""
        cpu = PROVIDERS["cpu"]
        return tuple(o for o in self.operators if self.provider != "cpu" and o.provider == cpu)


def profile(
    model_dir: Path,
    *,
    component: str | None = None,
    dtype: str | None = None,
    provider: str = "cpu",
    report: Report | None = None,
) -> list[Profile]:
    """Profile a web model's components, all of them by default, in the dtype that their device tier ships.

    Args:
        dtype: another one; of a model without tiers fp32.
        provider: cpu, webgpu, cuda, coreml or directml; others than cpu need the build of onnxruntime that has them.

    Raises:
        BenchError: there is no such component, dtype or provider, or the graph does not run on it.
        ModelError: the folder is no web model.
    """
    import onnxruntime as ort

    manifest = read_manifest(model_dir)
    wanted = PROVIDERS.get(provider)
    if wanted is None:
        raise BenchError(f"there is no provider {provider!r}", hint=did_you_mean(provider, PROVIDERS))
    if wanted not in ort.get_available_providers():
        packages = {"webgpu": "onnxruntime-webgpu", "cuda": "onnxruntime-gpu", "directml": "onnxruntime-directml"}
        raise BenchError(
            f"this onnxruntime has no provider for {provider}",
            hint=f"pip install {packages.get(provider, 'another build of onnxruntime')}, in an environment of its own",
        )
    if component is not None and component not in manifest.components:
        raise BenchError(
            f"{manifest.name} has no component {component!r}", hint=did_you_mean(component, manifest.components)
        )
    profiles = []
    for name in [component] if component is not None else manifest.components:
        chosen, variant = _variant(manifest, name, dtype, provider)
        for load in _loads(manifest, name):
            if report is not None:
                report(f"{name} {chosen}: {load.label}")
            profiles.append(_profile(model_dir / variant.path, manifest, name, chosen, load, provider))
    return profiles


def _variant(manifest: Manifest, component: str, dtype: str | None, provider: str) -> tuple[str, Variant]:
    tier = "wasm" if provider == "cpu" else "webgpu"
    chosen = dtype or manifest.tiers.get(tier, {}).get(component, "fp32")
    variants = manifest.components[component]
    if chosen not in variants:
        raise BenchError(f"{component} has no dtype {chosen!r}", hint=did_you_mean(chosen, variants))
    return chosen, variants[chosen]


def _loads(manifest: Manifest, component: str) -> Sequence[Load]:
    if component.startswith("decoder"):
        past = min(PAST, manifest.context.text_tokens // 2)
        prompt = Load(label=f"prompt of {past}", new=past, past=0, times=1)
        return prompt, Load(label=f"one token after {past}", new=1, past=past, times=1)
    if component == "embed_tokens":
        return (Load(label="one token", new=1, past=0, times=1),)
    return (Load(label="one picture" if "vision" in component else "one input", new=0, past=0, times=1),)


def _profile(path: Path, manifest: Manifest, component: str, dtype: str, load: Load, provider: str) -> Profile:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_profiling = True
    providers = [PROVIDERS[provider]] + ["CPUExecutionProvider"] * (provider != "cpu")
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        try:
            session = ort.InferenceSession(str(path), options, providers=providers)
            given = feeds(session, load, manifest)
            started = time.perf_counter()
            for turn in range(MOST_TIMES + 1):
                session.run(None, given)
                if turn == 0:  # it warms up
                    started = time.perf_counter()
                elif turn >= LEAST_TIMES and 1e3 * (time.perf_counter() - started) >= LEAST_MS:
                    break
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            raise BenchError(f"{path.name} does not run on {provider}: {error}") from error
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return summarise(events, component=component, dtype=dtype, load=load.label, provider=provider)


def summarise(events: Sequence[Mapping[str, Any]], *, component: str, dtype: str, load: str, provider: str) -> Profile:
    """A profile out of the events of onnxruntime's profiler, without those of the first run, which warms up."""
    starts = sorted(e["ts"] for e in events if e.get("name") == "model_run")[1:]
    taken: dict[tuple[str, str], list[list[float]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and event["ts"] >= starts[0]:
            key = (event["args"]["op_name"], event["args"]["provider"])
            by_run = taken.setdefault(key, [[] for _ in starts])
            by_run[bisect_right(starts, event["ts"]) - 1].append(event["dur"] / 1e3)  # in microseconds
    operators = [_operator(*key, by_run) for key, by_run in taken.items()]
    whole = [sum(sum(by_run[run]) for by_run in taken.values()) for run in range(len(starts))]
    return Profile(
        component=component,
        dtype=dtype,
        load=load,
        provider=provider,
        runs=len(starts),
        milliseconds=statistics.median(whole),
        operators=tuple(sorted(operators, key=lambda operator: -operator.milliseconds)),
    )


def _operator(name: str, provider: str, by_run: Sequence[Sequence[float]]) -> Operator:
    sums = [sum(run) for run in by_run]
    return Operator(
        name=name,
        provider=provider,
        nodes=round(statistics.median(len(run) for run in by_run)),
        milliseconds=statistics.median(sums),
        low=min(sums),
        high=max(sums),
    )
