"""What is published is quantized and verified first, whatever state it was named in."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from builder.embedded import model_dir
from builder.manifest import read_manifest, write_manifest
from builder.publishing.prepare import prepare
from builder.quantize import quantize


def exported(tmp_path: Path) -> Path:
    """A model as export leaves it, of another name, so that nothing is held out for it."""
    folder = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "another"))
    write_manifest(folder, replace(read_manifest(folder), name="another"))
    return folder


def test_exported_model_is_quantized_and_verified_before_it_is_published_and_only_once(tmp_path: Path) -> None:
    """export leaves a map of fp32 for every tier: publishing that would ship the largest files there are."""
    folder, said = exported(tmp_path), list[str]()
    manifest = prepare("photo-search", str(folder), said.append).manifest
    assert "fp32" not in {dtype for dtypes in manifest.tiers.values() for dtype in dtypes.values()}
    assert manifest.budget is not None
    assert all(v.error is not None for variants in manifest.components.values() for v in variants.values())
    assert any(line.startswith("quantizing another") for line in said)
    said.clear()
    assert prepare("photo-search", str(folder), said.append).manifest == manifest
    assert said == []


def test_quantized_model_is_verified_before_it_is_published(tmp_path: Path) -> None:
    folder, said = exported(tmp_path), list[str]()
    quantize(folder, dtypes=["q4"], every=False)
    manifest = prepare("photo-search", str(folder), said.append).manifest
    assert {dtype for dtypes in manifest.tiers.values() for dtype in dtypes.values()} == {"q4"}
    assert all(v.error is not None for variants in manifest.components.values() for v in variants.values())
    assert not any(line.startswith("quantizing") for line in said)
