"""Which recipe each dtype of a component is made with: candidates are made, run against fp32, and compared.

Start with `Chooser`. Of the candidates of one dtype that keep the budget the smallest wins, or one that is `NEAR` to it
in size and nearer to fp32; where none keeps it, the one nearest to fp32. A small graph is measured in every candidate.
Making a large one takes many seconds, so there candidates come in the order of the sizes that they will have, and the
first that keeps the budget ends the search. After `LARGE_TRIES` failures the largest candidate is the last to be tried.
What was found for q4 is taken for q4f16.

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

from builder.errors import VerifyError
from builder.graphs import chunk_paths, load_graph, save_graph
from builder.manifest import SUFFIXES, Budget, ErrorMeasure
from builder.measurements import Candidate, ValueRange
from builder.parity import Reference, measure
from builder.quantize.recipe import INTEGER, Recipe, candidates, suits

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
HALVES = ("fp16", "q4f16")
LADDERS = (("q4", "q8"), ("q4f16", "q4", "q8", "fp16"), (INTEGER,))
"""What to make when nobody says: for tiers without and with float16, each until one keeps the budget, and for WASM."""

Convert = Callable[["ModelProto", Recipe, "Ranges | None"], "ModelProto"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A candidate that was made; ``why`` it cannot run, where it has no error."""

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

    ``ranges`` is asked for when the first float16 candidate is made. Without ``every`` small graphs are hurried too.
    """

    component: str
    source: Path
    folder: Path
    reference: Reference
    budget: Budget
    convert: Convert
    ranges: Callable[[], Ranges]
    every: bool = True
    report: Callable[[str], None] | None = None
    best: dict[str, Trial] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.budget = self.budget.of(self.component)
        self.graph = load_graph(self.source, weights=False)
        self.hurry = not self.every or weight_bytes(self.graph) > LARGE_BYTES

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
        if all(trial.recipe.dtype not in HALVES for trial in self.trials):
            return ()
        ranges = self.ranges()
        kept = {found.tensor for node in self.graph.graph.node if (found := ranges.beyond(node)) is not None}
        values = {**ranges.greatest, **{f"{node} logits": value for node, value in ranges.logits.items()}}
        largest = sorted(values, key=lambda name: -values[name])
        shown = [name for at, name in enumerate(largest) if at < MOST_RANGES or name in kept]
        return tuple(ValueRange(name=name, greatest=values[name], kept_fp32=name in kept) for name in shown)

    def _make(self, dtype: str) -> None:
        recipes = sorted(
            candidates(self.graph, dtype, any_block=self.budget.name == "small"),
            key=lambda recipe: estimate_bytes(self.graph, recipe),
        )
        if self.hurry and (twin := self.best.get(TWINS.get(dtype, ""))) is not None:
            # Their weights are the same, and what did not do there will not do here.
            recipes = [replace(twin.recipe, dtype=dtype)]
        if self.hurry and len(recipes) > LARGE_TRIES + 1:
            recipes = [*recipes[:LARGE_TRIES], recipes[-1]]
        for recipe in recipes:
            trial = self._try(recipe)
            self.trials.append(trial)
            if self.hurry and self.budget.keeps(trial.error):
                break
        if (best := best_trial([t for t in self.trials if t.recipe.dtype == dtype], self.budget)) is not None:
            self.best[dtype] = best

    def _try(self, recipe: Recipe) -> Trial:
        path = self.folder / str(len(self.trials)) / f"{self.component}{SUFFIXES[recipe.dtype]}.onnx"
        path.parent.mkdir(parents=True)
        ranges = self.ranges() if recipe.dtype in HALVES else None
        save_graph(self.convert(load_graph(self.source), recipe, ranges), path)
        gc.collect()  # a graph's nodes know each other, so that its weights would wait for the collector
        size = sum(file.stat().st_size for file in (path, *chunk_paths(path)))
        try:
            error, why = measure(self.reference, self.component, path), ""
        except VerifyError as problem:  # a candidate that cannot run is no candidate; the report names it
            error, why = None, problem.message.replace(path.name, recipe.label())
        if self.report is not None:
            told = why if error is None else f"{size / 1e6:,.1f} MB, cosine {error.cosine:.5f}"
            self.report(f"{self.component} {recipe.label()}: {told}")
        return Trial(recipe=recipe, path=path, size_bytes=size, error=error, why=why)


def weight_bytes(graph: ModelProto) -> int:
    """Bytes of a graph's fp32 weights, wherever they lie."""
    return sum(4 * int(np.prod(tensor.dims, dtype=np.int64)) for tensor in graph.graph.initializer)


def estimate_bytes(graph: ModelProto, recipe: Recipe) -> float:
    """About how large the graph becomes by ``recipe``: good enough to sort the candidates of one dtype by."""
    kinds = _weight_kinds(graph)
    plain = 2 if recipe.dtype in HALVES else 4
    bits = {"q8": 8, "q4": 4, "q4f16": 4}.get(recipe.dtype)
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
            kernel = dims[weights[0]]
            grouped = any(a.name == "group" and a.i > 1 for a in node.attribute)
            kinds[weights[0]] = "pointwise" if set(kernel[2:]) == {1} and not grouped else "kernel"
    return kinds
