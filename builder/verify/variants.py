"""What there is to know of a variant besides its error: its signature, what it is made of, errors by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from builder.errors import ModelError, VerifyError
from builder.graphs import read_variant
from builder.manifest import SUFFIXES, ErrorMeasure, Manifest, Variant, file_entry
from builder.measurements import LayerError
from builder.parity import Reference, measure
from builder.taps import layer_outputs, relative_error, run_tapped

PLAIN = ErrorMeasure(max_abs=0.0, relative=0.0, cosine=1.0)
"""fp32 is what the others are measured by."""


def find_variants(model_dir: Path, manifest: Manifest, component: str) -> dict[str, Variant]:
    """What lies on disk of a component, by dtype; a recipe is kept as long as the file is the one it made.

    Raises:
        ModelError: the fp32 graph is missing or cannot be read.
        VerifyError: it has operators that no runtime here knows.
    """
    found: dict[str, Variant] = {}
    for dtype, suffix in SUFFIXES.items():
        path = f"onnx/{component}{suffix}.onnx"
        if not (model_dir / path).is_file():
            continue
        try:
            variant = read_variant(model_dir, path)
        except ModelError as error:
            if dtype == "fp32":
                raise
            entry = file_entry(model_dir, path)
            found[dtype] = Variant(
                path=path,
                size_bytes=entry.size_bytes,
                sha256=entry.sha256,
                inputs=(),
                outputs=(),
                fault=error.message.replace(str(model_dir / path), path),
            )
            continue
        known = manifest.components[component].get(dtype)
        recipe = known.recipe if known is not None and known.sha256 == variant.sha256 else None
        found[dtype] = replace(variant, recipe=recipe)
    if "fp32" not in found:
        raise ModelError(f"{model_dir} has no fp32 graph of {component}", hint="export the checkpoint again")
    if (fault := found["fp32"].fault) is not None:
        raise VerifyError(f"{found['fp32'].path} cannot be run: {fault}", hint="export it without custom operators")
    return found


def measured(
    reference: Reference, model_dir: Path, component: str, dtype: str, variant: Variant, known: Variant | None
) -> Variant:
    """A variant with its error, or with its fault where it has none; ``known`` is what was measured on better pictures.

    What is known is of the same file, and that it still runs is tried all the same.
    """
    if dtype == "fp32":
        return replace(variant, error=PLAIN)
    if variant.fault is not None:
        return variant
    try:
        error = measure(reference, component, model_dir / variant.path)
    except VerifyError as problem:
        return replace(variant, fault=problem.message)
    same = known is not None and known.error is not None and _files(known) == _files(variant)
    return replace(variant, error=known.error if known is not None and same else error)


def _files(variant: Variant) -> tuple[str, ...]:
    return (variant.sha256, *(entry.sha256 for entry in variant.data))


def layer_errors(
    model_dir: Path,
    components: Mapping[str, Mapping[str, Variant]],
    tiers: Mapping[str, Mapping[str, str]],
    reference: Reference,
) -> dict[str, dict[str, tuple[LayerError, ...]]]:
    """Error after each layer of those variants that some tier gets."""
    errors: dict[str, dict[str, tuple[LayerError, ...]]] = {}
    for component, variants in components.items():
        chosen = sorted({dtypes[component] for dtypes in tiers.values()} - {"fp32"})
        names = layer_outputs(model_dir / variants["fp32"].path) if chosen else []
        if not names:
            continue
        feeds = reference.one_run(component)
        plain = run_tapped(model_dir / variants["fp32"].path, feeds, names)
        errors[component] = {}
        for dtype in chosen:
            got = run_tapped(model_dir / variants[dtype].path, feeds, names)
            # A layer that a recipe has put in another layout cannot be compared value by value.
            same = [name for name in names if name in got and got[name].shape == plain[name].shape]
            errors[component][dtype] = tuple(
                LayerError(name=name, relative=relative_error(got[name], plain[name])) for name in same
            )
    return errors
