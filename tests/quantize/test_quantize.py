"""quantize adds smaller variants, keeps float32 borders, and leaves the folder whole when something is wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from builder.embedded import model_dir
from builder.errors import ModelError, QuantizeError
from builder.graphs import chunk_paths, load_graph, read_variant, save_graph
from builder.manifest import SUFFIXES, read_manifest, write_manifest
from builder.quantize import quantize
from builder.quantize.recipe import suits


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
    quantize(folder, dtypes=["q4f16"])
    first = {p.name: p.read_bytes() for p in folder.rglob("*_q4f16.onnx")}
    assert len(first) == len(read_manifest(folder).components)
    quantize(folder, dtypes=["q4f16"])
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
