"""verify measures every variant, notices what is broken, and tells each device tier what to take."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from builder.embedded import model_dir
from builder.errors import ModelError, VerifyError
from builder.graphs import load_graph
from builder.manifest import SUFFIXES, Budget, file_entry, file_sha256, read_manifest, write_manifest
from builder.parity import Reference
from builder.quantize import convert, quantize
from builder.quantize.recipe import Recipe
from builder.taps import layer_outputs, relative_error, run_tapped
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


def another(tmp_path: Path) -> Path:
    """A fp32 model that no scenes are held out for."""
    folder = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "model"))
    write_manifest(folder, replace(read_manifest(folder), name="another"))
    return folder


def damaged(tmp_path: Path, change: str) -> Path:
    folder = another(tmp_path)
    path = folder / "onnx" / "text_model.onnx"
    model = onnx.load(str(path))
    table = next(t for t in model.graph.initializer if t.name.endswith("token_embedding.weight"))
    array = onnx.numpy_helper.to_array(table).copy()
    array[:] = np.nan if change == "nan" else array
    table.CopyFrom(onnx.numpy_helper.from_array(array, table.name))
    if change == "unknown operator":
        model.graph.node[0].op_type = "NoSuchOperator"
    if change == "foreign operator":
        model.graph.node[0].op_type, model.graph.node[0].domain = "Fancy", "acme.lab"
        model.opset_import.append(onnx.helper.make_opsetid("acme.lab", 1))
    path = folder / "onnx" / "text_model_q4.onnx"
    onnx.save(model, str(path))
    if change == "torn":
        path.write_bytes(path.read_bytes()[:1000])
    return folder


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("nan", "gives values that are not finite"),
        ("unknown operator", "does not load"),
        ("foreign operator", "acme.lab.Fancy"),
        ("torn", "is no readable ONNX file"),
    ],
)
def test_variant_that_cannot_be_used_is_named_and_left_out_and_the_rest_goes_on(
    change: str, fault: str, tmp_path: Path
) -> None:
    folder = damaged(tmp_path, change)
    convert_to(folder, "vision_model", "q8")
    said: list[str] = []
    manifest = verify(folder, report=said.append)
    broken = manifest.components["text_model"]["q4"]
    assert fault in (broken.fault or "")
    assert broken.error is None
    assert any(fault in line and "text_model q4" in line for line in said)
    assert fault in (folder / "report.html").read_text(encoding="utf-8")
    assert {dtypes["text_model"] for dtypes in manifest.tiers.values()} == {"fp32"}
    assert {dtypes["vision_model"] for dtypes in manifest.tiers.values()} == {"q8"}


def test_fp32_graph_with_foreign_operators_is_named(tmp_path: Path) -> None:
    folder = damaged(tmp_path, "foreign operator")
    shutil.move(folder / "onnx" / "text_model_q4.onnx", folder / "onnx" / "text_model.onnx")
    with pytest.raises(VerifyError, match=r"text_model\.onnx.*acme\.lab\.Fancy"):
        verify(folder)


def convert_to(folder: Path, component: str, dtype: str) -> None:
    """Write a variant that quantize did not choose."""
    graph = convert(load_graph(folder / "onnx" / f"{component}.onnx"), Recipe(dtype=dtype, pointwise_bits=8))
    onnx.save(graph, str(folder / "onnx" / f"{component}{SUFFIXES[dtype]}.onnx"))


def test_layers_that_were_turned_channels_last_are_compared_too(tmp_path: Path) -> None:
    folder = another(tmp_path)
    convert_to(folder, "vision_model", "q8")
    plain, made = (folder / "onnx" / f"vision_model{suffix}.onnx" for suffix in ("", SUFFIXES["q8"]))
    names = layer_outputs(plain)
    feeds = Reference(folder, read_manifest(folder), components=["vision_model"]).one_run("vision_model")
    wanted, got = run_tapped(plain, feeds, names), run_tapped(made, feeds, names)
    turned = [node for node in load_graph(made).graph.node if node.output[0].endswith(".channels_last")]
    assert turned
    assert list(got) == names
    assert all(relative_error(got[name], wanted[name]) < 0.1 for name in names)


def test_float16_graph_under_another_name_goes_only_where_the_adapter_has_it(tmp_path: Path) -> None:
    folder = another(tmp_path)
    convert_to(folder, "text_model", "q4f16")
    (folder / "onnx" / "text_model_q4f16.onnx").rename(folder / "onnx" / "text_model_q4.onnx")
    manifest = verify(folder, quality="small")
    assert manifest.components["text_model"]["q4"].needs_f16
    assert {tier: dtypes["text_model"] for tier, dtypes in manifest.tiers.items()} == {
        "webgpu-f16": "q4",
        "webgpu": "fp32",
        "wasm": "fp32",
    }


def test_what_quantize_measured_on_the_users_pictures_decides(tmp_path: Path) -> None:
    folder = another(tmp_path)
    pictures = tmp_path / "plain"
    pictures.mkdir()
    Image.new("RGB", (64, 64), (30, 200, 100)).save(pictures / "a.png")
    quantize(folder, dtypes=["q4"], images=pictures, every=False)
    error = read_manifest(folder).components["vision_model"]["q4"].error
    assert error is not None
    strict = Budget(name="own", cosine=-1.0, relative=0.99 * error.relative)
    manifest = verify(folder, quality=strict)
    assert manifest.components["vision_model"]["q4"].error == error
    assert manifest.tiers["wasm"]["vision_model"] == "fp32"
    again = verify(folder, images=pictures).components["vision_model"]["q4"].error
    assert again is not None
    assert again.relative == pytest.approx(error.relative, rel=1e-3)


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
