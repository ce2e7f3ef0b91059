"""The benches themselves, on models small enough to wait for, through the real commands."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from builder.bench import bench
from builder.bench._decoders import Load, count_nodes, feeds, measure_in_turns, open_native
from builder.bench._pipeline import PACKAGE, STEPS, make_plain, make_quantized, run_steps, sources_of
from builder.bench._processes import run
from builder.bench._variants import RUNTIME, with_downloads_first, with_every_logit
from builder.bench._wasm import measure_wasm
from builder.bench._webgpu import missing_gpu, run_webgpu
from builder.bench.page import own_paths
from builder.bench.peers._contract import Peer
from builder.bench.peers._environment import installed, peer_python
from builder.bench.size import _goals, _of_model
from builder.embedded import model_dir
from builder.embedded.painting import render
from builder.embedded.score import held_out_scenes
from builder.errors import BenchError
from builder.manifest import file_sha256, read_manifest
from tests.bench._tiny import TINY_FASTVLM
from tests.conftest import MakeModel, RunCli

LOADS = (Load(label="prompt", new=12, past=0, times=3), Load(label="token", new=1, past=12, times=3))


def silent(line: str) -> None:
    del line


def test_size_of_a_model_is_what_its_tiers_download(quantized_models: dict[str, Path]) -> None:
    folder = quantized_models["scenes-vlm"]
    (result,) = bench(["size"], models=[folder])
    manifest = read_manifest(folder)
    found = {m.contestant: m.median for m in result.measures if "settings" in m.case}
    assert found == {f"ours, {tier}": manifest.tier_bytes(tier) / 1e6 for tier in manifest.tiers}
    assert result.command == "webgpu-demo bench size --model scenes-vlm"


def test_goal_of_size_is_for_all_that_a_visitor_downloads(make_model: MakeModel) -> None:
    manifest = read_manifest(make_model())
    manifest = replace(manifest, tiers={"webgpu-f16": manifest.tiers["webgpu"]})
    (goal,) = _goals("FastVLM-0.5B", "balanced", list(_of_model("FastVLM-0.5B", "ours, balanced", manifest)))
    assert (goal.limit, goal.value) == (430.0, manifest.tier_bytes("webgpu-f16") / 1e6)
    assert goal.value > sum(v["q4"].total_bytes for v in manifest.components.values()) / 1e6


def test_quality_of_a_model_is_measured_on_the_pictures_of_its_user(
    quantized_models: dict[str, Path], tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, scene in enumerate(held_out_scenes(4, different=True)):
        render(scene, 200).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text(scene.caption, encoding="utf-8")
    (result,) = bench(["quality"], models=[quantized_models["scenes-clip"]], evaluation=pictures)
    recall = {m.contestant: m.median for m in result.measures if m.case.endswith("recall@1")}
    assert set(recall) == {"fp32", "webgpu-f16", "webgpu", "wasm"}
    assert recall["fp32"] == 100.0
    assert all(goal.reached == (recall[goal.text.split()[-1]] >= 99.0) for goal in result.goals)


def test_quality_of_a_model_without_pictures_asks_for_them(make_model: MakeModel) -> None:
    with pytest.raises(BenchError, match="no pictures to compare tiny-vlm on") as caught:
        bench(["quality"], models=[make_model()])
    assert "--eval" in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sise"], "did you mean 'size'?"),
        (["size", "--against", "publisht"], "did you mean 'published'?"),
        (["size", "--against", "torch"], "size is not measured against torch: it takes published"),
        (["quality", "--against", "torch"], "it measures no peers"),
    ],
)
def test_bench_or_peer_that_cannot_be_is_told_with_what_can(arguments: list[str], told: str, run_cli: RunCli) -> None:
    done = run_cli("bench", *arguments)
    assert done.returncode == 1
    assert told in " ".join(done.stderr.split())


def test_bench_that_fails_does_not_keep_others_from_running(
    make_model: MakeModel, run_cli: RunCli, tmp_path: Path
) -> None:
    model = make_model()  # it has no pictures to measure quality on
    done = run_cli("bench", "quality", "size", "--model", str(model), "-o", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "1 of 2 benches failed: quality: there are no pictures" in " ".join(done.stderr.split())
    assert "first download by device tier" in done.stdout
    assert [path.name for path in (tmp_path / "out").glob("*.json")] == ["size.json"]


def test_bench_command_writes_json_and_a_report(
    quantized_models: dict[str, Path], run_cli: RunCli, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    folder = str(quantized_models["scenes-clip"])
    done = run_cli("bench", "size", "--model", folder, "-o", str(out), "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [json.loads((out / "size.json").read_text(encoding="utf-8"))]
    assert "<svg" in (out / "report.html").read_text(encoding="utf-8")
    earlier = json.loads((out / "size.json").read_text(encoding="utf-8")) | {
        "bench": "decode",
        "summary": "of an earlier run",
    }
    (out / "decode.json").write_text(json.dumps(earlier), encoding="utf-8")
    (out / "growth.json").write_text("{}", encoding="utf-8")
    bench(["size"], models=[quantized_models["scenes-clip"]], out=out)
    assert "of an earlier run" in (out / "report.html").read_text(encoding="utf-8")
    for file in out.iterdir():
        assert str(quantized_models["scenes-clip"].parent) not in file.read_text(encoding="utf-8")


@pytest.mark.soak
def test_pipeline_keeps_what_it_made_and_makes_it_anew_when_a_step_changed(tmp_path: Path) -> None:
    said: list[str] = []
    plain = make_plain(TINY_FASTVLM, tmp_path, said.append)
    made = make_quantized(plain, "small", said.append)
    assert len(set(made.made_by)) == 3
    manifest = read_manifest(made.path)
    assert manifest.budget is not None and manifest.budget.name == "small"
    assert set(manifest.tiers) == {"webgpu-f16", "webgpu", "wasm"}

    said.clear()
    assert make_quantized(make_plain(TINY_FASTVLM, tmp_path, said.append), "small", said.append) == made
    assert said == []

    steps = json.loads((made.path / STEPS).read_text(encoding="utf-8"))
    steps[-1] = "another builder"
    (made.path / STEPS).write_text(json.dumps(steps), encoding="utf-8")
    make_quantized(plain, "small", said.append)
    assert len(said) == 2  # quantize and verify, not export

    assert plain.checkpoint is not None
    taken = run_steps(plain.checkpoint, tmp_path / "anew", said.append, dtypes=("q4",), verify=False)
    assert set(taken) == {"export", "quantize"}
    assert all(done.seconds > 0 and done.peak_bytes > 50e6 for done in taken.values())
    variants = {name: set(found) for name, found in read_manifest(tmp_path / "anew").components.items()}
    assert variants == {name: {"fp32", "q4"} for name in manifest.components}


def test_decoder_runs_its_loads_natively_and_counts_its_nodes() -> None:
    path = model_dir("scenes-vlm") / "onnx/decoder_model_merged.onnx"
    found = measure_in_turns({"ours": open_native(path, 1)}, LOADS, 50, silent, where="native CPU")
    assert [(m.case, len(m.values)) for m in found] == [("native CPU: prompt", 3), ("native CPU: token", 3)]
    assert all(value > 0 for measure in found for value in measure.values)
    assert count_nodes(path) == len(onnx.load(path).graph.node)


def test_decoder_runs_the_same_loads_on_wasm(tmp_path: Path, quantized_models: dict[str, Path]) -> None:
    path = quantized_models["scenes-vlm"] / "onnx/decoder_model_merged_q4.onnx"
    found, told = measure_wasm({"ours": path}, LOADS, 50, tmp_path, silent, where="WASM")
    assert [(m.case, len(m.values)) for m in found] == [("WASM: prompt", 6), ("WASM: token", 6)]
    assert "1 thread" in told


def test_peer_gets_an_environment_of_its_own_once(tmp_path: Path) -> None:
    said: list[str] = []
    peer = Peer(name="nobody", summary="needs nothing", requirements=("pip",))
    python = peer_python(peer, tmp_path, said.append)
    where = run([str(python), "-c", "import sys; print(sys.prefix)"], what="python").output.strip()
    assert Path(where).resolve() == (tmp_path / "peers/nobody").resolve()
    assert peer_python(peer, tmp_path, said.append) == python
    assert len(said) == 1
    assert installed(peer, tmp_path).startswith("pip ")


def test_program_that_fails_is_told_with_its_last_words() -> None:
    import sys

    with pytest.raises(BenchError, match="the try failed: no luck"):
        run([sys.executable, "-c", "raise SystemExit('no luck')"], what="the try")
    with pytest.raises(BenchError, match="cannot be started"):
        run(["no-such-program-anywhere"], what="the try")


def test_sources_of_a_verb_are_its_own_and_all_that_it_imports() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in sources_of("verify")}
    assert {"verify", "manifest", "sessions", "evaluation", "measurements", "card", "tasks", "tiers"} <= parts
    assert not {"bench", "export", "publish"} & parts


def test_decoder_before_gives_the_logits_of_every_position_and_the_same_last_ones(tmp_path: Path) -> None:
    path = model_dir("scenes-vlm") / "onnx/decoder_model_merged.onnx"
    now, before = open_native(path, 1), open_native(with_every_logit(path, tmp_path), 1)
    given = feeds(now, LOADS[0])
    (last,), (every,) = now.run(["logits"], given), before.run(["logits"], given)
    assert (last.shape[1], every.shape[1]) == (1, 12)
    assert np.allclose(every[:, -1:], last, atol=1e-4)
    with pytest.raises(BenchError, match="does not take the last position"):
        with_every_logit(tmp_path / path.name, tmp_path / "again")


def test_page_before_waits_for_its_downloads_and_its_manifest_still_holds(demo_work: Path, tmp_path: Path) -> None:
    site = demo_work / "site" / "camera-caption"
    now = (site / RUNTIME).read_text(encoding="utf-8")
    before = with_downloads_first(site, tmp_path / "before")
    then = (before / RUNTIME).read_text(encoding="utf-8")
    assert then.replace(" await downloads;", "", 1) == now != then
    listed = {
        file["path"]: file for file in json.loads((before / "manifest.json").read_text(encoding="utf-8"))["files"]
    }
    assert listed[RUNTIME]["sha256"] == file_sha256(before / RUNTIME)
    with pytest.raises(BenchError, match="has changed"):
        with_downloads_first(before, tmp_path / "again")


def test_own_paths_of_a_page_end_at_the_runtime_and_have_its_worker() -> None:
    asked = [
        "",
        "app/main.js",
        "models/m/manifest.json",
        "icons/a.png",
        "app/main.js",
        "app/worker.js",
        "runtime/t.js",
        "x",
    ]
    assert own_paths(asked) == ["index.html", "app/main.js", "app/worker.js"]


def test_webgpu_that_is_not_there_is_skipped_with_the_reason(tmp_path: Path) -> None:
    import sys

    found, told = run_webgpu(Path(sys.executable), {"ours": tmp_path / "none.onnx"}, LOADS, 50, where="WebGPU")
    assert found == [] and re.search(
        r"WebGPU was not measured: onnxruntime [\d.]+ has no WebGpuExecutionProvider", told
    )
    devices = [*Path("/dev").glob("dri/renderD*"), *Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("dxg")]
    assert (missing_gpu() == "") == (bool(devices) or sys.platform != "linux")
