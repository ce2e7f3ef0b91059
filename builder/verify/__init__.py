"""verify: run every variant of a web model against its fp32 graphs, and write manifest.json.

Start with `verify`. parity.py makes the inputs and measures; tiers.py says which dtype each device tier gets. Errors
are of tensors; what they mean for captions and rankings is measured on scenes by embedded/score.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from builder.errors import ModelError
from builder.manifest import SUFFIXES, Manifest, Variant, file_entry, read_manifest, write_manifest
from builder.versions import builder_version


def verify(model_dir: Path, *, report: Callable[[str], None] | None = None) -> Manifest:
    """Measure every variant that lies in the folder and write the manifest anew: sizes, checksums, errors, tiers.

    ONNX files that a component has on disk but the manifest does not know are taken in; those that are gone are
    dropped.

    Raises:
        ModelError: no web model, a component without a readable fp32 graph, a missing file.
        VerifyError: a variant does not run, or gives non-finite values.
    """
    import onnx
    import onnxruntime

    from builder.graphs import read_variant
    from builder.verify.parity import Reference, measure
    from builder.verify.tiers import choose_tiers

    manifest = read_manifest(model_dir)
    gone = [entry.path for entry in manifest.files if not (model_dir / entry.path).is_file()]
    if gone:
        raise ModelError(f"{model_dir} lacks {', '.join(gone)}", hint="export or download the model again")
    found: dict[str, dict[str, Variant]] = {}
    for component in manifest.components:
        found[component] = {
            dtype: read_variant(model_dir, path)
            for dtype, suffix in SUFFIXES.items()
            if (model_dir / (path := f"onnx/{component}{suffix}.onnx")).is_file()
        }
        if "fp32" not in found[component]:
            raise ModelError(f"{model_dir} has no fp32 graph of {component}", hint="export the checkpoint again")
    reference = Reference(model_dir, manifest)
    for component, variants in found.items():
        for dtype, variant in variants.items():
            if report is not None:
                report(f"{component} {dtype}")
            variants[dtype] = replace(variant, error=measure(reference, component, model_dir / variant.path))
    verified = replace(
        manifest,
        components=found,
        files=tuple(file_entry(model_dir, entry.path) for entry in manifest.files),
        tiers=choose_tiers(found),
        versions={
            "builder": builder_version(),
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    )
    write_manifest(model_dir, verified)
    return verified
