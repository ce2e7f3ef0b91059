"""The export command on Hub ids: what it refuses before a weight is fetched, and what it makes of a repository."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints._exported import Exported
from tests.hub.conftest import small_checkpoint, write_safetensors
from tests.hub.server import Hub
from tests.hub.test_fetch import ARRIVING, REPO, WEIGHTS


@pytest.fixture
def checkpoint(hub: Hub, tmp_path: Path) -> Path:
    folder = small_checkpoint(tmp_path / "repository")
    hub.add(REPO, folder)
    return folder


def test_export_command_names_the_page_of_a_gated_model(
    hub: Hub, hub_environment: Callable[..., dict[str, str]], checkpoint: Path, tmp_path: Path
) -> None:
    hub.add(REPO, checkpoint, gated=True)
    done = run_export(hub_environment(), tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("error: ") == 1
    assert f"accept the terms on {hub.address}/{REPO}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("config", "counted", "words"),
    [
        ({"model_type": "florence2"}, None, "somebody/small-vlm is of no supported family"),
        ({"model_type": "fast_vlm"}, 7_600_000_000, "somebody/small-vlm has 7.60 billion parameters"),
    ],
)
def test_export_command_refuses_before_a_weight_is_fetched(
    config: dict[str, str],
    counted: int | None,
    words: str,
    hub: Hub,
    hub_environment: Callable[..., dict[str, str]],
    checkpoint: Path,
    tmp_path: Path,
) -> None:
    (checkpoint / "config.json").write_text(json.dumps(config), encoding="utf-8")
    hub.counted = counted
    done = run_export(hub_environment(), tmp_path)
    assert done.returncode == 1
    assert words in done.stderr
    assert set(hub.fetched()) == ARRIVING - {WEIGHTS}
    assert not [seen for seen in hub.requests if WEIGHTS in seen.path]


def test_export_command_refuses_an_adapter_before_it_is_fetched(
    hub: Hub, hub_environment: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "adapter"
    write_safetensors(folder / "adapter_model.safetensors", {"lora_A.weight": np.ones(3)})
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "a/b"}', encoding="utf-8")
    hub.add(REPO, folder)
    done = run_export(hub_environment(), tmp_path)
    assert "adapter" in done.stderr
    assert "a/b" in done.stderr
    assert hub.fetched() == ["adapter_config.json"]


@pytest.mark.slow
def test_export_command_turns_a_repository_into_a_web_model(
    hub: Hub, hub_environment: Callable[..., dict[str, str]], exported_case: Callable[[str], Exported], tmp_path: Path
) -> None:
    from builder.manifest import read_manifest

    hub.add(REPO, exported_case("clip-v4").checkpoint)
    done = run_export(hub_environment(), tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_manifest(tmp_path / "small-vlm-web").family == "clip"


def run_export(environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "builder", "export", REPO]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=300, check=False
    )
