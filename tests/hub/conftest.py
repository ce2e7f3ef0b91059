"""A Hub on loopback, and a way to ask it through the real huggingface_hub."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.hub.server import Hub

TOKEN = "hf_" + "TestTokenThatNobodyMaySee" * 2
REPO = "somebody/small-vlm"
ARRIVING = {"config.json", "README.md", "LICENSE", "merges.txt", "model.safetensors"}
WEIGHTS = "model.safetensors"
Environment = dict[str, str]
WEIGHT = 300_000
"""Bytes of the tensor in a small checkpoint: more than a chunk of the server, so that a download can be cut."""


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)


def small_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A checkpoint folder as a repository holds it, with a pickle and Python that must never be fetched."""
    weight = np.random.default_rng(seed).integers(0, 255, WEIGHT, dtype=np.uint8)
    write_safetensors(folder / "model.safetensors", {"weight": weight})
    for name, text in {
        "config.json": '{"model_type": "fast_vlm"}',
        "README.md": "---\nlicense: mit\n---\n",
        "LICENSE": "MIT",
        "merges.txt": "a b",
        "modeling.py": "raise SystemExit",
        "pytorch_model.bin": "pickle",
        "onnx/config.json": "{}",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def checkpoint(hub: Hub, tmp_path: Path) -> Path:
    """The small checkpoint that ``REPO`` holds."""
    folder = small_checkpoint(tmp_path / "repository")
    hub.add(REPO, folder)
    return folder


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a call in another process came to: a path, or an error; what it reported; all it wrote to stderr."""

    path: Path | None
    kind: str
    error: str
    hint: str
    lines: list[str]
    written: str


Fetch = Callable[..., Outcome]


@pytest.fixture
def fetch(hub: Hub, hub_environment: Callable[..., Environment], tmp_path: Path) -> Fetch:
    """Call `fetch_checkpoint` (or another function of builder.hub) against the Hub on loopback."""

    def run(
        name: str, *, revision: str | None = None, call: str = "fetch_checkpoint", token: str | None = None, **more: str
    ) -> Outcome:
        request = json.dumps({"call": call, "name": name, "revision": revision})
        command = [sys.executable, str(Path(__file__).with_name("fetch_once.py")), request]
        environment = hub_environment(token, **more)
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        written = done.stderr + done.stdout
        assert TOKEN not in written, "a token was shown"
        return Outcome(
            path=Path(answer["path"]) if "path" in answer else None,
            kind=answer.get("kind", ""),
            error=answer.get("error", ""),
            hint=answer.get("hint", ""),
            lines=answer["lines"],
            written=written,
        )

    return run
