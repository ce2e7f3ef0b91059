"""`webgpu-demo fallback`: it runs until Ctrl-C and leaves nothing, and writes a folder that makes a container."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from builder.embedded import model_dir
from builder.errors import FallbackError, ModelError
from builder.fallback import write_container
from tests.conftest import RunCli

StartCli = Callable[..., "subprocess.Popen[str]"]
SECONDS = 120
HEALTH = "gradio_api/run/health"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_command_serves_until_it_is_stopped_and_leaves_nothing(stop: signal.Signals, start_cli: StartCli) -> None:
    port = free_port()
    process = start_cli("fallback", str(model_dir("scenes-clip")), "--port", str(port))
    assert process.stdout is not None
    assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}/"
    (app,) = psutil.Process(process.pid).children()
    uploads = Path(app.environ()["GRADIO_TEMP_DIR"])
    assert uploads.is_dir()
    health = httpx.post(f"http://127.0.0.1:{port}/{HEALTH}", json={"data": []}, timeout=60).json()["data"][0]
    assert health["name"] == "scenes-clip"
    process.send_signal(stop)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert said.strip().splitlines()[-1] == "stopped"
    assert "Traceback" not in said
    assert not app.is_running()
    assert not uploads.exists()
    assert not is_open(port)


def test_taken_port_and_wrong_folder_are_refused_in_words(run_cli: RunCli, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_cli("fallback", str(model_dir("scenes-clip")), "--port", port)
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    (tmp_path / "empty").mkdir()
    done = run_cli("fallback", str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "is no web model" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_model_that_is_not_complete_is_named_by_the_app(run_cli: RunCli, tmp_path: Path) -> None:
    model = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "model"))
    (model / "onnx" / "text_model.onnx").unlink()
    done = run_cli("fallback", str(model))
    assert done.returncode == 1
    assert "onnx/text_model.onnx is missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_container_holds_what_the_app_opens_and_nothing_else(quantized_models: dict[str, Path], tmp_path: Path) -> None:
    for name, model in quantized_models.items():
        written = write_container(model, tmp_path / name)
        manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
        tier = manifest["tiers"]["wasm"]
        graphs = {path.name for path in (written.path / "model" / "onnx").iterdir()}
        expected = {
            Path(manifest["components"][component][dtype]["path"]).name
            for component, dtype in tier.items()
            if component != "model"
        }
        assert graphs == expected
        text = (written.path / "Dockerfile").read_text(encoding="utf-8")
        assert f"the model {name}" in text
        assert "USER app" in text
        assert not [line for line in text.splitlines() if line != line.rstrip()]


@contextmanager
def contained(folder: Path, root: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """Do what the Dockerfile says in a folder of this machine: its COPY, ENV and CMD."""
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    workdir = root / (re.search(r"^WORKDIR /(.*)$", text, re.MULTILINE) or [""])[1]
    workdir.mkdir(parents=True)
    for source, target in re.findall(r"^COPY (\S+) (\S+)$", text, re.MULTILINE):
        if (folder / source).is_dir():
            shutil.copytree(folder / source, workdir / target, dirs_exist_ok=True)
        else:
            shutil.copy(folder / source, workdir / target)
    environment = {
        name: value.replace("/app", str(workdir)) for name, value in re.findall(r"^ENV (\w+)=(.*)$", text, re.M)
    }
    environment |= {"PATH": os.environ["PATH"], "HOME": str(root), "GRADIO_SERVER_PORT": str(port)}
    environment |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_TEMP_DIR": str(root / "uploads")}
    (command,) = re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)
    words = [word.replace("/app/", f"{workdir}/") for word in json.loads(command)]
    assert words[0] == "python"
    process = subprocess.Popen([sys.executable, *words[1:]], cwd=workdir, env=environment)
    try:
        yield process, environment
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)


@pytest.mark.slow
def test_container_of_the_dockerfile_answers_and_is_healthy(tmp_path: Path) -> None:
    written = write_container(model_dir("scenes-vlm"), tmp_path / "box")
    text = (written.path / "Dockerfile").read_text(encoding="utf-8")
    (check,) = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", text, re.MULTILINE)
    port = free_port()
    with contained(written.path, tmp_path / "root", port) as (process, environment):
        workdir = tmp_path / "root" / "app"
        words = [sys.executable, json.loads(check)[1].replace("/app/", f"{workdir}/")]
        assert subprocess.run(words, env=environment, capture_output=True, check=False).returncode != 0
        wait_for(lambda: process.poll() is not None or is_open(port))
        wait_for(lambda: subprocess.run(words, env=environment, capture_output=True, check=False).returncode == 0)
        assert process.poll() is None


def test_container_command_prints_how_to_build_and_run_it(run_cli: RunCli, tmp_path: Path) -> None:
    out = tmp_path / "box"
    for _ in range(2):  # the second run replaces the first
        done = run_cli("fallback", str(model_dir("scenes-clip")), "--dockerfile", str(out), "--json")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["model"] == "scenes-clip"
        assert [shlex.split(command)[:2] for command in answer["commands"]] == [["docker", "build"], ["docker", "run"]]


def test_folder_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(FallbackError, match="no container"):
        write_container(model_dir("scenes-clip"), tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("damage", ["bytes", "missing", "outside"])
def test_damaged_model_makes_no_container(damage: str, tmp_path: Path) -> None:
    model = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "model"))
    graph = model / "onnx" / "text_model.onnx"
    if damage == "bytes":
        data = bytearray(graph.read_bytes())
        data[1000] ^= 1
        graph.write_bytes(data)
    elif damage == "missing":
        graph.unlink()
    else:
        text = (model / "manifest.json").read_text(encoding="utf-8")
        (model / "manifest.json").write_text(text.replace("tokenizer.json", "../tokenizer.json", 1), encoding="utf-8")
        shutil.copy(model / "tokenizer.json", tmp_path)
    with pytest.raises(ModelError):
        write_container(model, tmp_path / "box")
    assert not (tmp_path / "box").exists()
