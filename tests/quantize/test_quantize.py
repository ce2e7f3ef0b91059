"""quantize adds smaller variants, keeps float32 borders, and leaves the folder whole when something is wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from PIL import Image

from builder.embedded import model_dir
from builder.errors import ModelError, QuantizeError
from builder.graphs import chunk_paths, load_graph, read_variant, save_graph
from builder.manifest import SUFFIXES, read_manifest, write_manifest
from builder.measurements import read_measurements
from builder.quantize import convert, quantize
from builder.quantize.recipe import Recipe, suits
from builder.tiers import own_budget
from builder.verify import verify


@pytest.mark.parametrize("name", ["scenes-vlm", "scenes-clip"])
def test_each_dtype_is_smaller_than_the_one_before(name: str, quantized_models: dict[str, Path]) -> None:
    for component, variants in read_manifest(quantized_models[name]).components.items():
        assert set(variants) == {dtype for dtype in SUFFIXES if suits(dtype, component)}, component
        assert variants["fp16"].size_bytes < 0.6 * variants["fp32"].size_bytes
        assert variants["q4"].size_bytes < variants["q8"].size_bytes < variants["fp32"].size_bytes
        assert variants["q4f16"].size_bytes <= variants["q4"].size_bytes


def test_borders_stay_float32_and_the_cache_is_half(quantized_models: dict[str, Path]) -> None:
    components = read_manifest(quantized_models["scenes-vlm"]).components
    for component, variants in components.items():
        for dtype, variant in variants.items():
            for spec in (*variant.inputs, *variant.outputs):
                cached = spec.name.startswith(("past_key_values.", "present."))
                if cached:
                    assert spec.type == ("float16" if dtype in ("fp16", "q4f16") else "float32"), (component, dtype)
                elif spec.type.startswith("float"):
                    assert spec.type == "float32", (component, dtype, spec.name)


def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "model"))


def test_unknown_dtype_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="q4f61") as caught:
        quantize(copied(tmp_path), dtypes=["q4f61"])
    assert "q4f16" in caught.value.hint


def test_folder_that_is_no_web_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no web model"):
        quantize(tmp_path, dtypes=["q4"])


def test_corrupt_graph_is_named_and_nothing_written(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    graph = folder / "onnx" / "vision_model.onnx"
    graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
    before = sorted(p.name for p in folder.rglob("*"))
    with pytest.raises(ModelError, match=r"vision_model\.onnx"):
        quantize(folder, dtypes=["q4"])
    assert sorted(p.name for p in folder.rglob("*")) == before


def test_running_again_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    quantize(folder, dtypes=["q4f16"], every=False)
    first = {p.name: p.read_bytes() for p in folder.rglob("*_q4f16.onnx")}
    assert len(first) == len(read_manifest(folder).components)
    quantize(folder, dtypes=["q4f16"], every=False)
    assert {p.name: p.read_bytes() for p in folder.rglob("*_q4f16.onnx")} == first


def test_file_of_external_data_of_another_length_is_named_and_nothing_written(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    graph = folder / "onnx" / "vision_model.onnx"
    save_graph(load_graph(graph), graph, chunk_bytes=10**6)
    manifest = read_manifest(folder)
    plain = read_variant(folder, "onnx/vision_model.onnx")
    components = {**manifest.components, "vision_model": {"fp32": plain}}
    write_manifest(folder, replace(manifest, components=components))
    chunk = folder / plain.data[-1].path
    chunk.write_bytes(chunk.read_bytes()[:-8])
    before = sorted(p.name for p in folder.rglob("*"))
    with pytest.raises(ModelError, match=rf"{chunk.name} is not as long"):
        quantize(folder, dtypes=["q4"])
    assert sorted(p.name for p in folder.rglob("*")) == before


def test_chunks_of_an_earlier_and_larger_variant_are_removed(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    old = folder / "onnx" / "vision_model_q4.onnx"
    save_graph(load_graph(folder / "onnx" / "vision_model.onnx"), old, chunk_bytes=10**6)
    assert len(chunk_paths(old)) > 1
    quantize(folder, dtypes=["q4"], every=False)
    assert chunk_paths(old) == []
    assert read_manifest(folder).components["vision_model"]["q4"].data == ()


def change_graph(folder: Path, component: str, kind: str) -> None:
    """Make a component one that quantize must leave alone."""
    path = folder / "onnx" / f"{component}.onnx"
    graph = load_graph(path)
    if kind == "quantized":
        graph = convert(graph, Recipe(dtype="q8"))
    else:
        node = next(node for node in graph.graph.node if node.op_type == "Conv")
        node.op_type, node.domain = "Fancy", "acme.lab"
        graph.opset_import.append(onnx.helper.make_opsetid("acme.lab", 1))
    onnx.save(graph, str(path))


@pytest.mark.parametrize(("kind", "why"), [("quantized", "quantized already"), ("custom", "acme.lab.Fancy")])
def test_component_that_cannot_be_quantized_is_named_and_the_others_are_made(
    kind: str, why: str, tmp_path: Path
) -> None:
    folder, said = copied(tmp_path), list[str]()
    change_graph(folder, "vision_model", kind)
    result = quantize(folder, dtypes=["q4"], every=False, report=said.append)
    assert any(line.startswith("vision_model stays as it is: onnx/vision_model.onnx") and why in line for line in said)
    assert list(result.skipped) == ["vision_model"]
    assert set(result.sizes["vision_model"]) == {"fp32"}
    assert set(result.sizes["text_model"]) == {"fp32", "q4"}
    assert why in read_measurements(folder).notes["vision_model"][0]


def test_decoder_is_left_where_its_table_is(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir("scenes-vlm"), tmp_path / "model"))
    change_graph(folder, "embed_tokens", "quantized")
    result = quantize(folder, dtypes=["q8"], every=False)
    assert set(result.skipped) == {"embed_tokens", "decoder_model_merged"}
    assert "q8" in result.sizes["vision_encoder"]


def test_model_of_which_nothing_can_be_quantized_is_refused_by_file(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    for component in ("vision_model", "text_model"):
        change_graph(folder, component, "quantized")
    before = sorted(p.name for p in folder.rglob("*"))
    with pytest.raises(QuantizeError, match=r"onnx/text_model\.onnx is quantized already: it has GatherBlockQuantized"):
        quantize(folder, dtypes=["q4"])
    assert sorted(p.name for p in folder.rglob("*")) == before


def test_quantize_alone_gives_tiers_and_forgets_older_scores(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    quantize(folder, dtypes=["q8"], every=False)
    assert verify(folder).quality
    quantize(folder, dtypes=["q4"], every=False)
    manifest = read_manifest(folder)
    assert {dtype for dtypes in manifest.tiers.values() for dtype in dtypes.values()} == {"q4"}
    assert manifest.quality == {}


def test_report_has_the_commands_that_were_given(tmp_path: Path) -> None:
    folder, pictures = copied(tmp_path), tmp_path / "my pictures"
    pictures.mkdir()
    Image.radial_gradient("L").convert("RGB").save(pictures / "round.png")
    budget = own_budget("small", relative=0.5)
    quantize(folder, dtypes=["q4"], quality=budget, images=pictures, every=False, method="rtn")
    verify(folder, images=pictures)
    assert read_measurements(folder).commands == (
        "webgpu-demo quantize model --dtype q4 --quality small --max-error 0.5 --images 'my pictures' --first "
        "--method rtn",
        "webgpu-demo verify model --images 'my pictures'",
    )
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "--dtype q4 --quality small --max-error 0.5" in report
    assert "pictures of my pictures" in report


def test_old_chunks_stay_until_what_replaces_them_is_there(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    old = folder / "onnx" / "vision_model_q4.onnx"
    save_graph(load_graph(folder / "onnx" / "vision_model.onnx"), old, chunk_bytes=10**6)
    chunks = [chunk.name for chunk in chunk_paths(old)]

    def tear(line: str) -> None:
        if line.startswith("vision_model"):
            (folder / "config.json").write_text("{", encoding="utf-8")

    with pytest.raises(ModelError, match=r"config\.json"):
        quantize(folder, dtypes=["q4"], every=False, report=tear)
    assert [chunk.name for chunk in chunk_paths(old)] == chunks
