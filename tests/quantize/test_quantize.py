"""quantize adds smaller variants, keeps float32 borders, and leaves the folder whole when something is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from builder.embedded import model_dir
from builder.errors import ModelError, QuantizeError
from builder.manifest import SUFFIXES, read_manifest
from builder.quantize import quantize
from builder.quantize.embeddings import quantize_rows
from builder.quantize.weights import split_gemm


@pytest.mark.parametrize("name", ["scenes-vlm", "scenes-clip"])
def test_each_dtype_is_smaller_than_the_one_before(name: str, quantized_models: dict[str, Path]) -> None:
    for component, variants in read_manifest(quantized_models[name]).components.items():
        assert set(variants) == set(SUFFIXES), component
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


def test_quantized_table_answers_in_float32_close_to_the_original() -> None:
    table = np.random.default_rng(0).normal(size=(40, 96)).astype(np.float32)
    for bits, step in ((8, 1 / 255), (4, 1 / 15)):
        data, scales, zeros = quantize_rows(table, bits=bits, block_size=32)
        assert data.shape == (40, 96 * bits // 8)
        assert scales.shape == (40, 3)
        if bits == 4:
            data = np.stack([data & 15, data >> 4], axis=-1).reshape(40, 96)
            zeros = np.stack([zeros & 15, zeros >> 4], axis=-1).reshape(40, 4)[:, :3]
        back = (data.reshape(40, 3, 32).astype(np.float32) - zeros[..., None]) * scales[..., None]
        reach = table.reshape(40, 3, 32).max(axis=2) - table.reshape(40, 3, 32).min(axis=2)
        assert (np.abs(back - table.reshape(40, 3, 32)).max(axis=2) <= reach * step * 1.01).all()


def test_split_gemm_changes_no_result() -> None:
    import onnxruntime as ort

    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(7, 5)).astype(np.float32), rng.normal(size=7).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="g", transB=1)],
        "gemm",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 5])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 7])],
        [onnx.numpy_helper.from_array(weight, "w"), onnx.numpy_helper.from_array(bias, "b")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    split_gemm(model)
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Add"]
    x = rng.normal(size=(3, 5)).astype(np.float32)
    got = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(got, x @ weight.T + bias, atol=1e-5)


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
    assert len(first) == 2
    quantize(folder, dtypes=["q4f16"])
    assert {p.name: p.read_bytes() for p in folder.rglob("*_q4f16.onnx")} == first
