"""profile: where the time of a component goes, by operator, and which operators fell to the CPU.

onnxruntime's own profiler runs the graph; a decoder runs a prompt and a token, as a conversation does. On a GPU every
operator that is left to the CPU costs a copy there and back, so these are listed apart. Start with `profile`.
"""

from __future__ import annotations

import json
import tempfile
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
TIMES = 5
PAST = 280


@dataclass(frozen=True, kw_only=True)
class Operator:
    """All nodes of one kind on one provider: milliseconds of one run, and how many ran in it."""

    name: str
    provider: str
    nodes: int
    milliseconds: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One component under one load. ``elsewhere`` are operators that the provider left to the CPU."""

    component: str
    dtype: str
    load: str
    provider: str
    milliseconds: float
    operators: tuple[Operator, ...]
    elsewhere: tuple[str, ...]


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
        prompt = Load(label=f"prompt of {past}", new=past, past=0, times=TIMES)
        return prompt, Load(label=f"one token after {past}", new=1, past=past, times=TIMES)
    if component == "embed_tokens":
        return (Load(label="one token", new=1, past=0, times=TIMES),)
    return (Load(label="one picture" if "vision" in component else "one input", new=0, past=0, times=TIMES),)


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
            for _ in range(load.times + 1):
                session.run(None, given)
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            raise BenchError(f"{path.name} does not run on {provider}: {error}") from error
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    operators = _operators(_later_runs(events), load.times)
    return Profile(
        component=component,
        dtype=dtype,
        load=load.label,
        provider=provider,
        milliseconds=sum(operator.milliseconds for operator in operators),
        operators=operators,
        elsewhere=tuple(o.name for o in operators if provider != "cpu" and o.provider == PROVIDERS["cpu"]),
    )


def _later_runs(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events of nodes after the first run, which warms up."""
    runs = sorted((e for e in events if e.get("name") == "model_run"), key=lambda e: e["ts"])
    begin = runs[1]["ts"]
    return [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time") and e["ts"] >= begin]


def _operators(events: Sequence[Mapping[str, Any]], runs: int) -> tuple[Operator, ...]:
    found: dict[tuple[str, str], list[float]] = {}
    for event in events:
        key = (event["args"]["op_name"], event["args"]["provider"])
        found.setdefault(key, []).append(event["dur"] / 1e3)  # in microseconds
    operators = [
        Operator(name=name, provider=where, nodes=round(len(taken) / runs), milliseconds=sum(taken) / runs)
        for (name, where), taken in found.items()
    ]
    return tuple(sorted(operators, key=lambda operator: -operator.milliseconds))
