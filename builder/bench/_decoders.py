"""Decoders as a conversation runs them: a prompt of some tokens, then one token after it, in native onnxruntime.

Graphs differ in what they take (ids or embeddings, positions or none, how many logits); feeds are made from what a
graph declares, so that contestants do the same work each in its own way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builder.bench._contract import Measure, Report
from builder.errors import BenchError
from builder.manifest import Manifest

TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True, kw_only=True)
class Load:
    """One run: ``new`` tokens on top of ``past`` ones, measured ``times`` times after ``warm_up`` others."""

    label: str
    new: int
    past: int
    times: int
    warm_up: int = 1


def open_native(path: Path, threads: int) -> Any:
    """A session on the CPU with a fixed number of threads, the same for every contestant."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def feeds(session: Any, load: Load, manifest: Manifest | None = None, vocabulary: int = 256) -> dict[str, np.ndarray]:
    """What the graph declares as inputs, filled for ``load``; seeded. Encoders take their sizes from the manifest."""
    random = np.random.default_rng(0)
    texts = load.new or (manifest.context.text_tokens if manifest is not None else 1)
    found: dict[str, np.ndarray] = {}
    for declared in session.get_inputs():
        name, kind = declared.name, TYPES[declared.type]
        if name == "input_ids":
            found[name] = random.integers(0, vocabulary, (1, texts)).astype(kind)
        elif name == "inputs_embeds":
            found[name] = (0.02 * random.standard_normal((1, load.new, int(declared.shape[-1])))).astype(kind)
        elif name == "attention_mask":
            found[name] = np.ones((1, load.past + texts), kind)
        elif name == "position_ids":
            found[name] = np.arange(load.past, load.past + load.new, dtype=kind)[None]
        elif name == "num_logits_to_keep":
            found[name] = np.array(1, kind)
        elif name.startswith("past_key_values"):
            _, heads, _, width = declared.shape
            found[name] = random.standard_normal((1, int(heads), load.past, int(width))).astype(kind)
        elif manifest is not None and name in ("pixel_values", "pixel_attention_mask"):
            edges = (manifest.image.height, manifest.image.width)
            shape = (*(1,) * (len(declared.shape) - 2), *edges) if name != "pixel_values" else ()
            shape = shape or (*(1,) * (len(declared.shape) - 3), 3, *edges)
            found[name] = (random.random(shape) if name == "pixel_values" else np.ones(shape)).astype(kind)
        else:
            raise BenchError(f"nothing is known to fill the input {name} with")
    return found


def measure_in_turns(
    sessions: Mapping[str, Any], loads: tuple[Load, ...], vocabulary: int, report: Report, *, where: str
) -> list[Measure]:
    """Every contestant runs every load once after the other, as often as the load says; milliseconds."""
    measures = []
    for load in loads:
        report(f"{where}: {load.label}")
        runs = {
            name: _runner(session, feeds(session, load, vocabulary=vocabulary)) for name, session in sessions.items()
        }
        values: dict[str, list[float]] = {name: [] for name in sessions}
        for turn in range(load.warm_up + load.times):
            for name, run in runs.items():
                started = time.perf_counter()
                run()
                if turn >= load.warm_up:
                    values[name].append(1e3 * (time.perf_counter() - started))
        for name, taken in values.items():
            measures.append(Measure(case=f"{where}: {load.label}", contestant=name, unit="ms", values=tuple(taken)))
    return measures


def _runner(session: Any, given: dict[str, np.ndarray]) -> Callable[[], object]:
    return lambda: session.run(None, given)


def count_nodes(path: Path) -> int:
    """Nodes of a graph, its weights not loaded."""
    import onnx

    return len(onnx.load(str(path), load_external_data=False).graph.node)
