"""The linter judges a repository of the Hub by name, without its external data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto

from tests.export.lint_breaks import set_chunks
from tests.export.lint_models import make_captioner, make_clip, move_outside, write_listing, write_vision_encoder
from tests.hub.server import Hub

CALL = """
import json, sys
from builder.errors import BuilderError
from builder.export.lint import check
try:
    report = check(sys.argv[1], revision=None)
    print(json.dumps([[f.code, f.where] for f in report.findings]))
except BuilderError as error:
    print(json.dumps(f"{type(error).__name__}: {error.message}"))
"""
Judge = Callable[[str], object]


@pytest.fixture
def judge(hub_environment: Callable[..., dict[str, str]], tmp_path: Path) -> Judge:
    """Check a repository in a process of its own, because huggingface_hub reads its environment on import."""

    def run(name: str) -> object:
        command = [sys.executable, "-c", CALL, name]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=hub_environment(), timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_check_of_a_repository_finds_what_it_finds_in_the_folder(hub: Hub, judge: Judge, tmp_path: Path) -> None:
    root = make_clip(tmp_path / "model")
    move_outside(root / "onnx" / "text_model.onnx", "text_model.onnx_data")
    set_chunks(root, text_model=1)
    write_listing(root)
    hub.add("somebody/tiny", root)
    assert judge("somebody/tiny") == []
    (root / "preprocessor_config.json").unlink()
    assert judge("somebody/tiny") == [
        ["TJS003", "preprocessor_config.json"],
        ["TJS912", "preprocessor_config.json"],
    ]


def test_check_of_a_repository_does_not_run_an_encoder_without_its_weights(
    hub: Hub, judge: Judge, tmp_path: Path
) -> None:
    root = make_captioner(tmp_path / "model")
    encoder = root / "onnx" / "vision_encoder.onnx"
    write_vision_encoder(encoder, declared=False)
    move_outside(encoder, f"{encoder.name}_data", kind=TensorProto.INT64)  # the shape that it gives its rows
    set_chunks(root, vision_encoder=1)
    hub.add("somebody/tiny", root)
    assert judge("somebody/tiny") == []


def test_check_takes_a_repository_without_an_owner(hub: Hub, judge: Judge, tmp_path: Path) -> None:
    hub.add("tiny", make_clip(tmp_path / "model"))
    assert judge("tiny") == []


def test_check_of_a_repository_that_is_not_there_says_so(hub: Hub, judge: Judge) -> None:
    answer = judge("somebody/nothing")
    assert isinstance(answer, str)
    assert answer.startswith("ModelError: ")
    assert "somebody/nothing" in answer
