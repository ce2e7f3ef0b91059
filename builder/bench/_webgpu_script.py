"""What runs in the environment that has WebGPU, with a request as JSON: measures, or why there are none, as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime as ort

from builder.bench._decoders import Load, measure_in_turns

PROVIDER = "WebGpuExecutionProvider"


def answer(request: dict[str, Any]) -> dict[str, Any]:
    if PROVIDER not in ort.get_available_providers():
        return {"why": f"onnxruntime {ort.__version__} has no {PROVIDER}"}
    sessions = {}
    for name, path in request["graphs"].items():
        try:
            sessions[name] = _open(Path(path))
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            return {"why": f"{name} does not open there ({str(error).splitlines()[0]})"}
        if sessions[name].get_providers()[0] != PROVIDER:
            return {"why": f"onnxruntime opened {name} on {sessions[name].get_providers()[0]}"}
    loads = tuple(Load(**load) for load in request["loads"])
    measures = measure_in_turns(sessions, loads, request["vocabulary"], _say, where=request["where"])
    return {"measures": [asdict(measure) for measure in measures], "version": ort.__version__}


def _open(path: Path) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=[PROVIDER, "CPUExecutionProvider"])


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    print(json.dumps(answer(json.loads(sys.argv[1]))))
