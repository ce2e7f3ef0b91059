"""The files beside the graphs: configs, tokenizer, and the first manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from builder.errors import CheckpointError
from builder.families import Parts
from builder.graphs import read_variant
from builder.manifest import TIERS, Manifest, Variant, file_entry, write_manifest


def write_files(parts: Parts, source: Path, work: Path) -> None:
    """Write the JSON files and copy what the family names.

    Raises:
        CheckpointError: a file to copy is missing.
    """
    for name, value in parts.configs.items():
        if value:
            (work / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in parts.copied:
        if not (source / name).is_file():
            raise CheckpointError(f"{source} holds no {name}", hint="save the fast tokenizer with the checkpoint")
        shutil.copyfile(source / name, work / name)


def describe(parts: Parts, *, name: str, family: str, folder: Path) -> Manifest:
    """Write the manifest of a fresh fp32 web model: one variant per component, no errors measured yet."""
    components: dict[str, dict[str, Variant]] = {}
    for path in sorted((folder / "onnx").glob("*.onnx")):
        components[path.stem] = {"fp32": read_variant(folder, f"onnx/{path.name}")}
    manifest = Manifest(
        name=name,
        family=family,
        task=parts.task,
        model_type=parts.model_type,
        image=parts.image,
        context=parts.context,
        components=components,
        files=tuple(file_entry(folder, file.name) for file in sorted(folder.iterdir()) if file.is_file()),
        prompts=parts.prompts,
        generation=parts.generation,
        tiers={tier: dict.fromkeys(components, "fp32") for tier in TIERS},
    )
    write_manifest(folder, manifest)
    return manifest
