"""Weights that are not whole are found before anything is loaded, whatever is wrong with them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from builder.errors import CheckpointError
from builder.hub import check_weights
from tests.hub.conftest import write_safetensors

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def write_shards(folder: Path) -> Path:
    """Two shards of two tensors each, and their index."""
    weight_map = {}
    for number, shard in enumerate(SHARDS):
        tensors = {f"layer{number}.{name}": np.full(1000, number, np.float32) for name in ("a", "b")}
        write_safetensors(folder / shard, tensors)
        weight_map |= dict.fromkeys(tensors, shard)
    write_index(folder, weight_map)
    return folder


def write_index(folder: Path, weight_map: object) -> None:
    text = json.dumps({"metadata": {}, "weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def read_index(folder: Path) -> dict[str, str]:
    raw = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
    return dict(raw["weight_map"])


def write_note(path: Path, sha256: str, when: float) -> None:
    """What huggingface_hub leaves beside a download into a folder."""
    note = path.parent / ".cache" / "huggingface" / "download" / f"{path.name}.metadata"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(f"{'0' * 40}\n{sha256}\n{when}\n", encoding="utf-8")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"weight": np.arange(5000, dtype=np.float32), "empty": np.zeros((0, 3), np.float32)})
    return path


def test_whole_weights_pass(weights: Path, tmp_path: Path) -> None:
    check_weights(weights.parent)
    check_weights(write_shards(tmp_path / "shards"))


def test_truncated_weights_are_named_with_both_lengths(weights: Path) -> None:
    whole = weights.stat().st_size
    os.truncate(weights, whole - 777)
    with pytest.raises(CheckpointError, match="truncated") as caught:
        check_weights(weights.parent)
    assert f"{whole:,} bytes, and it has {whole - 777:,}" in caught.value.message
    assert str(weights) in caught.value.hint


def test_weights_that_end_in_their_header_are_truncated(weights: Path) -> None:
    os.truncate(weights, 40)
    with pytest.raises(CheckpointError, match=r"truncated.*at least"):
        check_weights(weights.parent)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "do not begin"),
        (b"abc", "do not begin"),
        (b"<!DOCTYPE html><html>not found</html>", "do not begin"),
        ((16).to_bytes(8, "little") + b"no header at all", "cannot be read"),
        ((21).to_bytes(8, "little") + b'{"a": {"shape": [1]}}', "cannot be read"),
        ((2).to_bytes(8, "little") + b"{}more", "speaks of 10 bytes, and it has 14"),
    ],
)
def test_file_that_is_no_safetensors_is_damaged(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"model\.safetensors is damaged.*{why}"):
        check_weights(tmp_path)


def test_git_lfs_pointer_in_place_of_weights_names_the_command(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"
    (tmp_path / "model.safetensors").write_text(pointer, encoding="utf-8")
    with pytest.raises(CheckpointError, match="Git LFS pointer") as caught:
        check_weights(tmp_path)
    assert "git lfs pull" in caught.value.hint


def test_missing_shard_is_named(tmp_path: Path) -> None:
    (write_shards(tmp_path) / SHARDS[1]).unlink()
    with pytest.raises(CheckpointError, match=f"lacks {SHARDS[1]}"):
        check_weights(tmp_path)


def test_shards_without_their_index_are_refused(tmp_path: Path) -> None:
    (write_shards(tmp_path) / "model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointError, match=r"shards of model \(2 in all\), but no model\.safetensors\.index\.json"):
        check_weights(tmp_path)


def test_tensor_that_the_index_does_not_list_is_named(tmp_path: Path) -> None:
    weight_map = read_index(write_shards(tmp_path))
    del weight_map["layer1.b"]
    write_index(tmp_path, weight_map)
    with pytest.raises(CheckpointError, match=rf"{SHARDS[1]} holds layer1\.b, which .* does not list"):
        check_weights(tmp_path)


def test_tensor_that_no_shard_holds_is_named(tmp_path: Path) -> None:
    write_index(tmp_path, {**read_index(write_shards(tmp_path)), "layer2.a": SHARDS[0]})
    with pytest.raises(CheckpointError, match=rf"{SHARDS[0]} lacks layer2\.a"):
        check_weights(tmp_path)


@pytest.mark.parametrize("weight_map", [["a"], None, "x"])
def test_index_of_another_form_is_refused(tmp_path: Path, weight_map: object) -> None:
    write_index(write_shards(tmp_path), weight_map)
    with pytest.raises(CheckpointError, match="is no index"):
        check_weights(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl"])
def test_pickles_alone_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(CheckpointError, match=name) as caught:
        check_weights(tmp_path)
    assert "never loaded" in caught.value.hint


def test_pickles_beside_safetensors_do_no_harm(weights: Path) -> None:
    (weights.parent / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")
    check_weights(weights.parent)


def test_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no \*\.safetensors$"):
        check_weights(tmp_path)


def test_checksum_of_the_download_notes_finds_a_changed_byte(weights: Path) -> None:
    write_note(weights, hashlib.sha256(weights.read_bytes()).hexdigest(), time.time() + 60)
    lines: list[str] = []
    check_weights(weights.parent, report=lines.append)
    assert lines == ["comparing the checksum of model.safetensors"]
    with weights.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    with pytest.raises(CheckpointError, match="the checksum says so") as caught:
        check_weights(weights.parent)
    assert str(weights) in caught.value.message


def test_checksum_of_a_file_changed_after_its_download_does_not_count(weights: Path) -> None:
    write_note(weights, "0" * 64, weights.stat().st_mtime - 100)
    check_weights(weights.parent)


def test_checksum_of_a_blob_in_the_cache_finds_a_changed_byte(weights: Path, tmp_path: Path) -> None:
    data = weights.read_bytes()
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    blob = blobs / hashlib.sha256(data).hexdigest()
    blob.write_bytes(data)
    (snapshot / "model.safetensors").symlink_to(blob)
    check_weights(snapshot)
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="the checksum says so") as caught:
        check_weights(snapshot)
    assert str(blob) in caught.value.hint
