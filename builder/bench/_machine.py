"""The machine that was measured on, without its name, its user or its folders."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from builder.sessions import usable_cores
from builder.versions import BUILDER, ONNXRUNTIME_WEB, TRANSFORMERS_JS

PACKAGES = ("onnx", "onnxruntime", "onnxruntime-genai", "torch", "transformers", "numpy")


def describe_machine() -> dict[str, str]:
    """Processor, cores that this process may use, memory, system, and how busy the machine was before."""
    import psutil

    described = {
        "processor": _processor(),
        "cores": str(usable_cores()),
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
    }
    if hasattr(os, "getloadavg"):
        described["load before"] = f"{os.getloadavg()[0]:.1f}"
    return described


def describe_versions() -> dict[str, str]:
    """This package, Python, and what does the work; packages that are not installed are left out."""
    found: dict[str, str] = {"webgpu-demo-builder": BUILDER, "Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found | {"transformers.js": TRANSFORMERS_JS, "onnxruntime-web": ONNXRUNTIME_WEB}


def slug(machine: Mapping[str, str]) -> str:
    """A folder name for the results of a machine: ``amd-epyc-2-cores``."""
    words = "".join(c if c.isalnum() else " " for c in machine["processor"].lower()).split()
    return "-".join([*words[:4], machine["cores"], "cores"])


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
