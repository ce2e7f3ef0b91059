"""One ONNX file running in onnxruntime on the CPU, as verify and the scores use it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from builder.errors import VerifyError


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Session:
    """One ONNX file in onnxruntime on the CPU."""

    def __init__(self, path: Path, *, threads: int = 0, prepack: bool = True) -> None:
        """Load a graph. With ``threads``, a run takes so many: 1 where several run at once; 0 is all cores.

        Without ``prepack``, runs are slower, and float32 weights are held once, not twice.
        """
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        if not prepack:
            options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            raise VerifyError(
                f"{path.name} does not load: {error}", hint="quantize or export the model again"
            ) from error
        self.name = path.name
        self.inputs = {i.name: i for i in self.session.get_inputs()}
        self.outputs = [o.name for o in self.session.get_outputs()]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            values = self.session.run(None, dict(feeds))
        except Exception as error:  # as above
            raise VerifyError(
                f"{self.name} does not run: {error}", hint="quantize or export the model again"
            ) from error
        return dict(zip(self.outputs, values, strict=True))

    def empty_cache(self) -> dict[str, np.ndarray]:
        """A key-value cache of length 0, in the type that the graph declares."""
        types = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        return {
            name: np.zeros((1, int(i.shape[1]), 0, int(i.shape[3])), types[i.type])
            for name, i in self.inputs.items()
            if name.startswith("past_key_values.")
        }
