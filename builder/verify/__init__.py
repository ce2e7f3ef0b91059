"""verify: run every variant of a web model against its fp32 graphs, and write manifest.json and report.html.

Start with `verify`. builder/parity.py makes the inputs and measures, builder/tiers.py says which dtype each device tier
gets, builder/evaluation.py what that does to captions and rankings, report.py shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from builder.card import write_card
from builder.errors import ModelError
from builder.folders import staged_changes
from builder.manifest import FILE_NAME, Budget, Manifest, check_inside, file_entry, read_manifest, write_manifest
from builder.measurements import command_line
from builder.tiers import DEFAULT_BUDGET, budget_options, choose_tiers, find_budget
from builder.versions import builder_version
from builder.webconfig import copy_texts, write_defaults

Report = Callable[[str], None]


def verify(
    model_dir: Path,
    *,
    quality: str | Budget | None = None,
    evaluation: Path | None = None,
    images: Path | None = None,
    report: Report | None = None,
) -> Manifest:
    """Measure every variant that lies in the folder and write the manifest anew: sizes, checksums, errors, tiers.

    ONNX files that a component has on disk but the manifest does not know are taken in; those that are gone are
    dropped. One that cannot be read or run, or gives values that are not finite, is marked with its fault, told of and
    left out of all tiers. Beside the manifest lies ``report.html``.

    Args:
        quality: high, balanced, small, or a budget of your own; what quantize was given, if this is not.
        evaluation: a folder of pictures, with captions or without, on which the tiers are compared with fp32. The
            embedded models are compared on held-out scenes where none is given.
        images: a folder of pictures to measure errors on. Where quantize had one and this is not given, what it
            measured stays, as long as the file is the same.

    Raises:
        ModelError: no web model, a component without a readable fp32 graph, a missing file.
        QuantizeError: there is no such quality.
        VerifyError: an fp32 graph does not run, or gives non-finite values; or there is nothing in ``evaluation``.
    """
    import onnx
    import onnxruntime

    from builder.evaluation import Evaluator, calibration_pixels, held_out, read_folder
    from builder.measurements import read_measurements, write_measurements
    from builder.parity import Reference
    from builder.verify.report import write_report
    from builder.verify.variants import find_variants, layer_errors, measured

    manifest, before = read_manifest(model_dir), read_measurements(model_dir)
    budget = manifest.budget or DEFAULT_BUDGET if quality is None else find_budget(quality)
    gone = [entry.path for entry in manifest.files if not (model_dir / entry.path).is_file()]
    if gone:
        raise ModelError(f"{model_dir} lacks {', '.join(gone)}", hint="export or download the model again")
    examples = held_out(manifest) if evaluation is None else read_folder(evaluation, manifest, report=report)
    pixels = calibration_pixels(model_dir, manifest, images, report) if images is not None else None
    found = {component: find_variants(model_dir, manifest, component) for component in manifest.components}
    check_inside(model_dir, (entry.path for entry in replace(manifest, components=found).model_files()))
    reference = Reference(model_dir, manifest, pixels=pixels)
    for component, variants in found.items():
        for dtype, variant in variants.items():
            _say(report, f"{component} {dtype}")
            known = manifest.components[component].get(dtype) if before.pictures and images is None else None
            variants[dtype] = measured(reference, model_dir, component, dtype, variant, known)
            if (fault := variants[dtype].fault) is not None:
                _say(report, f"{component} {dtype} is left out of all tiers: {fault}")
    tiers = choose_tiers(found, budget)
    line = command_line("verify", model_dir, _options(quality, evaluation, images))
    measurements = replace(
        before,
        layers=layer_errors(model_dir, found, tiers, reference),
        commands=(*(line for line in before.commands if " quantize " in line), line),
        pictures=images.name if images is not None else before.pictures,
    )
    verified = replace(
        manifest,
        components=found,
        tiers=tiers,
        budget=budget,
        quality={},
        versions={
            "builder": builder_version(),
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    )
    if examples is not None:
        _say(report, f"{examples.source}: fp32")
        evaluator = Evaluator(model_dir, verified, examples)
        verified = replace(verified, quality=evaluator.evaluate_tiers(tiers, report))
    unreadable = examples.unreadable if examples is not None else ()
    with staged_changes(model_dir, error=ModelError, last=FILE_NAME) as staged:
        copy_texts(model_dir, staged)
        write_defaults(staged, found, tiers)
        entries = ((staged if (staged / e.path).is_file() else model_dir, e.path) for e in manifest.files)
        verified = replace(verified, files=tuple(file_entry(root, path) for root, path in entries))
        verified = write_card(staged, verified, before=manifest)
        write_measurements(staged, measurements)
        write_report(staged, verified, measurements, unreadable=unreadable)
        write_manifest(staged, verified)
    return verified


def _options(quality: str | Budget | None, evaluation: Path | None, images: Path | None) -> list[str]:
    options = budget_options(find_budget(quality)) if quality is not None else []
    options += ["--eval", evaluation.name] if evaluation is not None else []
    return options + (["--images", images.name] if images is not None else [])


def _say(report: Report | None, line: str) -> None:
    if report is not None:
        report(line)
