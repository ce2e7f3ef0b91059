"""What there is to know of a variant besides its error: its signature, what it is made of, errors by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from onnx import ModelProto, helper

from builder.errors import ModelError
from builder.graphs import load_graph, read_variant
from builder.manifest import SUFFIXES, Manifest, Variant
from builder.measurements import LayerError
from builder.parity import Reference
from builder.taps import layer_outputs, relative_error, run_tapped
from builder.tiers import webgpu_fault


def find_variants(model_dir: Path, manifest: Manifest, component: str) -> dict[str, Variant]:
    """What lies on disk of a component, by dtype; a recipe is kept as long as the file is the one it made."""
    found: dict[str, Variant] = {}
    for dtype, suffix in SUFFIXES.items():
        path = f"onnx/{component}{suffix}.onnx"
        if not (model_dir / path).is_file():
            continue
        variant, known = read_variant(model_dir, path), manifest.components[component].get(dtype)
        graph = load_graph(model_dir / path, weights=False)
        operators = [node.op_type for node in graph.graph.node]
        operators += [node.op_type for function in graph.functions for node in function.node]
        found[dtype] = replace(
            variant,
            recipe=known.recipe if known is not None and known.sha256 == variant.sha256 else None,
            not_on_webgpu=webgpu_fault(operators),
            largest_tensor_bytes=_largest_tensor(graph),
        )
    if "fp32" not in found:
        raise ModelError(f"{model_dir} has no fp32 graph of {component}", hint="export the checkpoint again")
    return found


def _largest_tensor(graph: ModelProto) -> int:
    """Bytes of the largest weight: what one WebGPU buffer must hold."""
    return max(
        (
            math.ceil(math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
            for tensor in graph.graph.initializer
        ),
        default=0,
    )


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
