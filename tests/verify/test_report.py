"""report.html stands alone, shows the numbers that were measured, and can be read without seeing its plots."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from builder.console import megabytes
from builder.embedded import NAMES, model_dir
from builder.manifest import read_manifest
from builder.measurements import KeptNode, Measurements, read_measurements
from builder.reports.plots import _decades
from builder.tiers import BUDGETS
from builder.verify import verify
from builder.verify.report import render_report

SVG = "{http://www.w3.org/2000/svg}"


class Outline(HTMLParser):
    """What a report refers to, and its tables."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.headers_without_scope = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.addresses += [str(found[name]) for name in ("src", "href", "action") if found.get(name)]
        self.headers_without_scope += tag == "th" and "scope" not in found


def read(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, quantized_models: dict[str, Path]) -> Path:
    return quantized_models[str(request.param)]


def test_report_refers_to_nothing_and_runs_nothing(folder: Path) -> None:
    outline = Outline()
    outline.feed(read(folder))
    assert outline.addresses == []
    assert not {"script", "link", "img", "iframe"} & set(outline.tags)
    assert outline.headers_without_scope == 0
    assert "url(" not in read(folder)


def test_report_shows_sizes_errors_recipes_and_scores_of_the_manifest(folder: Path) -> None:
    text, manifest = read(folder), read_manifest(folder)
    for tier in manifest.tiers:
        assert megabytes(manifest.tier_bytes(tier)) in text
    for variants in manifest.components.values():
        for variant in variants.values():
            assert megabytes(variant.total_bytes) in text
            assert variant.error is not None
            assert f"{variant.error.cosine:.5f}" in text
            assert variant.recipe is None or variant.recipe in text
    for quality in manifest.quality.values():
        for name, score in quality.scores.items():
            shown = f"{score:.4f}" if name.endswith("cosine") or name == "ranking" else f"{100 * score:.1f} %"
            assert shown in text


def test_every_plot_is_well_formed_and_has_a_text_in_its_place(folder: Path) -> None:
    text, measurements = read(folder), read_measurements(folder)
    plots = [plot for plot in re.findall(r"<svg .*?</svg>", text, re.DOTALL) if 'role="img"' in plot]
    components = read_manifest(folder).components
    assert len(plots) >= 1 + 2 * len(components)
    for plot in plots:
        root = ElementTree.fromstring(plot.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
        names = str(root.get("aria-labelledby")).split()
        texts = {str(e.get("id")): e.text for e in root.iter() if e.tag in (f"{SVG}title", f"{SVG}desc")}
        assert all(texts[name] for name in names)
        assert not re.search(r"nan|inf\b", plot)
    marks = sum(plot.count('class="mark ') for plot in plots)
    assert marks == sum(c.error is not None for found in measurements.candidates.values() for c in found)
    chosen = sum(len(re.findall(r'class="mark \w+ chosen"', plot)) for plot in plots)
    assert chosen == sum(c.chosen for found in measurements.candidates.values() for c in found)


def test_ids_are_unique(folder: Path) -> None:
    ids = re.findall(r' id="([^"]+)"', read(folder))
    assert len(ids) == len(set(ids)) > 0


def test_model_without_smaller_dtypes_gets_a_report_too(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "another"))
    manifest = verify(folder)
    assert {dtype for dtypes in manifest.tiers.values() for dtype in dtypes.values()} == {"fp32"}
    assert "No candidates were measured" in read(folder)


def test_report_of_a_model_with_markup_in_its_name_shows_the_name(tmp_path: Path, edit_manifest: object) -> None:
    folder = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "another"))
    assert callable(edit_manifest)
    edit_manifest(folder, lambda raw: raw.update(name="<script>alert(1)</script>"))
    verify(folder)
    assert "<h1>&lt;script&gt;" in read(folder)
    assert "<script>" not in read(folder)


@pytest.mark.parametrize(("least", "most"), [(1e-30, 1e-20), (3.0, 3.0), (1.0, 1e25), (0.0, 0.0), (2.0, float("inf"))])
def test_scale_of_a_plot_holds_values_of_any_size(least: float, most: float) -> None:
    low, high = _decades([least, most])
    assert 0 < low < high < float("inf")
    for value in (least, most):
        assert value in (0.0, float("inf")) or low <= value <= high


def test_every_node_that_stays_float32_is_listed_with_what_it_reached() -> None:
    manifest = replace(read_manifest(model_dir("scenes-clip")), budget=BUDGETS["balanced"])
    kept = tuple(
        KeptNode(node=f"block.{at}.pow", operator="Pow", tensor=f"square_{at}", greatest=1e5 + at) for at in range(40)
    )
    text = render_report(manifest, Measurements(kept={"text_model": kept}, commands=("webgpu-demo verify here",)))
    for found in kept:
        assert f"<code>{found.node}</code>" in text
        assert f"<code>{found.tensor}</code>" in text
    assert "Nodes of text_model that float16 variants compute in float32" in text
    assert "Nodes of vision_model" not in text
    assert "webgpu-demo verify here" in text
