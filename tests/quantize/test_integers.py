"""Products of integers: near to fp32 whatever one token holds, exact sums, for decoders on WASM alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from builder.errors import QuantizeError
from builder.manifest import Budget, ErrorMeasure, Variant, read_manifest
from builder.quantize import convert, quantize
from builder.quantize.recipe import INTEGER, Recipe
from builder.tiers import choose_tiers
from tests.quantize._graphs import answer, copy_of, distance, make_graph, operators
from tests.quantize.test_quantize import copied

RECIPE = Recipe(dtype=INTEGER)
BUDGET = Budget(name="test", cosine=0.96, relative=0.2)
PLAIN = Variant(path="x", size_bytes=100, sha256="", inputs=(), outputs=())


def product_graph(width: int = 192, columns: int = 48) -> onnx.ModelProto:
    weight = np.random.default_rng(0).standard_normal((width, columns)).astype(np.float32) / width**0.5
    return make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": ["batch", "n", width]},
        {"y": ["batch", "n", columns]},
        {"w": weight},
    )


def rows(count: int = 5, width: int = 192) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, count, width)).astype(np.float32)


def test_product_of_integers_is_near_fp32() -> None:
    plain = product_graph()
    made = convert(copy_of(plain), RECIPE)
    assert operators(made)["MatMulInteger"] == 1
    assert operators(made)["MatMul"] == 0
    assert distance(answer(made, {"x": rows()}), answer(plain, {"x": rows()})) < 0.015


def test_token_of_huge_values_does_not_drown_the_others() -> None:
    plain, given = product_graph(), rows()
    given[0, 0] *= 10_000
    made = convert(copy_of(plain), RECIPE)
    found, wanted = answer(made, {"x": given}), answer(plain, {"x": given})
    assert distance(found[:, 1:], wanted[:, 1:]) < 0.015


def test_token_of_zeros_stays_zeros() -> None:
    given = rows()
    given[0, 2] = 0
    found = answer(convert(product_graph(), RECIPE), {"x": given})
    assert (found[0, 2] == 0).all()
    assert (found[0, 1] != 0).any()


def test_products_are_those_of_whole_numbers() -> None:
    """Large sums, which signed weights would saturate on processors without VNNI."""
    width, columns = 512, 16
    weight = np.full((width, columns), 1.0, np.float32)
    plain = make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": ["n", width]}, {"y": ["n", columns]}, {"w": weight}
    )
    found = answer(convert(plain, RECIPE), {"x": np.ones((3, width), np.float32)})
    np.testing.assert_allclose(found, width, rtol=1e-6)


def test_weight_and_activation_of_several_products_are_quantized_once() -> None:
    weight = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["x", "w"], ["b"]),
        helper.make_node("MatMul", ["a", "w"], ["c"]),
        helper.make_node("Sum", ["a", "b", "c"], ["y"]),
    ]
    plain = make_graph(nodes, {"x": ["n", 64]}, {"y": ["n", 64]}, {"w": weight})
    made = convert(copy_of(plain), RECIPE)
    kinds = operators(made)
    assert (kinds["MatMulInteger"], kinds["ReduceMax"]) == (3, 2)
    sizes = [numpy_helper.to_array(tensor).nbytes for tensor in made.graph.initializer]
    assert max(sizes) == 64 * 64
    assert sum(sizes) < 64 * 64 * 2
    given = np.random.default_rng(1).standard_normal((3, 64)).astype(np.float32)
    assert distance(answer(made, {"x": given}), answer(plain, {"x": given})) < 0.02


def test_bias_of_gemm_is_kept_and_products_of_two_activations_stay() -> None:
    rng = np.random.default_rng(0)
    constants = {"w": rng.standard_normal((32, 64)).astype(np.float32), "b": rng.standard_normal(32).astype(np.float32)}
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["a"], transB=1),
        helper.make_node("Transpose", ["a"], ["t"]),
        helper.make_node("MatMul", ["a", "t"], ["y"]),
    ]
    plain = make_graph(nodes, {"x": ["n", 64]}, {"y": ["n", "n"]}, constants)
    made = convert(copy_of(plain), RECIPE)
    assert operators(made)["MatMul"] == 1
    given = rng.standard_normal((4, 64)).astype(np.float32)
    assert distance(answer(made, {"x": given}), answer(plain, {"x": given})) < 0.02


@pytest.mark.parametrize(("cosine", "dtype"), [(0.999, INTEGER), (0.8, "q4")])
def test_decoder_on_wasm_gets_integers_if_they_keep_the_budget(cosine: float, dtype: str) -> None:
    near = ErrorMeasure(max_abs=0.1, relative=0.01, cosine=0.999)
    decoder = {
        "fp32": PLAIN,
        "q4": replace(PLAIN, size_bytes=20, error=near),
        INTEGER: replace(PLAIN, size_bytes=40, error=replace(near, cosine=cosine)),
    }
    tiers = choose_tiers({"decoder_model_merged": decoder}, BUDGET)
    assert {tier: chosen["decoder_model_merged"] for tier, chosen in tiers.items()} == {
        "webgpu-f16": "q4",
        "webgpu": "q4",
        "wasm": dtype,
    }


def test_integers_of_the_embedded_decoder_are_nearer_to_fp32_than_four_bits(quantized_models: dict[str, Path]) -> None:
    manifest = read_manifest(quantized_models["scenes-vlm"])
    errors = {dtype: found.error for dtype, found in manifest.components["decoder_model_merged"].items() if found.error}
    assert errors[INTEGER].relative < errors["q4"].relative / 2
    assert manifest.tiers["wasm"]["decoder_model_merged"] == INTEGER
    others = [variants for name, variants in manifest.components.items() if name != "decoder_model_merged"]
    assert not any(INTEGER in variants for variants in others)


def test_integers_for_a_model_without_a_decoder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="decoder") as caught:
        quantize(copied(tmp_path), dtypes=[INTEGER])
    assert "q8" in caught.value.hint
