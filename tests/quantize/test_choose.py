"""quantize picks recipes by measurement: the smallest that keep the budget, and nothing that no tier wants."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

from builder.embedded import model_dir
from builder.errors import QuantizeError, VerifyError
from builder.graphs import load_graph, save_graph
from builder.manifest import Budget, ErrorMeasure, Variant, read_manifest, write_manifest
from builder.measurements import read_measurements
from builder.operators import needs_half, webgpu_fault
from builder.parity import Reference
from builder.quantize import convert, quantize
from builder.quantize.choose import NEAR, Chooser, Trial, best_trial, estimate_bytes
from builder.quantize.ranges import Ranges
from builder.quantize.recipe import Recipe, candidates, check_plain
from builder.tiers import BUDGETS, choose_tiers, find_budget, own_budget
from builder.verify import verify
from tests.quantize._graphs import copy_of, make_graph

BUDGET = Budget(name="test", cosine=0.9, relative=0.1)


def trial(size_bytes: int, relative: float | None, cosine: float = 0.99) -> Trial:
    error = None if relative is None else ErrorMeasure(max_abs=1.0, relative=relative, cosine=cosine)
    return Trial(recipe=Recipe(dtype="q4"), path=Path("x.onnx"), size_bytes=size_bytes, error=error)


def copied(tmp_path: Path, name: str = "scenes-clip") -> Path:
    """A fp32 model that no scenes are held out for: verify would score them all."""
    folder = Path(shutil.copytree(model_dir(name), tmp_path / name))
    write_manifest(folder, replace(read_manifest(folder), name="another"))
    return folder


def test_smallest_trial_that_keeps_the_budget_is_best() -> None:
    small, middle, large = trial(100, 0.3), trial(200, 0.09), trial(300, 0.01)
    assert best_trial([large, small, middle], BUDGET) is middle


def test_trial_that_is_hardly_larger_and_nearer_to_fp32_is_better() -> None:
    small, near, far = trial(1000, 0.09), trial(int(1000 * NEAR), 0.05), trial(int(1000 * NEAR) + 1, 0.01)
    assert best_trial([small, near, far], BUDGET) is near


def test_trial_nearest_to_fp32_is_best_where_none_keeps_the_budget() -> None:
    near, turned = trial(300, 0.2), trial(100, 0.05, cosine=0.5)
    assert best_trial([trial(100, 0.4), near], BUDGET) is near
    assert best_trial([turned, near], BUDGET) is turned


def test_trials_that_do_not_run_are_never_best() -> None:
    assert best_trial([trial(1, None)], BUDGET) is None
    slow = trial(100, 0.5)
    assert best_trial([trial(1, None), slow], BUDGET) is slow


def test_without_dtypes_only_what_some_tier_gets_is_written(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    result = quantize(folder, quality="high", every=False)
    manifest = verify(folder)
    written = {name: set(sizes) - {"fp32"} for name, sizes in result.sizes.items()}
    assert {name: dtypes - {"fp32"} for name, dtypes in manifest.tier_dtypes().items()} == written
    assert {p.name for p in folder.glob("onnx/*")} == {
        Path(v.path).name for variants in manifest.components.values() for v in variants.values()
    }
    for component, variants in manifest.components.items():
        for dtype in written[component]:
            assert BUDGETS["high"].keeps(variants[dtype].error)
            assert variants[dtype].recipe == result.recipes[component][dtype]
            assert (variants[dtype].recipe or "").startswith(dtype)


def test_every_candidate_is_measured_and_the_best_of_them_written(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    quantize(folder, dtypes=["q4"])
    graph = load_graph(folder / "onnx" / "text_model.onnx", weights=False)
    tried = read_measurements(folder).candidates["text_model"]
    assert [c.recipe for c in tried if c.dtype == "q4"] == [
        recipe.label() for recipe in sorted(candidates(graph, "q4"), key=lambda r: estimate_bytes(graph, r))
    ]
    assert len(tried) >= 3
    (chosen,) = [c for c in tried if c.chosen]
    variant = read_manifest(folder).components["text_model"]["q4"]
    assert (variant.recipe, variant.error, variant.total_bytes) == (chosen.recipe, chosen.error, chosen.size_bytes)
    keeping = [c for c in tried if find_budget("balanced").keeps(c.error)]
    assert chosen.size_bytes <= NEAR * min(c.size_bytes for c in keeping)


def test_search_in_a_hurry_ends_with_the_first_that_keeps_the_budget(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    quantize(folder, dtypes=["q4"], every=False)
    for tried in read_measurements(folder).candidates.values():
        assert tried
        assert [find_budget("balanced").keeps(c.error) for c in tried] == [False] * (len(tried) - 1) + [True]
        assert tried[-1].chosen


def test_stricter_budget_gives_larger_files_with_smaller_errors(tmp_path: Path) -> None:
    found: dict[str, Variant] = {}
    for quality in ("small", "high"):
        folder = copied(tmp_path / quality)
        quantize(folder, quality=quality, every=False)
        manifest = read_manifest(folder)
        found[quality] = manifest.components["vision_model"][manifest.tiers["webgpu-f16"]["vision_model"]]
    assert found["small"].total_bytes < found["high"].total_bytes
    assert found["small"].error is not None
    assert found["high"].error is not None
    assert found["small"].error.relative > found["high"].error.relative


@pytest.mark.parametrize("dtype", ["q8", "q4", "q4f16"])
@pytest.mark.parametrize("component", ["vision_model", "text_model"])
def test_estimates_are_near_enough_to_sort_by(component: str, dtype: str, tmp_path: Path) -> None:
    source, made = model_dir("scenes-clip") / "onnx" / f"{component}.onnx", tmp_path / "made.onnx"
    graph, sizes = load_graph(source, weights=False), dict[Recipe, int]()
    for recipe in candidates(graph, dtype, method="rtn"):  # a method changes no length
        save_graph(convert(load_graph(source), recipe), made)
        sizes[recipe] = made.stat().st_size
    first = min(sizes, key=lambda recipe: estimate_bytes(graph, recipe))
    assert sizes[first] <= 1.1 * min(sizes.values())


def test_interrupted_quantize_leaves_what_was_there(
    tmp_path: Path, read_tree: Callable[[Path], dict[str, bytes]]
) -> None:
    folder = copied(tmp_path)
    before, said = read_tree(folder), list[str]()

    def interrupt(line: str) -> None:
        said.append(line)
        if line.startswith("vision_model"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(folder, dtypes=["q4"], every=False, report=interrupt)
    assert any(line.startswith("text_model") for line in said)
    assert read_tree(folder) == before


def test_unknown_quality_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(QuantizeError, match="balancd") as caught:
        quantize(copied(tmp_path), quality="balancd")
    assert "balanced" in caught.value.hint


@pytest.mark.parametrize(("cosine", "relative"), [(1.5, None), (-0.1, None), (None, -1.0), (None, float("nan"))])
def test_budget_of_impossible_numbers_is_refused(cosine: float | None, relative: float | None) -> None:
    with pytest.raises(QuantizeError, match="means nothing"):
        own_budget("balanced", cosine=cosine, relative=relative)


def test_decoder_may_be_further_from_fp32_than_what_is_handed_on() -> None:
    budget = Budget(name="test", cosine=0.96, relative=0.2, logits=1.5)
    error = ErrorMeasure(max_abs=1.0, relative=0.29, cosine=0.92)
    assert budget.of("decoder_model_merged").keeps(error)
    assert not budget.of("vision_encoder").keeps(error)
    variants = {"fp32": PLAIN, "q4": sized(30, error)}
    tiers = choose_tiers({"decoder_model_merged": variants, "vision_encoder": variants}, budget)
    assert tiers["wasm"] == {"decoder_model_merged": "q4", "vision_encoder": "fp32"}


def test_own_budget_judges_only_by_the_numbers_that_were_given() -> None:
    far = ErrorMeasure(max_abs=9.0, relative=0.9, cosine=0.6)
    assert own_budget("high", cosine=0.5).keeps(far)
    assert not own_budget("high", cosine=0.7).keeps(far)
    assert own_budget("high", relative=0.95).keeps(far)
    assert own_budget("small") is BUDGETS["small"]


def test_pictures_of_the_user_are_measured_on_and_unreadable_ones_named(tmp_path: Path) -> None:
    folder, pictures, said = copied(tmp_path), tmp_path / "pictures", list[str]()
    pictures.mkdir()
    Image.radial_gradient("L").convert("RGB").save(pictures / "round.png")
    (pictures / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    quantize(folder, dtypes=["fp16"], images=pictures, report=said.append)
    assert any("torn.jpg" in line for line in said)
    elsewhere = copied(tmp_path / "scenes")
    quantize(elsewhere, dtypes=["fp16"])
    errors = [read_manifest(f).components["vision_model"]["fp16"].error for f in (folder, elsewhere)]
    assert errors[0] != errors[1]


def test_folder_without_a_readable_picture_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    with pytest.raises(VerifyError, match="no picture"):
        quantize(copied(tmp_path), dtypes=["fp16"], images=pictures)


PLAIN = Variant(path="x", size_bytes=100, sha256="", inputs=(), outputs=())
GOOD = ErrorMeasure(max_abs=0.1, relative=0.01, cosine=0.999)
BAD = ErrorMeasure(max_abs=3.0, relative=0.6, cosine=0.71)


def sized(size_bytes: int, error: ErrorMeasure | None = GOOD) -> Variant:
    return replace(PLAIN, size_bytes=size_bytes, error=error)


def test_tier_passes_over_a_variant_that_lost_its_way() -> None:
    tiers = choose_tiers(
        {"model": {"fp32": PLAIN, "q8": sized(50), "q4": sized(30, BAD), "q4f16": sized(20, BAD)}}, BUDGET
    )
    assert tiers == {"webgpu-f16": {"model": "q8"}, "webgpu": {"model": "q8"}, "wasm": {"model": "q8"}}


def test_tier_takes_nothing_that_was_not_measured() -> None:
    tiers = choose_tiers({"model": {"fp32": PLAIN, "q4": sized(30, None)}}, BUDGET)
    assert {dtypes["model"] for dtypes in tiers.values()} == {"fp32"}


def test_float16_goes_only_where_the_adapter_has_it_and_a_tie_to_the_file_that_others_share() -> None:
    tiers = choose_tiers({"a": {"fp32": PLAIN, "q4": sized(30), "q4f16": sized(20)}}, BUDGET)
    assert {tier: dtypes["a"] for tier, dtypes in tiers.items()} == {
        "webgpu-f16": "q4f16",
        "webgpu": "q4",
        "wasm": "q4",
    }
    tied = choose_tiers({"a": {"fp32": PLAIN, "q4": sized(30), "q4f16": sized(30)}}, BUDGET)
    assert tied["webgpu-f16"]["a"] == "q4"


def test_variant_that_is_larger_than_fp32_is_not_taken() -> None:
    assert choose_tiers({"a": {"fp32": PLAIN, "q8": sized(120)}}, BUDGET)["wasm"]["a"] == "fp32"


def graph_of(operator: str, **branches: onnx.GraphProto) -> onnx.ModelProto:
    """A graph of one node that nobody could run."""
    node = helper.make_node(operator, ["x"], ["y"], **branches)
    return helper.make_model(helper.make_graph([node], "small", [], []))


def test_variant_that_webgpu_gets_wrong_is_left_to_wasm() -> None:
    fault = "MatMulInteger: 8-bit activations give wrong answers on WebGPU"
    tiers = choose_tiers({"a": {"fp32": PLAIN, "q8": replace(sized(20), not_on_webgpu=fault), "q4": sized(30)}}, BUDGET)
    assert {tier: dtypes["a"] for tier, dtypes in tiers.items()} == {"webgpu-f16": "q4", "webgpu": "q4", "wasm": "q8"}


def test_variant_with_a_fault_goes_to_no_tier() -> None:
    tiers = choose_tiers({"a": {"fp32": PLAIN, "q8": replace(sized(20), fault="does not load")}}, BUDGET)
    assert {dtypes["a"] for dtypes in tiers.values()} == {"fp32"}


@pytest.mark.parametrize(
    "operator",
    [
        "MatMulInteger",
        "ConvInteger",
        "MatMulIntegerToFloat",
        "QLinearConv",
        "QLinearAdd",
        "QGemm",
        "QAttention",
        "QuantizeLinear",
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "DynamicQuantizeLSTM",
    ],
)
def test_operators_of_integer_activations_are_kept_from_webgpu_and_refused_as_fp32(operator: str) -> None:
    assert operator in (webgpu_fault(graph_of(operator)) or "")
    with pytest.raises(QuantizeError, match=rf"here\.onnx is quantized already: it has {operator}"):
        check_plain(graph_of(operator), name="here.onnx")


@pytest.mark.parametrize("operator", ["MatMulNBits", "GatherBlockQuantized", "DequantizeLinear"])
def test_operators_of_stored_weights_run_on_webgpu_and_are_refused_as_fp32(operator: str) -> None:
    assert webgpu_fault(graph_of(operator)) is None
    with pytest.raises(QuantizeError, match="quantized already"):
        check_plain(graph_of(operator))


@pytest.mark.parametrize("operator", ["Conv", "QuickGelu", "MatMul", "Add"])
def test_plain_operators_are_neither(operator: str) -> None:
    assert webgpu_fault(graph_of(operator)) is None
    check_plain(graph_of(operator))


def test_graphs_within_graphs_are_looked_at_too() -> None:
    inner = graph_of("MatMulInteger").graph
    model = graph_of("If", then_branch=inner, else_branch=inner)
    assert webgpu_fault(model) is not None
    with pytest.raises(QuantizeError, match="MatMulInteger"):
        check_plain(model)


def test_half_precision_is_found_where_a_device_computes_in_it_and_not_where_it_is_only_stored() -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(32, 32, 3, 3)).astype(np.float32)
    plain = make_graph(
        [helper.make_node("Conv", ["x", "k"], ["y"])], {"x": [1, 32, 8, 8]}, {"y": [1, 32, 6, 6]}, {"k": kernel}
    )
    stored = convert(copy_of(plain), Recipe(dtype="q4", depthwise="fp16"))
    assert any(t.data_type == onnx.TensorProto.FLOAT16 for t in stored.graph.initializer)
    assert not needs_half(plain)
    assert not needs_half(stored)
    assert needs_half(convert(copy_of(plain), Recipe(dtype="fp16")))
    assert needs_half(convert(copy_of(plain), Recipe(dtype="q4f16", depthwise="int8")))


def test_every_candidate_is_each_method_with_each_block_and_hqq_can_be_asked_for() -> None:
    graph = load_graph(model_dir("scenes-clip") / "onnx" / "text_model.onnx", weights=False)
    every = candidates(graph, "q4", every=True)
    shapes = {(r.method, r.symmetric, r.block_size) for r in every}
    assert shapes == {
        (method, symmetric, size)
        for method in ("rtn", "k_quant", "hqq")
        for symmetric in (False, True)
        for size in (32, 64, 128)
        if not (method == "hqq" and symmetric)
    }
    assert set(candidates(graph, "q4")) < set(every)
    assert {recipe.method for recipe in candidates(graph, "q4", method="hqq")} == {"hqq"}
    with pytest.raises(QuantizeError, match="hqqq") as caught:
        candidates(graph, "q4", method="hqqq")
    assert "hqq" in caught.value.hint


def test_explicit_numbers_keep_the_freedom_of_the_quality_they_change() -> None:
    assert own_budget("small", cosine=0.9).any_block
    assert not own_budget("balanced", cosine=0.9).any_block
    assert BUDGETS["small"].of("decoder_model_merged").any_block


def test_every_block_is_measured_but_those_that_are_slow_are_not_chosen(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    component = "text_model"
    manifest = read_manifest(folder)
    chooser = Chooser(
        component=component,
        source=folder / "onnx" / f"{component}.onnx",
        folder=tmp_path / "trials",
        reference=Reference(folder, manifest),
        budget=BUDGETS["balanced"],
        convert=convert,
        ranges=lambda: Ranges(greatest={}, logits={}),
        every=True,
        method="rtn",
    )
    best = chooser.choose(["q4"])["q4"]
    assert {trial.recipe.block_size for trial in chooser.trials} == {32, 64, 128}
    assert best.recipe.block_size == 32
    assert min(trial.size_bytes for trial in chooser.trials) < best.size_bytes
    assert chooser.notes == []


def test_report_says_how_many_candidates_were_left_out(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    quantize(folder, dtypes=["q4"], every=False)
    for notes in read_measurements(folder).notes.values():
        assert any("candidates measured; --every measures all" in note for note in notes)
