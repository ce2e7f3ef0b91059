"""manifest.json survives a round trip, and what is wrong with one is said in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.embedded import model_dir
from builder.errors import ModelError
from builder.manifest import TIERS, file_entry, read_manifest, write_manifest

MakeModel = Callable[..., Path]
EditManifest = Callable[[Path, Callable[[dict[str, object]], None]], None]


def test_tier_bytes_of_a_dual_encoder_count_its_towers_once() -> None:
    shipped = read_manifest(model_dir("scenes-clip"))
    both = {"model": shipped.components["vision_model"], **shipped.components}
    manifest = replace(shipped, components=both, tiers={"wasm": dict.fromkeys(both, "fp32")})
    towers = sum(manifest.components[name]["fp32"].total_bytes for name in ("text_model", "vision_model"))
    settings = sum(entry.size_bytes for entry in manifest.files if entry.path.endswith(".json"))
    assert manifest.tier_bytes("wasm") == towers + settings


def test_manifest_is_the_same_after_a_round_trip(make_model: MakeModel) -> None:
    folder = make_model()
    manifest = read_manifest(folder)
    before = (folder / "manifest.json").read_bytes()
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest
    assert (folder / "manifest.json").read_bytes() == before
    assert not list(folder.glob(".*"))


def test_tier_bytes_count_one_dtype_per_component_and_the_settings(make_model: MakeModel) -> None:
    folder = make_model()
    manifest = read_manifest(folder)
    (folder / "README.md").write_text("# for readers", encoding="utf-8")
    manifest = replace(manifest, files=(*manifest.files, file_entry(folder, "README.md")))
    fetched = ("onnx/vision_encoder_q4.onnx", "config.json", "preprocessor_config.json")
    assert manifest.tier_bytes("webgpu") == sum((folder / name).stat().st_size for name in fetched)
    assert manifest.tier_dtypes() == {"vision_encoder": {"q4", "q8"}}


def test_newer_format_is_refused_with_what_to_do(make_model: MakeModel, edit_manifest: EditManifest) -> None:
    folder = make_model()
    edit_manifest(folder, lambda raw: raw.update(format=9))
    with pytest.raises(ModelError, match="format 9"):
        read_manifest(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}', '{"format": 1, "name": 3}', "[" * 100_000])
def test_unreadable_manifest_is_named(text: str, make_model: MakeModel) -> None:
    folder = make_model()
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"manifest\.json"):
        read_manifest(folder)


def test_field_of_a_wrong_type_is_refused(make_model: MakeModel, edit_manifest: EditManifest) -> None:
    folder = make_model()
    edit_manifest(folder, lambda raw: raw.update(task=["a", "list"]))
    with pytest.raises(ModelError, match="is no str"):
        read_manifest(folder)


def test_manifest_that_the_system_cannot_read_is_named(make_model: MakeModel) -> None:
    folder = make_model()
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to("/proc/self/mem")  # root may read every file, but nothing lies at address 0
    with pytest.raises(ModelError, match=r"manifest\.json cannot be read: input/output error"):
        read_manifest(folder)


@pytest.mark.parametrize(("component", "dtype"), [("audio_encoder", "q4"), ("vision_encoder", "q4f16")])
def test_tier_that_names_what_is_not_described_is_refused(
    component: str, dtype: str, make_model: MakeModel, edit_manifest: EditManifest
) -> None:
    folder = make_model()
    edit_manifest(folder, lambda raw: raw.update(tiers={"webgpu": {component: dtype}}))
    with pytest.raises(ModelError, match=rf"{component} {dtype} \(webgpu\)"):
        read_manifest(folder)


def test_listed_file_that_is_a_link_or_lies_behind_one_is_refused(make_model: MakeModel, tmp_path: Path) -> None:
    folder = make_model()
    (folder / "config.json").rename(tmp_path / "secret.txt")
    (folder / "config.json").symlink_to("../secret.txt")
    (folder / "onnx").rename(tmp_path / "graphs")
    (folder / "onnx").symlink_to(tmp_path / "graphs")
    with pytest.raises(ModelError, match="outside itself") as caught:
        read_manifest(folder)
    assert "config.json is a link" in caught.value.message
    assert "onnx/vision_encoder.onnx lies behind the link onnx" in caught.value.message


def test_unknown_fields_are_ignored_so_that_newer_minor_versions_can_be_read(
    make_model: MakeModel, edit_manifest: EditManifest
) -> None:
    folder = make_model()
    edit_manifest(folder, lambda raw: raw.update(later={"x": 1}))
    assert read_manifest(folder).name == "tiny-vlm"


def test_shipped_models_name_a_dtype_for_every_tier() -> None:
    from builder.embedded import NAMES, model_dir

    for name in NAMES:
        tiers = read_manifest(model_dir(name)).tiers
        assert set(tiers) == set(TIERS)
        json.dumps(tiers)
