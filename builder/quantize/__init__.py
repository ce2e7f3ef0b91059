"""quantize: add dtype variants to a web model, from its fp32 graphs.

Start with `quantize`; choose.py makes and measures the candidates of recipe.py, `convert` makes one. weights.py does
matrix products, integers.py those of decoders on WASM, convolutions.py convolutions, embeddings.py tables, half.py
float16 by the values of ranges.py. Which variant a visitor gets builder/tiers.py says, here and in verify/.
The fp32 graphs are never changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from builder.card import write_card
from builder.errors import ModelError, QuantizeError, did_you_mean
from builder.folders import staged_changes
from builder.manifest import (
    DECODER,
    FILE_NAME,
    SUFFIXES,
    Budget,
    Manifest,
    Variant,
    file_entry,
    read_manifest,
    write_manifest,
)
from builder.measurements import command_line
from builder.quantize.recipe import METHODS, Recipe, suits
from builder.tiers import budget_options, choose_tiers, find_budget
from builder.webconfig import copy_texts, write_defaults

if TYPE_CHECKING:
    from onnx import ModelProto

    from builder.parity import Reference
    from builder.quantize.choose import Chooser, Trial
    from builder.quantize.ranges import Ranges


@dataclass(frozen=True, kw_only=True)
class QuantizeResult:
    """What was written: component → dtype → bytes, with fp32 beside for comparison, and → recipe.

    ``skipped`` are the components, and dtypes of components, that could not be made, and why.
    """

    path: Path
    sizes: dict[str, dict[str, int]]
    recipes: dict[str, dict[str, str]]
    budget: Budget
    skipped: dict[str, str]


def quantize(
    model_dir: Path,
    *,
    dtypes: Sequence[str] | None = None,
    quality: str | Budget = "balanced",
    images: Path | None = None,
    every: bool | None = None,
    method: str | None = None,
    report: Callable[[str], None] | None = None,
) -> QuantizeResult:
    """Add smaller variants to every component of a web model: each made by the recipe that measures best.

    Of each of ``dtypes`` (fp16, q8, q4, q4f16, and uint8 for decoders) the smallest variant that keeps the budget is
    written, or the one nearest to fp32 where none keeps it. Without ``dtypes`` only those variants are written that
    some device tier then gets. ``quality`` is high, balanced, small, or a budget of your own; tiers are chosen by it
    here and, on its own measurements, by `verify`.

    A component that cannot be quantized, because it is already or has custom operators, stays as it is and is told of,
    and so is a dtype of which no candidate can run; the others are made.

    All files are made beside the model and moved in together, the manifest last: an interrupted run leaves what was
    there and can be run again. A variant that is already there is made anew; other dtypes stay.

    Args:
        images: a folder of pictures to measure on, in place of drawn scenes.
        every: measure all there is to measure, every dtype × method × block, however long it takes. By default small
            graphs are measured in every candidate that is worth it, and large ones, or with False all, until one of a
            dtype keeps the budget, the smallest coming first.
        method: rtn, k_quant or hqq, where only candidates of that one are wanted.

    Raises:
        ModelError: the folder is no web model, or a graph in it is corrupt.
        QuantizeError: a dtype, method or quality is unknown, no fp32 graph is there to start from, nothing at all could
            be made, or the folder cannot be written.
        VerifyError: an fp32 graph does not run, or no picture can be read.
    """
    budget = find_budget(quality)
    known = [dtype for dtype in SUFFIXES if dtype != "fp32"]
    wrong = [dtype for dtype in dtypes or () if dtype not in known]
    if wrong:
        raise QuantizeError(f"there is no dtype {wrong[0]!r}", hint=did_you_mean(wrong[0], known))
    if method is not None and method not in METHODS:
        raise QuantizeError(f"there is no method {method!r}", hint=did_you_mean(method, METHODS))
    manifest = read_manifest(model_dir)
    if dtypes and not any(suits(dtype, name) for dtype in dtypes for name in manifest.components):
        raise QuantizeError(f"{dtypes[0]} is for decoders, and {model_dir} has none", hint="take q8 or q4")
    say = report or (lambda line: None)
    skipped = _check_graphs(model_dir, manifest)
    for name, why in skipped.items():
        say(f"{name} stays as it is: {why}")
    from builder.evaluation import calibration_pixels
    from builder.parity import Reference

    pixels = calibration_pixels(model_dir, manifest, images, report) if images is not None else None
    say("running the fp32 graphs")
    reference = Reference(model_dir, manifest, pixels=pixels, components=manifest.components.keys() - skipped.keys())
    components: dict[str, dict[str, Variant]] = {name: dict(v) for name, v in manifest.components.items()}
    found: list[tuple[Chooser, set[str]]] = []
    with staged_changes(model_dir, error=QuantizeError, last=FILE_NAME) as staged:
        (staged / "onnx").mkdir()
        for name in reference.outputs:
            variants = components[name]
            chooser = _chooser(
                name, model_dir / variants["fp32"].path, staged, reference, budget, every, method, report
            )
            best = chooser.choose(dtypes)
            for dtype in dtypes or ():
                if dtype not in best and suits(dtype, name):
                    why = next(trial.why for trial in chooser.trials if trial.recipe.dtype == dtype)
                    skipped[f"{name} {dtype}"] = why
                    chooser.notes.append(f"{dtype} cannot be made: {why}")
                    say(f"{name} cannot be made {dtype}: {why}")
            wanted = best if dtypes is not None else _wanted(name, variants["fp32"], best, budget)
            for dtype, trial in wanted.items():
                variants[dtype] = _take(trial, staged)
            found.append((chooser, set(wanted)))
            shutil.rmtree(staged / "trials", ignore_errors=True)
        if skipped and not any(wanted for _, wanted in found):
            name, why = next(iter(skipped.items()))
            raise QuantizeError(f"{name} cannot be quantized: {why}", hint="export the checkpoint again")
        made = [path.name for path in (staged / "onnx").iterdir()]
        _write_found(
            model_dir, staged, found, skipped, _command(model_dir, dtypes, budget, images, every, method), images
        )
        copy_texts(model_dir, staged)
        tiers = choose_tiers(components, budget)
        write_defaults(staged, components, tiers)
        entries = (e if e.path != "config.json" else file_entry(staged, e.path) for e in manifest.files)
        # What verify found of the task was of other files.
        updated: Manifest = replace(
            manifest, components=components, budget=budget, tiers=tiers, quality={}, files=tuple(entries)
        )
        updated = write_card(staged, updated, before=manifest)
        write_manifest(staged, updated)
    _drop_old_chunks(model_dir, made)
    return QuantizeResult(
        path=model_dir,
        sizes=updated.sizes(),
        recipes={n: {d: v.recipe for d, v in vs.items() if v.recipe is not None} for n, vs in components.items()},
        budget=budget,
        skipped=skipped,
    )


def _check_graphs(model_dir: Path, manifest: Manifest) -> dict[str, str]:
    """Find all that is wrong with the fp32 graphs before the first of them runs: components to leave, and why."""
    from builder.graphs import load_graph
    from builder.quantize.recipe import check_plain

    missing = [name for name, variants in manifest.components.items() if "fp32" not in variants]
    if missing:
        raise QuantizeError(
            f"{model_dir} has no fp32 graph of {', '.join(missing)}",
            hint="quantize starts from fp32: export the checkpoint again",
        )
    problems: dict[str, QuantizeError] = {}
    for name, variants in manifest.components.items():
        graph = load_graph(model_dir / variants["fp32"].path, weights=False)
        for entry in variants["fp32"].data:
            path = model_dir / entry.path
            if not path.is_file() or path.stat().st_size != entry.size_bytes:
                state = "is not as long as the manifest says" if path.is_file() else "is missing"
                raise ModelError(f"{path} {state}", hint="export or download the model again")
        try:
            check_plain(graph, name=variants["fp32"].path)
        except QuantizeError as problem:
            problems[name] = problem
    if len(problems) == len(manifest.components):
        raise next(iter(problems.values()))
    skipped = {name: problem.message for name, problem in problems.items()}
    if DECODER in manifest.components and "embed_tokens" in skipped:
        skipped.setdefault(DECODER, "it reads what embed_tokens makes, which cannot be measured")
    return skipped


def _chooser(
    name: str,
    source: Path,
    staged: Path,
    reference: Reference,
    budget: Budget,
    every: bool | None,
    method: str | None,
    report: Callable[[str], None] | None,
) -> Chooser:
    from builder.quantize.choose import Chooser
    from builder.quantize.ranges import record_ranges

    folder = staged / "trials"
    folder.mkdir(exist_ok=True)
    return Chooser(
        component=name,
        source=source,
        folder=folder,
        reference=reference,
        budget=budget,
        convert=convert,
        ranges=cache(lambda: record_ranges(source, reference.runs(name))),
        every=every,
        method=method,
        report=report,
    )


def _wanted(component: str, plain: Variant, best: Mapping[str, Trial], budget: Budget) -> dict[str, Trial]:
    """Those trials that some tier gets; where that is fp32, it is there already."""
    variants = {
        dtype: replace(plain, size_bytes=trial.size_bytes, data=(), error=trial.error) for dtype, trial in best.items()
    }
    tiers = choose_tiers({component: {"fp32": plain, **variants}}, budget)
    wanted = {dtypes[component] for dtypes in tiers.values()}
    return {dtype: trial for dtype, trial in best.items() if dtype in wanted}


def _take(trial: Trial, staged: Path) -> Variant:
    """Move the files of a trial to those of its dtype, and describe them."""
    from builder.graphs import chunk_paths, read_variant

    for file in (*chunk_paths(trial.path), trial.path):
        file.replace(staged / "onnx" / file.name)
    variant = read_variant(staged, f"onnx/{trial.path.name}")
    return replace(variant, recipe=trial.recipe.label(), error=trial.error)


def _drop_old_chunks(model_dir: Path, made: Sequence[str]) -> None:
    """Remove files of external data of which the graphs that were made anew have fewer; nothing reads them any more."""
    from builder.graphs import chunk_paths

    for name in made:
        for chunk in chunk_paths(model_dir / "onnx" / name):
            if chunk.name not in made:
                chunk.unlink()


def _write_found(
    model_dir: Path,
    staged: Path,
    found: Sequence[tuple[Chooser, set[str]]],
    skipped: Mapping[str, str],
    command: str,
    images: Path | None,
) -> None:
    """Keep what was measured for the report, beside what earlier runs measured of other dtypes."""
    from builder.measurements import read_measurements, write_measurements

    before = read_measurements(model_dir)
    candidates, ranges, kept = dict(before.candidates), dict(before.ranges), dict(before.kept)
    notes: dict[str, tuple[str, ...]] = {
        name: (f"It stays as it is: {why}.",) for name, why in skipped.items() if " " not in name
    }
    for chooser, taken in found:
        name, new = chooser.component, chooser.candidates(taken)
        again = {candidate.dtype for candidate in new}
        candidates[name] = (*(c for c in candidates.get(name, ()) if c.dtype not in again), *new)
        if values := chooser.value_ranges():
            ranges[name], kept[name] = values, chooser.kept()
        old = (note for note in before.notes.get(name, ()) if note.partition(" ")[0].rstrip(":") not in {*again, "It"})
        notes[name] = (*old, *chooser.notes)
    commands = (*(line for line in before.commands if line != command and " quantize " in line), command)
    write_measurements(
        staged,
        replace(
            before,
            candidates=candidates,
            ranges=ranges,
            kept=kept,
            notes=notes,
            pictures=images.name if images is not None else None,
            commands=commands,
        ),
    )


def _command(
    model_dir: Path,
    dtypes: Sequence[str] | None,
    budget: Budget,
    images: Path | None,
    every: bool | None,
    method: str | None,
) -> str:
    """The command that does what this run does."""
    options = [*(word for dtype in dtypes or () for word in ("--dtype", dtype)), *budget_options(budget)]
    options += ["--images", images.name] if images is not None else []
    options += [] if every is None else ["--every" if every else "--first"]
    options += ["--method", method] if method is not None else []
    return command_line("quantize", model_dir, options)


def convert(graph: ModelProto, recipe: Recipe, ranges: Ranges | None = None) -> ModelProto:
    """Return the fp32 ``graph`` made by ``recipe``; the graph given is used up.

    Features and embeddings keep float32 inputs and outputs in every dtype (see half.py). Where ``ranges`` are given,
    nodes that float16 cannot hold stay fp32.

    Raises:
        QuantizeError: the graph is quantized already or has unknown operators, or there is no such method.
    """
    from builder.quantize.convolutions import quantize_pointwise, store_kernels
    from builder.quantize.embeddings import is_embedding, narrow_scales, quantize_tables
    from builder.quantize.half import to_half
    from builder.quantize.integers import quantize_products
    from builder.quantize.recipe import check_plain
    from builder.quantize.rotary import make_rotary, read_rotary
    from builder.quantize.weights import lift_constants, name_nodes, quantize_weights

    check_plain(graph)
    name_nodes(graph)
    lift_constants(graph)
    bare, rotary = is_embedding(graph), read_rotary(graph)
    if recipe.pointwise_bits is not None:
        graph = quantize_pointwise(graph, recipe)
    if recipe.bits is not None:
        graph = quantize_tables(quantize_weights(graph, recipe), recipe)
    if recipe.integer:
        graph = quantize_products(graph)
    if recipe.half:
        graph = narrow_scales(graph) if bare and recipe.bits is not None else to_half(graph, ranges)
    if recipe.depthwise != "fp32":
        graph = store_kernels(graph, recipe.depthwise)
    return make_rotary(graph, rotary)
