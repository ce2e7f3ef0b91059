"""Rotary tables are made while a graph is loaded, with the values that were stored, and are stored where that fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from builder.graphs import load_graph
from builder.quantize import convert
from builder.quantize.recipe import Recipe
from builder.quantize.rotary import find_frequencies
from tests.quantize._graphs import Arrays, answer, copy_of, distance, make_graph, operators

POSITIONS, SIZE = 8192, 16
FREQUENCIES = (1 / 10000 ** (np.arange(SIZE) / SIZE)).astype(np.float32)


def tables() -> tuple[np.ndarray, np.ndarray]:
    angles = np.arange(POSITIONS, dtype=np.float32)[:, None] * FREQUENCIES
    return np.cos(angles), np.sin(angles)


def rotary_graph(cosines: np.ndarray, sines: np.ndarray) -> onnx.ModelProto:
    """Two layers that turn the same tables."""
    nodes = [
        helper.make_node("RotaryEmbedding", [given, "at", "cosines", "sines"], [result], domain="com.microsoft")
        for given, result in (("x", "a"), ("a", "y"))
    ]
    shape = [1, 2, 3, 2 * SIZE]
    constants = {"at": np.array([[0, 777, POSITIONS - 1]]), "cosines": cosines, "sines": sines}
    return make_graph(nodes, {"x": shape}, {"y": shape}, constants)


def rows() -> Arrays:
    return {"x": np.random.default_rng(0).normal(size=(1, 2, 3, 2 * SIZE)).astype(np.float32)}


def test_frequencies_are_found_to_the_last_bit() -> None:
    np.testing.assert_allclose(find_frequencies(*tables()), FREQUENCIES, rtol=2e-7)


@pytest.mark.parametrize(("dtype", "error"), [("q4", 1e-5), ("q4f16", 2e-3), ("fp16", 2e-3)])
def test_tables_are_not_stored_and_answers_stay(dtype: str, error: float, tmp_path: Path) -> None:
    import onnxruntime as ort

    model = rotary_graph(*tables())
    made = convert(copy_of(model), Recipe(dtype=dtype))
    assert made.ByteSize() < 4000 < 1_000_000 < model.ByteSize()
    assert distance(answer(made, rows()), answer(model, rows())) < error
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert not {"Range", "Cos", "Sin"} & operators(load_graph(tmp_path / "loaded.onnx")).keys()


def test_tables_of_another_kind_stay_stored() -> None:
    cosines, sines = tables()
    stretched = rotary_graph(cosines * 1.1, sines * 1.1)  # long-context scaling of attention
    assert operators(convert(copy_of(stretched), Recipe(dtype="q4"))) == {"RotaryEmbedding": 2}
