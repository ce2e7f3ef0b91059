"""Which recipe each dtype of a component is made with: candidates are made, run against fp32, and compared.

Start with `Chooser`. Of the candidates of one dtype that keep the budget the smallest wins, or one `NEAR` to it in size
and nearer to fp32; where none keeps it, the one nearest to fp32. Small graphs are measured in all worth it.
Making a large one takes many seconds, so there candidates come in the order of the sizes that they will have, and
the first that keeps the budget ends the search. After `LARGE_TRIES` failures the one in the middle and the largest are
tried. What was found for q4 is taken for q4f16. Whoever asks for every candidate gets each dtype × method × block, of
large graphs too; those with blocks that the budget leaves out are measured for the report alone.

Errors are of tensors, each component fed with what fp32 feeds it. What they mean for the task is for verify to measure.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from builder.errors import QuantizeError, VerifyError
from builder.graphs import chunk_paths, load_graph, save_graph
from builder.manifest import SUFFIXES, Budget, ErrorMeasure
from builder.measurements import Candidate, KeptNode, ValueRange
from builder.parity import Reference, measure
from builder.quantize.convolutions import is_pointwise
from builder.quantize.half import keep_single
from builder.quantize.recipe import HALF, INTEGER, Recipe, candidates, has_slow_blocks, suits
from builder.quantize.weights import lift_constants, name_nodes

if TYPE_CHECKING:
    from onnx import ModelProto

    from builder.quantize.ranges import Ranges

LARGE_BYTES = 50_000_000
"""Graphs with more fp32 weights than this are not measured in every candidate, whoever asks."""
LARGE_TRIES = 2
TWINS = {"q4": "q4f16", "q4f16": "q4"}
NEAR = 1.02
"""For so little more a smaller error is worth having."""
MOST_RANGES = 40
LADDERS = (("q4", "q8"), ("q4f16", "q4", "q8", "fp16"), (INTEGER,))
"""What to make when nobody says: for tiers without and with float16, each until one keeps the budget, and for WASM."""

Convert = Callable[["ModelProto", Recipe, "Ranges | None"], "ModelProto"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A candidate; ``why`` it cannot be made or run, where it has no error."""

    recipe: Recipe
    path: Path
    size_bytes: int
    error: ErrorMeasure | None
    why: str = ""


def best_trial(trials: Sequence[Trial], budget: Budget) -> Trial | None:
    """The trial of one dtype that is worth writing; None where none of them runs."""
    able = [trial for trial in trials if trial.error is not None]
    keeping = [trial for trial in able if budget.keeps(trial.error)]
    if keeping:
        limit = NEAR * min(trial.size_bytes for trial in keeping)
        able = [trial for trial in keeping if trial.size_bytes <= limit]
    return min(able, key=lambda trial: trial.error.relative if trial.error else 0.0, default=None)


@dataclass(kw_only=True)
class Chooser:
    """Makes and measures the candidates of one component; their files stay below ``folder``.

    ``ranges`` is asked for when the first float16 candidate is made. ``every`` is True for all there are, False to
    hurry small graphs too, None for what is worth it; ``method`` is for those of one method alone.
    """

    component: str
    source: Path
    folder: Path
    reference: Reference
    budget: Budget
    convert: Convert
    ranges: Callable[[], Ranges]
    every: bool | None = None
    method: str | None = None
    report: Callable[[str], None] | None = None
    best: dict[str, Trial] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.budget = self.budget.of(self.component)
        self.graph = load_graph(self.source, weights=False)
        name_nodes(self.graph)
        lift_constants(self.graph)
        self.hurry = not self.every and (self.every is False or weight_bytes(self.graph) > LARGE_BYTES)

    def choose(self, dtypes: Sequence[str] | None) -> dict[str, Trial]:
        """Make ``dtypes``, or what a tier may want; the best trial of each that could be made.

        A dtype without a single candidate that runs is left out; `trials` has the reasons.
        """
        if dtypes is not None:
            for dtype in dict.fromkeys(dtypes):
                if suits(dtype, self.component):
                    self._make(dtype)
        else:
            for ladder in LADDERS:
                for dtype in ladder:
                    if dtype not in self.best and suits(dtype, self.component):
                        self._make(dtype)
                    if self.hurry and dtype in self.best and self.budget.keeps(self.best[dtype].error):
                        break
        return dict(self.best)

    def candidates(self, taken: set[str]) -> tuple[Candidate, ...]:
        """Everything that was tried, for the report; ``taken`` are the dtypes that were written."""
        return tuple(
            Candidate(
                dtype=trial.recipe.dtype,
                recipe=trial.recipe.label(),
                size_bytes=trial.size_bytes,
                error=trial.error,
                chosen=trial is self.best.get(trial.recipe.dtype) and trial.recipe.dtype in taken,
                why=trial.why,
            )
            for trial in self.trials
        )

    def value_ranges(self) -> tuple[ValueRange, ...]:
        """The largest values inside the fp32 graph, and all that stay float32; nothing without a float16 candidate."""
        if not self._has_halves():
            return ()
        ranges, kept = self.ranges(), {node.tensor for node in self.kept()}
        logits = {f"{node} logits": value for node, value in ranges.logits.items()}
        values = {**ranges.greatest, **ranges.constants, **logits}
        largest = sorted(values, key=lambda name: -values[name])
        shown = [name for at, name in enumerate(largest) if at < MOST_RANGES or name in kept]
        return tuple(ValueRange(name=name, greatest=values[name], kept_fp32=name in kept) for name in shown)

    def kept(self) -> tuple[KeptNode, ...]:
        """The nodes that float16 candidates have in float32."""
        return keep_single(self.graph, self.ranges()) if self._has_halves() else ()

    def _has_halves(self) -> bool:
        return any(trial.recipe.dtype in HALF for trial in self.trials)

    def _make(self, dtype: str) -> None:
        found = candidates(
            self.graph, dtype, any_block=self.budget.any_block, every=bool(self.every), method=self.method
        )
        recipes = sorted(found, key=lambda recipe: estimate_bytes(self.graph, recipe))
        if self.hurry and (twin := self.best.get(TWINS.get(dtype, ""))) is not None:
            # Their weights are the same, and what did not do there will not do here.
            recipes = [replace(twin.recipe, dtype=dtype)]
        if self.hurry and len(recipes) > LARGE_TRIES + 2:
            recipes = [*recipes[:LARGE_TRIES], recipes[len(recipes) // 2], recipes[-1]]
        tried = len(self.trials)
        for recipe in recipes:
            trial = self._try(recipe)
            self.trials.append(trial)
            if self.hurry and self.budget.keeps(trial.error):
                break
        made = self.trials[tried:]
        if len(made) < len(found):
            self.notes.append(f"{dtype}: {len(made)} of {len(found)} candidates measured; --every measures all")
        eligible = [t for t in made if self.budget.any_block or not has_slow_blocks(self.graph, t.recipe)]
        if (best := best_trial(eligible, self.budget)) is not None:
            self.best[dtype] = best

    def _try(self, recipe: Recipe) -> Trial:
        path = self.folder / str(len(self.trials)) / f"{self.component}{SUFFIXES[recipe.dtype]}.onnx"
        path.parent.mkdir(parents=True)
        ranges = self.ranges() if recipe.dtype in HALF else None
        try:
            save_graph(self.convert(load_graph(self.source), recipe, ranges), path)
        except QuantizeError as problem:  # a method whose library is not there; the report names it
            return self._told(Trial(recipe=recipe, path=path, size_bytes=0, error=None, why=problem.message))
        gc.collect()  # a graph's nodes know each other, so that its weights would wait for the collector
        size = sum(file.stat().st_size for file in (path, *chunk_paths(path)))
        try:
            error, why = measure(self.reference, self.component, path), ""
        except VerifyError as problem:  # a candidate that cannot run is no candidate; the report names it
            error, why = None, problem.message.replace(path.name, recipe.label())
        return self._told(Trial(recipe=recipe, path=path, size_bytes=size, error=error, why=why))

    def _told(self, trial: Trial) -> Trial:
        if self.report is not None:
            size = f"{trial.size_bytes / 1e6:,.1f} MB"
            told = trial.why if trial.error is None else f"{size}, cosine {trial.error.cosine:.5f}"
            self.report(f"{self.component} {trial.recipe.label()}: {told}")
        return trial


def weight_bytes(graph: ModelProto) -> int:
    """Bytes of a graph's fp32 weights, wherever they lie."""
    return sum(4 * int(np.prod(tensor.dims, dtype=np.int64)) for tensor in graph.graph.initializer)


def estimate_bytes(graph: ModelProto, recipe: Recipe) -> float:
    """About how large the graph becomes by ``recipe``: good enough to sort the candidates of one dtype by."""
    kinds = _weight_kinds(graph)
    plain = 2 if recipe.dtype in HALF else 4
    bits = recipe.bits
    kernels = {"int8": 1, "fp16": 2, "fp32": 4}[recipe.depthwise]
    total = 0.0
    for tensor in graph.graph.initializer:
        count = int(np.prod(tensor.dims, dtype=np.int64))
        kind = kinds.get(tensor.name)
        width = {"pointwise": recipe.pointwise_bits, "product": bits, "table": bits}.get(kind or "")
        if width is not None:
            inner = tensor.dims[1] if kind in ("pointwise", "table") else tensor.dims[0]
            blocks = math.ceil(inner / recipe.block_size)
            zeros = 0 if recipe.symmetric else width / 8
            data = inner if kind == "table" else blocks * recipe.block_size  # a product's last block is filled up
            total += count / inner * (data * width / 8 + blocks * (plain + zeros))
        else:
            total += count * (min(kernels, plain) if kind == "kernel" and bits else plain)
    return total


def _weight_kinds(graph: ModelProto) -> dict[str, str]:
    """Weight → what it is used for: product, table, pointwise or kernel."""
    dims = {tensor.name: tuple(tensor.dims) for tensor in graph.graph.initializer}
    kinds: dict[str, str] = {}
    for node in graph.graph.node:
        weights = [name for name in node.input if name in dims]
        if not weights:
            continue
        if node.op_type in ("MatMul", "Gemm") and len(dims[weights[0]]) == 2:
            kinds[weights[0]] = "product"
        elif node.op_type == "Gather" and len(dims[weights[0]]) == 2:
            kinds[weights[0]] = "table"
        elif node.op_type == "Conv":
            kinds[weights[0]] = "pointwise" if is_pointwise(node, dims[weights[0]]) else "kernel"
    return kinds
