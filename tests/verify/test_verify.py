"""verify measures every variant, notices what is broken, and tells each device tier what to take."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from builder.embedded import model_dir
from builder.errors import ModelError, VerifyError
from builder.manifest import ErrorMeasure, Variant, file_sha256, read_manifest
from builder.verify import verify
from builder.verify.tiers import choose_tiers


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
        assert {entry.path for entry in entries} == on_disk - {"manifest.json"}
        for entry in entries:
            assert (folder / entry.path).stat().st_size == entry.size_bytes
            assert file_sha256(folder / entry.path) == entry.sha256


def test_tiers_take_the_smallest_that_the_device_can_run(quantized_models: dict[str, Path]) -> None:
    tiers = read_manifest(quantized_models["scenes-vlm"]).tiers
    assert set(tiers) == {"webgpu-f16", "webgpu", "wasm"}
    assert set(tiers["webgpu-f16"].values()) <= {"q4f16", "q4"}
    for tier in ("webgpu", "wasm"):
        assert not {"q4f16", "fp16"} & set(tiers[tier].values()), "needs shader-f16"


def test_tier_passes_over_a_variant_that_lost_its_way() -> None:
    plain = Variant(path="x", size_bytes=1, sha256="", inputs=(), outputs=())
    good = replace(plain, error=ErrorMeasure(max_abs=0.1, relative=0.01, cosine=0.999))
    bad = replace(plain, error=ErrorMeasure(max_abs=3.0, relative=0.6, cosine=0.71))
    tiers = choose_tiers({"model": {"fp32": plain, "q8": good, "q4": bad, "q4f16": bad}})
    assert tiers == {"webgpu-f16": {"model": "q8"}, "webgpu": {"model": "q8"}, "wasm": {"model": "q8"}}


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
