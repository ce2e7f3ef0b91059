"""verify measures every variant, notices what is broken, and tells each device tier what to take."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from builder.embedded import model_dir
from builder.errors import ModelError, VerifyError
from builder.manifest import file_entry, file_sha256, read_manifest
from builder.quantize import quantize
from builder.tiers import BUDGETS, QUICK
from builder.verify import verify
from builder.webconfig import copy_texts


def test_errors_are_zero_for_fp32_and_small_but_real_for_the_rest(quantized_models: dict[str, Path]) -> None:
    for folder in quantized_models.values():
        for component, variants in read_manifest(folder).components.items():
            for dtype, variant in variants.items():
                assert variant.error is not None
                if dtype == "fp32":
                    assert variant.error.max_abs == 0
                else:
                    assert variant.error.cosine > 0.97, (component, dtype)
                    if (component, dtype) != ("embed_tokens", "fp16"):  # trained weights are float16 already
                        assert variant.error.max_abs > 0, (component, dtype)


def test_checksums_and_sizes_are_those_of_the_files(quantized_models: dict[str, Path]) -> None:
    for folder in quantized_models.values():
        entries = read_manifest(folder).model_files()
        on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert {entry.path for entry in entries} == on_disk - {"manifest.json", "measurements.json", "report.html"}
        for entry in entries:
            assert (folder / entry.path).stat().st_size == entry.size_bytes
            assert file_sha256(folder / entry.path) == entry.sha256


def test_tiers_take_the_smallest_that_the_device_can_run(quantized_models: dict[str, Path]) -> None:
    manifest = read_manifest(quantized_models["scenes-vlm"])
    assert set(manifest.tiers) == {"webgpu-f16", "webgpu", "wasm"}
    assert set(manifest.tiers["webgpu-f16"].values()) <= {"q4f16", "q4"}
    for tier in ("webgpu", "wasm"):
        assert not {"q4f16", "fp16"} & set(manifest.tiers[tier].values()), "needs shader-f16"
    for tier, dtypes in manifest.tiers.items():
        for component, dtype in dtypes.items():
            if (tier, component) in QUICK:
                assert dtype == QUICK[tier, component]
                continue
            able = [v for d, v in manifest.components[component].items() if tier == "webgpu-f16" or "16" not in d]
            keeping = [v.total_bytes for v in able if BUDGETS["balanced"].of(component).keeps(v.error)]
            assert manifest.components[component][dtype].total_bytes == min(keeping)


def test_stricter_quality_moves_tiers_to_larger_variants(quantized_models: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(quantized_models["scenes-clip"], tmp_path / "model"))
    before = read_manifest(folder)
    after = verify(folder, quality="high")
    assert after.budget == BUDGETS["high"]
    assert after.tier_bytes("webgpu-f16") > before.tier_bytes("webgpu-f16")
    assert verify(folder).tiers == after.tiers, "the budget is remembered"


def test_recipe_is_forgotten_when_the_file_is_another(quantized_models: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(quantized_models["scenes-clip"], tmp_path / "model"))
    shutil.copy(folder / "onnx" / "text_model_quantized.onnx", folder / "onnx" / "text_model_q4.onnx")
    variants = verify(folder).components["text_model"]
    assert variants["q4"].recipe is None
    assert variants["q8"].recipe is not None


def test_largest_tensor_is_that_of_the_graph(quantized_models: dict[str, Path]) -> None:
    variants = read_manifest(quantized_models["scenes-vlm"]).components["embed_tokens"]
    rows, width = 512, 192
    assert variants["fp32"].largest_tensor_bytes == rows * width * 4
    assert variants["fp16"].largest_tensor_bytes == rows * width * 2
    assert variants["q4"].largest_tensor_bytes == rows * width // 2


def damaged(tmp_path: Path, change: str) -> Path:
    folder = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "model"))
    path = folder / "onnx" / "text_model.onnx"
    model = onnx.load(str(path))
    table = next(t for t in model.graph.initializer if t.name.endswith("token_embedding.weight"))
    array = onnx.numpy_helper.to_array(table).copy()
    array[:] = np.nan if change == "nan" else array
    table.CopyFrom(onnx.numpy_helper.from_array(array, table.name))
    if change == "unknown operator":
        model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, str(folder / "onnx" / "text_model_q4.onnx"))
    return folder


def test_variant_that_gives_nan_is_named(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match=r"text_model_q4\.onnx gives values that are not finite"):
        verify(damaged(tmp_path, "nan"))


def test_variant_that_does_not_load_is_named(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match=r"text_model_q4\.onnx does not load"):
        verify(damaged(tmp_path, "unknown operator"))


def test_missing_file_is_named(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "model"))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        verify(folder)


@pytest.mark.parametrize("name", ["README.md", "config.json", "onnx/text_model_q4.onnx"])
def test_link_is_not_made_a_part_of_the_model(name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "model"))
    before = (folder / "manifest.json").read_bytes()
    target = tmp_path / "elsewhere"
    target.write_bytes((folder / name.replace("_q4", "")).read_bytes())
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    with pytest.raises(ModelError, match=f"{name} is a link"):
        verify(folder)
    assert (folder / name).is_symlink()
    assert (folder / "manifest.json").read_bytes() == before


def test_card_that_is_a_link_and_not_listed_is_not_taken_in(make_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_model()
    (tmp_path / "secret.txt").write_text("password", encoding="utf-8")
    (folder / "README.md").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(ModelError, match=r"README\.md is a link"):
        copy_texts(folder, tmp_path)


def test_card_follows_quantize_and_verify_until_somebody_edits_it(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "scenes-clip"))
    card = folder / "README.md"
    quantize(folder, dtypes=["q4"], every=False)
    assert "| `text_model` | q4 |" in card.read_text(encoding="utf-8")
    manifest = verify(folder)
    error = manifest.components["text_model"]["q4"].error
    assert error is not None
    assert f"{error.cosine:.6f}"[:7] in card.read_text(encoding="utf-8")
    card.write_text("# mine", encoding="utf-8")
    manifest = verify(folder)
    assert card.read_text(encoding="utf-8") == "# mine"
    entry = next(entry for entry in manifest.files if entry.path == "README.md")
    assert entry == file_entry(folder, "README.md")
