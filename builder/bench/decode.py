"""bench decode: a token with 280 past positions and a prompt of 280, Qwen2-0.5B at full size with random weights, q4.

280 is what a picture and a question take in FastVLM-0.5B. Natively both contestants are open at once and take turns in
one process with the same number of threads; on WASM they take turns in processes.
"""

from __future__ import annotations

import os
from pathlib import Path

from builder.bench._checkpoints import ARCHITECTURES, QWEN2_05B
from builder.bench._contract import OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._decoders import Load, count_nodes, measure_in_turns, open_native
from builder.bench._pipeline import make_plain, make_quantized
from builder.bench._shipped import shipped_graph
from builder.bench._wasm import measure_wasm
from builder.bench.peers import optimum_onnx
from builder.manifest import DECODER

POSITIONS = 280
PROMPT, TOKEN = f"prompt of {POSITIONS}", f"one token after {POSITIONS}"
LOADS = (
    Load(label=PROMPT, new=POSITIONS, past=0, times=5),
    Load(label=TOKEN, new=1, past=POSITIONS, times=25),
)
WASM_LOADS = (
    Load(label=TOKEN, new=1, past=POSITIONS, times=8, warm_up=2),
    Load(label=PROMPT, new=POSITIONS, past=0, times=1, warm_up=0),  # half a minute each; the tokens have warmed it up
)
NATIVE, WASM = "native CPU", "WASM"
MOST_NODES = 300
HALF = "nodes of the decoder with 16-bit floats"


def _run(setting: Setting) -> Outcome:
    folder = _ours(setting)
    # A browser without a GPU gets another decoder than one with it, and than a server.
    ours = {where: shipped_graph(folder, DECODER, tier) for where, tier in ((NATIVE, "webgpu"), (WASM, "wasm"))}
    paths = {OURS: ours[NATIVE]}
    vocabulary = int(QWEN2_05B["vocab_size"])
    if setting.wants(optimum_onnx.PEER.name) and not setting.models:
        made = optimum_onnx.make_decoder(QWEN2_05B, "Qwen2-0.5B", setting.work, setting.report)
        paths[optimum_onnx.PEER.name] = made.path
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    sessions = {name: open_native(path, threads) for name, path in paths.items()}
    measures = measure_in_turns(sessions, LOADS, vocabulary, setting.report, where=NATIVE)
    del sessions
    found, why = measure_wasm(
        {**paths, OURS: ours[WASM]}, WASM_LOADS, vocabulary, setting.work, setting.report, where=WASM
    )
    measures += found
    nodes = {name: count_nodes(path) for name, path in paths.items()}
    sizes = {name: _bytes(path) / 1e6 for name, path in paths.items()}
    measures += [Measure(case="nodes", contestant=name, unit="", values=(n,)) for name, n in nodes.items()]
    measures += [Measure(case="size", contestant=name, unit="MB", values=(size,)) for name, size in sizes.items()]
    half = shipped_graph(folder, DECODER, "webgpu-f16")
    measures += [
        Measure(case=HALF, contestant=OURS, unit="", values=(count_nodes(half),)),
        Measure(
            case="16-bit floats, weights read for each token", contestant=OURS, unit="MB", values=(_bytes(half) / 1e6,)
        ),
    ]
    return Outcome(
        measures=tuple(measures),
        goals=_goals(measures, nodes[OURS], peers=len(paths) > 1),
        notes=(
            f"{threads} threads natively. The peer computes the logits of every position of the prompt, ours those of "
            "the last, which is all that greedy decoding reads.",
            why,
            f"Ours natively is the decoder of the WebGPU tier ({ours[NATIVE].name}), on WASM that of the WASM tier "
            f"({ours[WASM].name}, {_bytes(ours[WASM]) / 1e6:.0f} MB).",
            "WebGPU was not measured: this machine has no GPU, and a software adapter says nothing about speed. Nor "
            "were 16-bit floats, which processors only imitate: nodes, and weights read for a token, stand in.",
        ),
    )


def _ours(setting: Setting) -> Path:
    """A web model with what each tier ships: the user's, or one of the architecture that is compared."""
    if setting.models:
        return setting.models[0]
    plain = make_plain(ARCHITECTURES["FastVLM-0.5B"], setting.work, setting.report)
    return make_quantized(plain, "balanced", setting.report).path


def _bytes(path: Path) -> int:
    """Of a graph and of what lies beside it under its name."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def _goals(measures: list[Measure], nodes: int, *, peers: bool) -> tuple[Goal, ...]:
    goals = [Goal(text="nodes of the decoder", limit=MOST_NODES, value=nodes)]
    for where, limit in ((NATIVE, 2.0), (WASM, 1.5)) if peers else ():
        for load in LOADS:
            found = {m.contestant: m.median for m in measures if m.case == f"{where}: {load.label}"}
            ratio = found[optimum_onnx.PEER.name] / found[OURS] if len(found) == 2 else None
            goals.append(
                Goal(text=f"{where}, {load.label}: times as fast", limit=limit, value=ratio, at_most=False, unit="×")
            )
    return tuple(goals)


BENCH = Bench(
    name="decode",
    summary="a prompt and a token of a Qwen2-0.5B decoder in q4",
    run=_run,
    peers=(optimum_onnx.PEER.name,),
)
