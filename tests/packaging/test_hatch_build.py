"""The build hook: what it takes from the lock file, when it fetches, and what a wheel carries."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from builder.versions import BUILDER, ONNXRUNTIME_WEB, TRANSFORMERS_JS

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = REPOSITORY / "web_template"
MakeModel = Callable[..., Path]


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", REPOSITORY / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_lock() -> dict[str, object]:
    lock = json.loads((TEMPLATE / "package-lock.json").read_text(encoding="utf-8"))
    assert isinstance(lock, dict)
    return lock


def test_versions_are_those_of_the_lock_file() -> None:
    packages = read_lock()["packages"]
    assert isinstance(packages, dict)
    assert packages["node_modules/@huggingface/transformers"]["version"] == TRANSFORMERS_JS
    assert packages["node_modules/onnxruntime-web"]["version"] == ONNXRUNTIME_WEB


def test_lock_file_has_a_hash_for_every_package_and_no_registry() -> None:
    packages = read_lock()["packages"]
    assert isinstance(packages, dict)
    del packages[""]
    assert [path for path, entry in packages.items() if not entry.get("integrity", "").startswith("sha512-")] == []
    assert [path for path, entry in packages.items() if "resolved" in entry] == []


def test_browser_lock_keeps_hashes_and_leaves_node_only_packages_out(hook: ModuleType) -> None:
    whole = read_lock()["packages"]
    assert isinstance(whole, dict)
    lean = hook.browser_lock(read_lock())["packages"]
    assert {"node_modules/@huggingface/transformers", "node_modules/onnxruntime-web"} <= set(lean)
    assert not any(path.rpartition("node_modules/")[2] in hook.SERVER_ONLY for path in lean)
    assert not any(path.rpartition("node_modules/")[2].startswith(("typescript", "@img/", "@types/")) for path in lean)
    assert all(entry["integrity"] == whole[path]["integrity"] for path, entry in lean.items() if path)


def test_browser_lock_of_a_lock_without_a_needed_package_says_so(hook: ModuleType) -> None:
    lock = {"packages": {"": {"dependencies": {"a": "1"}}}}
    with pytest.raises(RuntimeError, match="names a and does not hold it"):
        hook.browser_lock(lock)


def test_runtime_is_current_until_a_file_or_the_lock_changes(hook: ModuleType, tmp_path: Path) -> None:
    template = tmp_path / "web_template"
    shutil.copytree(TEMPLATE / "runtime", template / "runtime")
    shutil.copy(TEMPLATE / "package-lock.json", template)
    assert hook.is_current(template)
    script = template / "runtime" / "transformers.min.js"
    content = script.read_bytes()
    script.write_bytes(content + b" ")
    assert not hook.is_current(template)
    script.write_bytes(content)
    assert hook.is_current(template)
    lock = read_lock()
    packages = lock["packages"]
    assert isinstance(packages, dict)
    packages["node_modules/typescript"]["version"] = "0.0.0"
    (template / "package-lock.json").write_text(json.dumps(lock))
    assert hook.is_current(template), "a development tool is no part of the runtime"
    packages["node_modules/onnxruntime-web"]["integrity"] = "sha512-other"
    (template / "package-lock.json").write_text(json.dumps(lock))
    assert not hook.is_current(template)


def test_runtime_licences_cover_what_is_vendored() -> None:
    text = (TEMPLATE / "runtime" / "THIRD_PARTY_LICENSES.md").read_text(encoding="utf-8")
    for package in ("@huggingface/transformers", "@huggingface/jinja", "@huggingface/tokenizers", "onnxruntime-common"):
        assert f"## {package} " in text
    assert "## onnxruntime-web " in text
    assert "Copyright (c) Microsoft Corporation" in text
    assert "Apache License" in text


def test_package_takes_nothing_that_only_lies_there(hook: ModuleType, tmp_path: Path) -> None:
    for name in ("gradio/app.py", "gradio/.env", "gradio/__pycache__/app.pyc", ".git/config", ".x.part/a", "a.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("node_modules", "screenshots"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_text("")
    assert sorted(hook._package_data(tmp_path, "builder/_spaces").values()) == [
        "builder/_spaces/a.part",
        "builder/_spaces/gradio/app.py",
    ]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the checkout, without fetching anything."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(REPOSITORY / name, copy)
    for name in ("builder", "web_template"):
        unwanted = shutil.ignore_patterns("node_modules", "__pycache__")
        shutil.copytree(REPOSITORY / name, copy / name, ignore=unwanted)
    (copy / "web_template" / "node_modules" / "left-over").mkdir(parents=True)
    (copy / "web_template" / "node_modules" / "left-over" / "index.js").write_text("// must not be packed")
    (copy / "web_template" / "pages" / ".env").write_text("PASSWORD=left-over")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.mark.slow
def test_wheel_carries_pages_runtime_models_and_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name == f"webgpu_demo_builder-{BUILDER}-py3-none-any.whl"
    for name in (
        "builder/_web_template/base.html",
        "builder/_web_template/pages/camera-caption/page.json",
        "builder/_web_template/runtime/ort-wasm-simd-threaded.jspi.wasm",
        "builder/_web_template/runtime/THIRD_PARTY_LICENSES.md",
        "builder/embedded/models/scenes-vlm/manifest.json",
        "builder/embedded/models/scenes-clip/onnx/text_model.onnx",
    ):
        assert name in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "node_modules" in name or name.startswith("tests")]
    assert not [name for name in names if "screenshots" in name or "/." in name]
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_package_unpacked_from_the_wheel_builds_a_site(wheel: Path, make_model: MakeModel, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    model = make_model()
    command = [sys.executable, "-m", "builder", "build", "camera-caption", "--model", str(model), "-o", "out"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shipped = installed / "builder" / "_web_template" / "runtime" / "transformers.min.js"
    assert (tmp_path / "out" / "runtime" / "transformers.min.js").read_bytes() == shipped.read_bytes()
