"""export writes what transformers.js reads, agrees with PyTorch, and refuses what it cannot or must not load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from builder.embedded import NAMES, checkpoint_dir, model_dir
from builder.errors import CheckpointError, ExportError
from builder.export import export
from builder.manifest import read_manifest

COMPONENTS = {
    "scenes-vlm": {"vision_encoder", "embed_tokens", "decoder_model_merged"},
    "scenes-clip": {"text_model", "vision_model"},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("exported")
    return {name: export(str(checkpoint_dir(name)), out=root / name).path for name in NAMES}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_export_of_the_embedded_checkpoint_reproduces_the_shipped_model(name: str, exported: dict[str, Path]) -> None:
    assert set(read_manifest(exported[name]).components) == COMPONENTS[name]
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


def test_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ExportError, match="no web model"):
        export(str(checkpoint_dir("scenes-clip")), out=tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"
