"""Decoders on WebGPU natively, in an environment with onnxruntime's build for it; only where there is a GPU.

A software adapter says nothing about speed, so none is looked for: what has no device file of a graphics processor is
skipped, and why is told.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from builder.bench._contract import Measure, Report
from builder.bench._decoders import Load
from builder.bench._processes import run
from builder.bench.peers._contract import Peer
from builder.bench.peers._environment import peer_python

ENVIRONMENT = Peer(
    name="webgpu",
    summary="onnxruntime's own build for WebGPU, for ours and for peers alike",
    requirements=("onnxruntime-webgpu==1.27.0", "numpy"),
)
SCRIPT = "builder.bench._webgpu_script"
DEVICES = ("dri/renderD*", "nvidia[0-9]*", "dxg")
"""How Linux calls graphics processors in /dev; Windows and macOS have one as a rule, and the run tells if not."""


def measure_webgpu(
    paths: Mapping[str, Path], loads: tuple[Load, ...], vocabulary: int, work: Path, report: Report, *, where: str
) -> tuple[list[Measure], str]:
    """Milliseconds of every load by contestant, and how they were taken or why there are none."""
    if missing := missing_gpu():
        return [], f"{where} was not measured: {missing}, and a software adapter says nothing about speed."
    python = peer_python(ENVIRONMENT, work, report)
    return run_webgpu(python, paths, loads, vocabulary, where=where)


def missing_gpu() -> str:
    """Why this machine has no graphics processor that could be used; empty where it has one."""
    if sys.platform != "linux" or any(any(Path("/dev").glob(pattern)) for pattern in DEVICES):
        return ""
    return f"this machine has no graphics processor (none of {', '.join(f'/dev/{pattern}' for pattern in DEVICES)})"


def run_webgpu(
    python: Path, paths: Mapping[str, Path], loads: tuple[Load, ...], vocabulary: int, *, where: str
) -> tuple[list[Measure], str]:
    """Run the contestants in turns in one process of an environment that has WebGPU.

    Raises:
        BenchError: the process fails.
    """
    request = {
        "graphs": {name: str(path) for name, path in paths.items()},
        "loads": [asdict(load) for load in loads],
        "vocabulary": vocabulary,
        "where": where,
    }
    package = str(Path(__file__).parents[2])
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))}
    done = run([str(python), "-m", SCRIPT, json.dumps(request)], what=where, environment=environment)
    answer = json.loads(done.output.splitlines()[-1])
    if why := answer.get("why"):
        return [], f"{where} was not measured: {why}."
    measures = [Measure(**{**found, "values": tuple(found["values"])}) for found in answer["measures"]]
    return measures, f"{where} natively in onnxruntime {answer['version']}; each run copies its caches to and from it."
