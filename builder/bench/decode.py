"""bench decode: a token with 280 past positions and a prompt of 280, Qwen2-0.5B at full size with random weights, q4.

280 is what a picture and a question take in FastVLM-0.5B. Natively all contestants are open at once and take turns in
one process with the same number of threads; on WASM they take turns in processes, on WebGPU in one of an environment
with onnxruntime's build for it. "Before" are ours without one of the fixes that this bench led to: _variants.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from builder.bench._checkpoints import ARCHITECTURES, QWEN2_05B
from builder.bench._contract import BEFORE, OURS, Bench, Goal, Measure, Outcome, Setting
from builder.bench._decoders import Load, count_nodes, measure_in_turns, open_native
from builder.bench._pipeline import make_plain, make_quantized
from builder.bench._shipped import shipped_graph
from builder.bench._variants import with_every_logit
from builder.bench._wasm import measure_wasm
from builder.bench._webgpu import measure_webgpu
from builder.bench.peers import optimum_onnx
from builder.manifest import DECODER
from builder.sessions import usable_cores

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
NATIVE, WASM, WEBGPU = "native CPU", "WASM", "WebGPU"
EVERY_LOGIT, FOUR_BITS = f"{BEFORE}, logits of every position", f"{BEFORE}, weights of 4 bits"
OURS_HALF = f"{OURS}, q4f16"
MOST_NODES = 300
TIMES = {(NATIVE, PROMPT): 2.0, (NATIVE, TOKEN): 2.0, (WASM, PROMPT): 1.5, (WASM, TOKEN): 1.5, (WEBGPU, TOKEN): 3.0}
"""How many times as fast as the peer's ours are to be."""
PEER = optimum_onnx.PEER.name
NODES, WEIGHTS = "nodes, each a dispatch at least", "weights read for each token"


def _run(setting: Setting) -> Outcome:
    folder = _ours(setting)
    # A browser without a GPU gets another decoder than one with it, and than a server.
    full, half, whole_numbers = (shipped_graph(folder, DECODER, tier) for tier in ("webgpu", "webgpu-f16", "wasm"))
    peers = {}
    if setting.wants(PEER) and not setting.models:
        peers[PEER] = optimum_onnx.make_decoder(QWEN2_05B, "Qwen2-0.5B", setting.work, setting.report)
    before = {}
    if not setting.models:
        before = {EVERY_LOGIT: with_every_logit(full, setting.work / "variants" / folder.name)}
    native = {OURS: full, **before, **peers}
    wasm = {OURS: whole_numbers, FOUR_BITS: full, **peers}
    webgpu = {OURS: full, OURS_HALF: half, **peers}
    vocabulary, threads = _vocabulary(setting), usable_cores()
    sessions = {name: open_native(path, threads) for name, path in native.items()}
    measures = measure_in_turns(sessions, LOADS, vocabulary, setting.report, where=NATIVE)
    sessions.clear()
    of_wasm, told_wasm = measure_wasm(wasm, WASM_LOADS, vocabulary, setting.work, setting.report, where=WASM)
    of_webgpu, told_webgpu = measure_webgpu(webgpu, LOADS, vocabulary, setting.work, setting.report, where=WEBGPU)
    measures += [*of_wasm, *of_webgpu, *_counts({**webgpu, f"{OURS} on WASM": whole_numbers})]
    return Outcome(
        measures=tuple(measures),
        goals=_goals(measures, peers=bool(peers)),
        notes=(
            f"{threads} threads natively. The peer computes the logits of every position of the prompt, ours those of "
            "the last, which is all that greedy decoding reads.",
            told_wasm,
            f"Ours natively is the decoder of the WebGPU tier ({full.name}), on WASM that of the WASM tier "
            f"({whole_numbers.name}).",
            f"{told_webgpu} 16-bit floats run nowhere else, because processors only imitate them. Where a GPU is "
            "missing, what it would do for a token stands in: a node is one dispatch at least, and a token reads every "
            "weight once.",
        ),
    )


def _counts(graphs: Mapping[str, Path]) -> list[Measure]:
    """What a token takes on any device: operators to run, and weights to read."""
    nodes = [Measure(case=NODES, contestant=name, unit="", values=(count_nodes(p),)) for name, p in graphs.items()]
    sizes = [Measure(case=WEIGHTS, contestant=name, unit="MB", values=(_bytes(p) / 1e6,)) for name, p in graphs.items()]
    return nodes + sizes


def _vocabulary(setting: Setting) -> int:
    """Ids to fill a prompt with: those of the compared decoder, of a user's own any that it surely has."""
    return 256 if setting.models else int(QWEN2_05B["vocab_size"])


def _ours(setting: Setting) -> Path:
    """A web model with what each tier ships: the user's, or one of the architecture that is compared."""
    if setting.models:
        return setting.models[0]
    plain = make_plain(ARCHITECTURES["FastVLM-0.5B"], setting.work, setting.report)
    return make_quantized(plain, "balanced", setting.report).path


def _bytes(path: Path) -> int:
    """Of a graph and of what lies beside it under its name."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def _goals(measures: list[Measure], *, peers: bool) -> tuple[Goal, ...]:
    def median(case: str, contestant: str) -> float | None:
        found = [m.median for m in measures if (m.case, m.contestant) == (case, contestant)]
        return found[0] if found else None

    goals = [Goal(text="nodes of the decoder", limit=MOST_NODES, value=median(NODES, OURS))]
    for (where, load), limit in TIMES.items() if peers else ():
        ours, theirs = median(f"{where}: {load}", OURS), median(f"{where}: {load}", PEER)
        ratio = theirs / ours if ours and theirs else None
        goals.append(Goal(text=f"{where}, {load}: times as fast", limit=limit, value=ratio, at_most=False, unit="×"))
    for where, load, before in ((NATIVE, PROMPT, EVERY_LOGIT), (WASM, TOKEN, FOUR_BITS)):
        ours, then = median(f"{where}: {load}", OURS), median(f"{where}: {load}", before)
        ratio = then / ours if ours and then else None
        text = f"{where}, {load}: times as fast as {before.removeprefix(OURS).strip()}"
        goals.append(Goal(text=text, limit=1, value=ratio, at_most=False, unit="×"))
    return tuple(goals)


BENCH = Bench(
    name="decode",
    summary="a prompt and a token of a Qwen2-0.5B decoder in q4",
    run=_run,
    peers=(PEER,),
)
