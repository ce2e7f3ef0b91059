"""export writes what transformers.js reads, agrees with PyTorch, and refuses what it cannot or must not load."""

from __future__ import annotations

import json
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from builder.embedded import NAMES, SHIPPED, checkpoint_dir, model_dir
from builder.errors import CheckpointError, ExportError
from builder.export import NAME, export
from builder.export.progress import only_export_to
from builder.manifest import read_manifest
from builder.sessions import Session

COMPONENTS = {
    "scenes-vlm": {"vision_encoder", "embed_tokens", "decoder_model_merged"},
    "scenes-clip": {"text_model", "vision_model", "model"},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("exported")
    return {n: export(str(checkpoint_dir(n)), out=root / n, components=SHIPPED[n]).path for n in NAMES}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_export_of_the_embedded_checkpoint_reproduces_the_shipped_model(name: str, exported: dict[str, Path]) -> None:
    assert set(read_manifest(exported[name]).components) == COMPONENTS[name] - {"model"}
    for shipped in sorted(model_dir(name).rglob("*")):
        made = exported[name] / shipped.relative_to(model_dir(name))
        if shipped.suffix == ".onnx":
            one, two = (onnx.load(str(path)).graph for path in (shipped, made))
            assert [node.op_type for node in one.node] == [node.op_type for node in two.node]
            for a, b in zip(one.initializer, two.initializer, strict=True):
                np.testing.assert_allclose(onnx.numpy_helper.to_array(a), onnx.numpy_helper.to_array(b), atol=1e-6)
        elif shipped.is_file() and shipped.name != "manifest.json":
            assert made.read_bytes() == shipped.read_bytes(), shipped.name


@pytest.mark.slow
def test_exported_decoder_has_static_heads_and_batch_size(exported: dict[str, Path]) -> None:
    decoder = read_manifest(exported["scenes-vlm"]).components["decoder_model_merged"]["fp32"]
    caches = [spec for spec in decoder.inputs if spec.name.startswith("past_key_values.")]
    assert len(caches) == 6
    for spec in caches:
        assert spec.shape == ("batch_size", 2, "past_sequence_length", 32)
    logits = next(spec for spec in decoder.outputs if spec.name == "logits")
    assert logits.shape[1] == 1, "logits of all positions make a prompt's answer needlessly large"


@pytest.mark.slow
def test_exported_graphs_hold_no_trace_of_the_machine(exported: dict[str, Path]) -> None:
    for path in exported["scenes-vlm"].rglob("*.onnx"):
        content = path.read_bytes()
        for trace in (str(Path.home()).encode(), b"site-packages", b".py"):
            assert trace not in content, (path.name, trace)


@pytest.mark.slow
def test_vision_tower_takes_any_batch(exported: dict[str, Path]) -> None:
    import onnxruntime as ort

    session = ort.InferenceSession(str(exported["scenes-clip"] / "onnx/vision_model.onnx"))
    pixels = np.random.default_rng(0).random((5, 3, 128, 128), np.float32)
    together = session.run(None, {"pixel_values": pixels})[0]
    alone = np.concatenate([session.run(None, {"pixel_values": pixels[i : i + 1]})[0] for i in range(5)])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no folder"):
        export(str(tmp_path / "nothing"))


def test_missing_folder_is_named_where_there_is_no_pytorch_either(tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; import builder; builder.export(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "CheckpointError: there is no folder" in done.stderr


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    shutil.copy(checkpoint_dir("scenes-vlm") / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(CheckpointError, match="safetensors") as caught:
        export(str(tmp_path))
    assert "never loaded" in caught.value.hint


def test_unknown_model_type_lists_what_is_supported(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "florence2"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="florence2") as caught:
        export(str(tmp_path))
    assert "fast_vlm" in caught.value.hint


def test_unknown_family_gets_a_suggestion() -> None:
    with pytest.raises(CheckpointError) as caught:
        export(str(checkpoint_dir("scenes-clip")), family="mobileclip")
    assert "mobileclip2" in caught.value.hint


def test_truncated_weights_leave_nothing_behind(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint_dir("scenes-clip"), broken)
    weights = broken / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"open_clip_model\.safetensors"):
        export(str(broken), out=tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken"]


def test_config_that_contradicts_the_weights_is_named(tmp_path: Path) -> None:
    checkpoint = tmp_path / "wrong"
    shutil.copytree(checkpoint_dir("scenes-vlm"), checkpoint)
    config = json.loads((checkpoint / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 4
    config["text_config"]["layer_types"] = ["full_attention"] * 4
    (checkpoint / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"no weights for .*layers\.3") as caught:
        export(str(checkpoint))
    assert "config.json" in caught.value.hint
    assert sorted(p.name for p in tmp_path.iterdir()) == ["wrong"]


def test_checkpoint_too_large_for_a_tab_is_refused_with_the_arithmetic(tmp_path: Path) -> None:
    checkpoint = tmp_path / "FastVLM-7B"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text(json.dumps({"model_type": "fast_vlm"}))
    parameters = 7_600_000_000
    header = json.dumps({"w": {"dtype": "BF16", "shape": [parameters], "data_offsets": [0, 2 * parameters]}}).encode()
    with (checkpoint / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 2 * parameters)  # a hole: 15 GB that take no room
    with pytest.raises(CheckpointError, match=r"7\.60 billion parameters.*4\.1 GiB.*3 GiB") as caught:
        export(str(checkpoint))
    assert "--force" in caught.value.hint
    with pytest.raises((CheckpointError, ExportError)) as forced:  # further on, it is no real checkpoint
        export(str(checkpoint), force=True)
    assert "billion" not in forced.value.message


@pytest.mark.slow
def test_killed_export_goes_on_with_the_first_unfinished_component(
    tmp_path: Path, start_cli: Callable[..., subprocess.Popen[str]], run_cli: Callable[..., Any]
) -> None:
    out = tmp_path / "web"
    command = ["export", str(checkpoint_dir("scenes-vlm")), "-o", str(out)]
    process = start_cli(*command)
    assert process.stderr is not None
    for line in process.stderr:
        if "building decoder_model_merged" in line:
            process.kill()
            break
    process.wait(timeout=60)
    assert not out.exists()
    again = run_cli(*command)
    assert again.returncode == 0, again.stderr
    assert "tracing vision_encoder" not in again.stderr
    assert "building decoder_model_merged" in again.stderr
    assert set(read_manifest(out).components) == COMPONENTS["scenes-vlm"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["web"]
    assert not [p.name for p in out.rglob(".*")]


@pytest.mark.slow
def test_what_another_checkpoint_left_unfinished_is_not_taken_over(
    tmp_path: Path, start_cli: Callable[..., subprocess.Popen[str]]
) -> None:
    out = tmp_path / "web"
    process = start_cli("export", str(checkpoint_dir("scenes-vlm")), "-o", str(out))
    assert process.stderr is not None
    for line in process.stderr:
        if "building decoder_model_merged" in line:
            process.kill()
            break
    process.wait(timeout=60)
    assert (tmp_path / ".web.part" / "onnx" / "vision_encoder.onnx").is_file()
    export(str(checkpoint_dir("scenes-clip")), out=out)
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names == {entry.path for entry in read_manifest(out).model_files()} | {"manifest.json"}
    assert set(read_manifest(out).components) == COMPONENTS["scenes-clip"]


def test_disk_too_small_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1_000_000))
    with pytest.raises(ExportError, match=r"needs [\d.,]+ MB, and its disk has 1\.0 MB free") as caught:
        export(str(checkpoint_dir("scenes-clip")), out=tmp_path / "out")
    assert "another disk" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit for files")
def test_disk_that_fills_up_on_the_way_leaves_nothing(tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    import resource

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing beyond the limit then fails with EFBIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = run_cli("export", str(checkpoint_dir("scenes-clip")), "-o", str(tmp_path / "out"), preexec_fn=limit)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be written: file too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["my model", "modèle", "a--b", "a..b", "a-..b", "web.git", "x-.git", "foo.ipynb", "-x"]
)
def test_name_that_transformers_js_does_not_take_is_refused_with_one_that_it_does(name: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="takes no model of the name") as caught:
        export(str(checkpoint_dir("scenes-clip")), out=tmp_path / name)
    better = caught.value.hint.rpartition(" -o ")[2]
    assert NAME.fullmatch(better)
    assert ".." not in better and "--" not in better and not better.endswith((".git", ".ipynb"))
    assert list(tmp_path.iterdir()) == []


def test_folder_that_another_export_writes_is_left_to_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with only_export_to(out), pytest.raises(ExportError, match="another export is writing"):
        export(str(checkpoint_dir("scenes-clip")), out=out)
    assert list(tmp_path.iterdir()) == []
    with only_export_to(out), only_export_to(tmp_path / "other"):
        pass


def test_revision_of_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a folder, and has no revision 'main'"):
        export(str(checkpoint_dir("scenes-clip")), out=tmp_path / "out", revision="main")


def test_current_folder_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError, match="current folder"):
        export(str(checkpoint_dir("scenes-clip")), out=Path())


def test_checkpoint_without_tokenizer_files_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(checkpoint_dir("scenes-vlm"), checkpoint)
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        export(str(checkpoint))


def test_component_that_the_model_lacks_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no part 'text'") as caught:
        export(str(checkpoint_dir("scenes-clip")), out=tmp_path / "out", components=["text"])
    assert "text_model" in caught.value.hint
    with pytest.raises(ExportError, match="go together"):
        export(str(checkpoint_dir("scenes-vlm")), out=tmp_path / "out", components=["vision_encoder"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_weights_beyond_the_chunk_lie_in_files_that_the_config_counts(tmp_path: Path) -> None:
    path = export(str(checkpoint_dir("scenes-vlm")), out=tmp_path / "web", chunk_bytes=1_500_000).path
    counted = json.loads((path / "config.json").read_text())["transformers.js_config"]["use_external_data_format"]
    for name, count in counted.items():
        chunks = [path / "onnx" / (f"{name}_data" + (f"_{n}" if n else "")) for n in range(count)]
        assert all(chunk.stat().st_size <= 1_500_000 for chunk in chunks)
        assert {p.name for p in (path / "onnx").glob(f"{name}_data*")} == {chunk.name for chunk in chunks}
    assert set(counted) == {"decoder_model_merged.onnx", "vision_encoder.onnx"}
    whole = export(str(checkpoint_dir("scenes-vlm")), out=tmp_path / "whole").path
    ids = np.arange(12).reshape(1, 12)
    one, two = (Session(folder / "onnx/embed_tokens.onnx").run({"input_ids": ids}) for folder in (path, whole))
    np.testing.assert_array_equal(one["inputs_embeds"], two["inputs_embeds"])
    pixels = np.random.default_rng(0).random((1, 3, 128, 128), np.float32)
    one, two = (Session(folder / "onnx/vision_encoder.onnx").run({"pixel_values": pixels}) for folder in (path, whole))
    np.testing.assert_array_equal(one["image_features"], two["image_features"])


def test_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ExportError, match="no web model"):
        export(str(checkpoint_dir("scenes-clip")), out=tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"
