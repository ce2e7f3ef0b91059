"""report.html: what was measured of a web model, in plots and tables, in one file that needs nothing else.

Start with `write_report`. All numbers come from the manifest and measurements.json; the text lives in report.html, the
drawing and the style in builder/reports/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from builder.console import megabytes
from builder.errors import VerifyError
from builder.evaluation import lost_points
from builder.manifest import TIERS, Budget, Manifest, Variant
from builder.measurements import Candidate, Measurements
from builder.reports import render, write_whole
from builder.reports.plots import Bar, Line, Point, bars, legend, lines, ranges, scatter

FILE_NAME = "report.html"
FOLDER = Path(__file__).parent
HALF_LIMIT = 65504.0
RANGES_SHOWN = 16
TIER_NAMES = {"webgpu-f16": "WebGPU with f16", "webgpu": "WebGPU", "wasm": "WASM"}
PARTS = ("part-1", "part-2", "part-3", "part-4")


@dataclass(frozen=True, kw_only=True)
class Section:
    """Of one component: its plots, and the rows of the tables behind them."""

    component: str
    scatter: Markup
    candidates: tuple[tuple[str, str, str, str, str, bool], ...]
    layers: Markup
    layer_rows: tuple[tuple[str, ...], ...]
    layer_dtypes: tuple[str, ...]
    ranges: Markup
    range_rows: tuple[tuple[str, str, str], ...]
    range_text: str
    kept_rows: tuple[tuple[str, str, str, str], ...]
    notes: tuple[str, ...]


def write_report(
    model_dir: Path,
    manifest: Manifest,
    measurements: Measurements,
    *,
    unreadable: Sequence[str] = (),
) -> Path:
    """Write ``report.html`` into the folder; ``unreadable`` is what could not be looked at.

    Raises:
        VerifyError: the folder cannot be written.
    """
    path = model_dir / FILE_NAME
    text = render_report(manifest, measurements, unreadable=unreadable)
    write_whole(path, text, error=VerifyError)
    return path


def render_report(manifest: Manifest, measurements: Measurements, *, unreadable: Sequence[str] = ()) -> str:
    """Return the report's HTML; the same numbers give the same text."""
    assert manifest.budget is not None
    return render(
        FOLDER / FILE_NAME,
        manifest=manifest,
        budget=manifest.budget,
        commands=measurements.commands,
        pictures=measurements.pictures,
        unreadable=unreadable,
        tier_names=TIER_NAMES,
        tiers=[tier for tier in TIERS if tier in manifest.tiers],
        plain_bytes=_plain_bytes(manifest),
        downloads=_downloads(manifest),
        download_legend=_download_legend(manifest),
        scores=_scores(manifest),
        sections=[_section(name, manifest, measurements, manifest.budget.of(name)) for name in manifest.components],
        files=[_file(name, dtype, v, manifest) for name, vs in manifest.components.items() for dtype, v in vs.items()],
    )


def _plain_bytes(manifest: Manifest) -> int:
    graphs = sum(variants["fp32"].total_bytes for variants in manifest.components.values())
    return graphs + sum(entry.size_bytes for entry in manifest.files)


def _downloads(manifest: Manifest) -> Markup:
    """First download of every tier by component, beside fp32's."""
    maps = {"fp32": dict.fromkeys(manifest.components, "fp32")}
    maps |= {TIER_NAMES[tier]: dict(manifest.tiers[tier]) for tier in TIERS if tier in manifest.tiers}
    settings = sum(entry.size_bytes for entry in manifest.files)
    rows = []
    for name, dtypes in maps.items():
        parts = []
        for kind, (component, dtype) in zip(PARTS, dtypes.items(), strict=False):
            size = manifest.components[component][dtype].total_bytes
            parts.append((kind, float(size), f"{component} in {dtype}: {megabytes(size)}"))
        parts.append((PARTS[-1], float(settings), f"tokenizer and settings: {megabytes(settings)}"))
        total = sum(int(size) for _, size, _ in parts)
        share = f" · {total / _plain_bytes(manifest):.0%} of fp32" if name != "fp32" else ""
        rows.append(Bar(name=name, parts=tuple(parts), text=f"{megabytes(total)}{share}"))
    told = "; ".join(f"{row.name}: {row.text}" for row in rows)
    return bars(rows, title="First download by device tier", description=told, label_width=128)


def _download_legend(manifest: Manifest) -> Markup:
    return legend([*zip(PARTS, manifest.components, strict=False), (PARTS[-1], "tokenizer and settings")])


def _scores(manifest: Manifest) -> list[tuple[str, str, list[tuple[str, bool]]]]:
    """Rows of the table of task scores: name, fp32's, and each tier's with whether it lost too much."""
    names = list(dict.fromkeys(name for quality in manifest.quality.values() for name in quality.scores))
    rows = []
    for name in names:
        cells = []
        for tier in TIERS:
            quality = manifest.quality.get(tier)
            if quality is not None:
                cells.append((_share(name, quality.scores.get(name)), name in lost_points(quality)))
        plain = next((q.fp32[name] for q in manifest.quality.values() if name in q.fp32), None)
        rows.append((name.replace("_", " ").replace("recall at 1", "recall@1"), _share(name, plain), cells))
    return rows


def _share(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if name.endswith("cosine") or name == "ranking" else f"{100 * value:.1f} %"


def _section(name: str, manifest: Manifest, measurements: Measurements, budget: Budget) -> Section:
    candidates = measurements.candidates.get(name, ())
    layers = measurements.layers.get(name, {})
    found = sorted(measurements.ranges.get(name, ()), key=lambda r: -r.greatest)
    shown = found[:RANGES_SHOWN]
    order = list(dict.fromkeys(layer.name for values in layers.values() for layer in values))
    by_name = {dtype: {layer.name: layer.relative for layer in values} for dtype, values in layers.items()}
    kept = measurements.kept.get(name, ())
    return Section(
        component=name,
        scatter=_scatter(name, candidates, budget),
        candidates=tuple(_candidate(c) for c in sorted(candidates, key=lambda c: (c.dtype, c.size_bytes))),
        layers=_lines(name, order, by_name),
        layer_rows=tuple((layer, *(_error(by_name[d].get(layer)) for d in by_name)) for layer in order),
        layer_dtypes=tuple(by_name),
        ranges=ranges(
            [(r.name, r.greatest, r.kept_fp32) for r in shown],
            limit=HALF_LIMIT,
            title=f"Greatest values inside {name}",
            description="; ".join(f"{r.name}: {r.greatest:.3g}" for r in shown),
        )
        if shown
        else Markup(""),
        range_rows=tuple((r.name, f"{r.greatest:,.4g}", "float32" if r.kept_fp32 else "float16") for r in shown),
        range_text=f"{len(kept)} {'node' if len(kept) == 1 else 'nodes'}" if kept else "none of them",
        kept_rows=tuple((k.node, k.operator, k.tensor, f"{k.greatest:,.4g}") for k in kept),
        notes=measurements.notes.get(name, ()),
    )


def _scatter(name: str, candidates: Sequence[Candidate], budget: Budget) -> Markup:
    points = [
        Point(
            x=c.size_bytes / 1e6,
            y=c.error.relative,
            kind=c.dtype,
            note=f"{c.recipe}: {megabytes(c.size_bytes)}, error {c.error.relative:.3g}, cosine {c.error.cosine:.5f}",
            label=c.recipe if c.chosen else "",
        )
        for c in candidates
        if c.error is not None
    ]
    if not points:
        return Markup("")
    told = "Chosen: " + "; ".join(p.note for p in points if p.label) if any(p.label for p in points) else "None chosen"
    kinds = list(dict.fromkeys(p.kind for p in points))
    plot = scatter(
        points,
        limit=budget.relative,
        title=f"Size against error of {len(points)} candidates of {name}",
        description=f"{told}. The table below has them all.",
    )
    return legend([(kind, kind) for kind in kinds]) + plot


def _candidate(c: Candidate) -> tuple[str, str, str, str, str, bool]:
    if c.error is None:
        return (c.dtype, c.recipe, megabytes(c.size_bytes), c.why or "does not run", "", False)
    return (c.dtype, c.recipe, megabytes(c.size_bytes), _error(c.error.relative), f"{c.error.cosine:.5f}", c.chosen)


def _lines(name: str, order: Sequence[str], by_name: dict[str, dict[str, float]]) -> Markup:
    series = [
        Line(
            kind=dtype,
            name=dtype,
            values=tuple(values.get(layer) for layer in order),
            notes=tuple(f"{dtype}, {layer}: {_error(values.get(layer))}" for layer in order),
        )
        for dtype, values in by_name.items()
        if values
    ]
    if not series or len(order) < 2:
        return Markup("")
    told = "; ".join(
        f"{line.name}: from {_error(real[0])} to {_error(real[-1])}, at most {_error(max(real))}"
        for line in series
        if (real := [value for value in line.values if value is not None])
    )
    plot = lines(series, title=f"Error after each of {len(order)} layers of {name}", description=told)
    return legend([(line.kind, line.kind) for line in series]) + plot


def _file(component: str, dtype: str, variant: Variant, manifest: Manifest) -> dict[str, str]:
    tiers = [TIER_NAMES[tier] for tier, dtypes in manifest.tiers.items() if dtypes.get(component) == dtype]
    error = variant.error
    return {
        "component": component,
        "dtype": dtype,
        "recipe": variant.recipe or ("as exported" if dtype == "fp32" else "made elsewhere"),
        "size": megabytes(variant.total_bytes),
        "relative": _error(error.relative) if error else "–",
        "cosine": f"{error.cosine:.5f}" if error else "–",
        "largest": megabytes(variant.largest_tensor_bytes or 0),
        "tiers": ", ".join(tiers) or variant.fault or variant.not_on_webgpu or "not shipped",
    }


def _error(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
