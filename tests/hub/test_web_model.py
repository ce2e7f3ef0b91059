"""A web model is fetched to be judged: graphs and configs as they are, external data by size alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.conftest import Fetch
from tests.hub.server import Fault, Hub

REPO = "somebody/web-model"
FILES = {
    "config.json": b"{}",
    "README.md": b"---\n---\n",
    "tokenizer.json": b"{}",
    "onnx/model.onnx": b"graph " * 1000,
    "onnx/model_q4f16.onnx": b"quantized " * 1000,
    "pytorch_model.bin": b"pickle",
}
DATA = {"onnx/model.onnx_data": 50_000, "onnx/model.onnx_data_1": 40_000, "onnx/weights.bin": 30_000}


@pytest.fixture
def repository(hub: Hub, tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    for path, content in {**FILES, **{path: b"w" * size for path, size in DATA.items()}}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    hub.add(REPO, folder)
    return folder


def test_web_model_arrives_without_links_and_without_its_weights(
    hub: Hub, fetch: Fetch, repository: Path, tmp_path: Path
) -> None:
    got = fetch(REPO, call="fetch_web_model")
    assert got.path is not None, got.error
    assert got.path.is_relative_to(tmp_path / "cache")
    here = {path.relative_to(got.path).as_posix(): path for path in got.path.rglob("*") if path.is_file()}
    expected = {path: len(content) for path, content in FILES.items() if path != "pytorch_model.bin"} | DATA
    assert {path: file.stat().st_size for path, file in here.items()} == expected
    assert not any(path.is_symlink() or path.stat().st_nlink > 1 for path in here.values())
    assert all(here[path].read_bytes() == FILES[path] for path in expected if path in FILES)
    assert not any(here[path].read_bytes().strip(b"\0") for path in DATA)
    assert set(hub.fetched()) == {Path(path).name for path in expected if path in FILES}
    assert "3 files of external data (0.1 MB)" in got.lines[-1]


def test_web_model_of_the_same_commit_is_not_fetched_twice(hub: Hub, fetch: Fetch, repository: Path) -> None:
    first = fetch(REPO, call="fetch_web_model")
    hub.requests.clear()
    assert fetch(REPO, call="fetch_web_model").path == first.path
    assert hub.fetched() == []
    (repository / "config.json").write_text('{"model_type": "clip"}')
    other = fetch(REPO, call="fetch_web_model")
    assert other.path is not None, other.error
    assert other.path != first.path
    assert (other.path / "config.json").read_text() == '{"model_type": "clip"}'


def test_web_model_cut_off_leaves_nothing_that_looks_complete(hub: Hub, fetch: Fetch, repository: Path) -> None:
    hub.break_next(Fault(pattern=r"GET /cdn/.*model\.onnx", cut_at=100))
    got = fetch(REPO, call="fetch_web_model")
    assert (got.kind, got.error) == ("ModelError", f"the download of {REPO} was cut off")
    hub.faults.clear()
    again = fetch(REPO, call="fetch_web_model")
    assert again.path is not None, again.error
    assert (again.path / "onnx" / "model.onnx").read_bytes() == FILES["onnx/model.onnx"]
    assert not (again.path / ".cache").exists()


def test_web_model_of_no_repository_is_a_model_error(fetch: Fetch) -> None:
    got = fetch("somebody/nothing", call="fetch_web_model")
    assert got.kind == "ModelError"
    assert "no model of that name" in got.error
