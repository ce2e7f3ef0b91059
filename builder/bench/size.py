"""bench size: what a visitor downloads before the first answer, the browser runtime not counted.

FastVLM-0.5B and MobileCLIP2-S0 at full size, with random weights, brought through export, quantize and verify as a user
does it, beside the sizes of the published web models. Random weights are as large as trained ones, and harder to bring
to 4 bits, because their errors have no direction that training would have made harmless.
"""

from __future__ import annotations

from collections.abc import Iterator

from builder.bench._checkpoints import ARCHITECTURES
from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._pipeline import make_plain, make_quantized
from builder.bench.peers.published import FILES
from builder.manifest import Manifest, read_manifest

QUALITIES = ("balanced", "small")
GRAPHS, ALL = "graphs", "first download: graphs, tokenizer and settings"
NAMES = ("FastVLM-0.5B", "MobileCLIP2-S0")
GOALS = {
    ("FastVLM-0.5B", "balanced", "webgpu-f16"): ("FastVLM-0.5B, first download on WebGPU with f16", 430.0),
    ("FastVLM-0.5B", "small", "webgpu-f16"): ("FastVLM-0.5B at --quality small, for phones, likewise", 400.0),
    ("MobileCLIP2-S0", "balanced", "webgpu-f16"): ("MobileCLIP2-S0, both towers on WebGPU with f16", 48.0),
}


def _run(setting: Setting) -> Outcome:
    measures, goals = list[Measure](), list[Goal]()
    for path in setting.models:
        manifest = read_manifest(path)
        measures += _of_model(manifest.name, OURS, manifest)
    for name in () if setting.models else NAMES:
        plain = make_plain(ARCHITECTURES[name], setting.work, setting.report)
        for quality in QUALITIES:
            made = make_quantized(plain, quality, setting.report)
            manifest = read_manifest(made.path)
            found = list(_of_model(name, f"{OURS}, {quality}", manifest))
            measures += found
            goals += list(_goals(name, quality, found))
    cited = [files for files in FILES if setting.wants("published") and not setting.models]
    for files in cited:
        case = f"{files.architecture}: {GRAPHS}"
        measures.append(Measure(case=case, contestant=files.label, unit="MB", values=(files.megabytes,)))
    return Outcome(
        measures=tuple(measures),
        goals=tuple(goals),
        notes=(
            "Graphs are the ONNX files with their data, as the published sizes count them. Goals are for all that a "
            "visitor downloads but the browser runtime: tokenizer and settings too. MB are 10⁶ bytes.",
            *(f"{files.architecture}, {files.label}: {files.source}." for files in cited),
        ),
    )


def _of_model(name: str, contestant: str, manifest: Manifest) -> Iterator[Measure]:
    for tier, dtypes in manifest.tiers.items():
        towers = {"text_model", "vision_model"} <= dtypes.keys()
        sizes = {
            component: manifest.components[component][dtype].total_bytes
            for component, dtype in dtypes.items()
            if not (towers and component == "model")  # it repeats both, and a page loads one or the other
        }
        graphs, whole = sum(sizes.values()), manifest.tier_bytes(tier)
        parts = ", ".join(f"{component} {dtypes[component]} {size / 1e6:.1f}" for component, size in sizes.items())
        for what, value, note in (
            (GRAPHS, graphs, parts),
            (ALL, whole, f"tokenizer and settings {(whole - graphs) / 1e6:.1f}"),
        ):
            case = f"{name}: {what}"
            yield Measure(case=case, contestant=f"{contestant}, {tier}", unit="MB", values=(value / 1e6,), note=note)


def _goals(name: str, quality: str, found: list[Measure]) -> Iterator[Goal]:
    for (architecture, wanted, tier), (text, limit) in GOALS.items():
        if (architecture, wanted) == (name, quality):
            value = next(m.median for m in found if m.case.endswith(ALL) and m.contestant.endswith(f", {tier}"))
            yield Goal(text=text, limit=limit, value=value, unit="MB")


BENCH = Bench(name="size", summary="first download by device tier", run=_run, peers=("published",))
