"""The files beside the graphs: configs, tokenizer, and the first manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from builder.card import write_card
from builder.errors import CheckpointError
from builder.families import Parts
from builder.families._chat import find_chat_template
from builder.families._contract import read_json
from builder.graphs import read_variant
from builder.licence import read_base_model, read_licence
from builder.manifest import TIERS, Manifest, Origin, Variant, file_entry, write_manifest
from builder.webconfig import write_defaults

REMOTE_CODE = "auto_map"
"""Names Python files of the checkpoint's repository. They are never run, and a web model has no use for them."""


def write_files(parts: Parts, source: Path, work: Path) -> None:
    """Write the JSON files and the tokenizer.

    Raises:
        CheckpointError: the checkpoint has no tokenizer that can be read.
    """
    for name, value in parts.configs.items():
        if value:
            _write_json(work / name, {key: item for key, item in value.items() if key != REMOTE_CODE})
    _write_tokenizer(parts, source, work)
    for licence in sorted(source.glob("LICENSE*")):
        shutil.copyfile(licence, work / licence.name)


def _write_tokenizer(parts: Parts, source: Path, work: Path) -> None:
    path = source / "tokenizer.json"
    if parts.tokenizer is not None:
        text = parts.tokenizer.to_str()
    elif path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        raise CheckpointError(f"{source} holds no tokenizer.json", hint="save the fast tokenizer with the checkpoint")
    try:
        (work / path.name).write_text(compact_tokenizer(text), encoding="utf-8")
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}", hint="save the fast tokenizer anew") from error
    settings = {**read_json(source / "tokenizer_config.json"), **parts.tokenizer_settings}
    chosen = parts.tokenizer_settings.get("chat_template")
    template = chosen or find_chat_template(source, settings) or parts.chat_template
    if template is not None:
        settings["chat_template"] = template
    _write_json(work / "tokenizer_config.json", {key: item for key, item in settings.items() if key != REMOTE_CODE})


def compact_tokenizer(text: str) -> str:
    """tokenizer.json as visitors download it: no white space, merges as plain strings.

    Libraries write it for readers, a merge on four lines: Qwen2's takes 11 MB and is read as well in 5. A part with a
    space in it can only be told apart in a pair, so that such merges stay pairs.
    """
    tokenizer = json.loads(text)
    model = tokenizer.get("model")
    merges = model.get("merges") if isinstance(model, dict) else None
    if merges and all(isinstance(pair, list) and not any(" " in part for part in pair) for pair in merges):
        model["merges"] = [" ".join(pair) for pair in merges]
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")) + "\n"


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _is_listed(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".")


def describe(parts: Parts, *, source: Path, name: str, family: str, folder: Path) -> Manifest:
    """Write manifest and card of a fresh fp32 web model: one variant per component, no errors measured yet."""
    components: dict[str, dict[str, Variant]] = {}
    for path in sorted((folder / "onnx").glob("*.onnx")):
        components[path.stem] = {"fp32": read_variant(folder, f"onnx/{path.name}")}
    tiers = {tier: dict.fromkeys(components, "fp32") for tier in TIERS}
    write_defaults(folder, components, tiers)
    manifest = Manifest(
        name=name,
        family=family,
        task=parts.task,
        model_type=parts.model_type,
        image=parts.image,
        context=parts.context,
        components=components,
        files=tuple(file_entry(folder, file.name) for file in sorted(folder.iterdir()) if _is_listed(file)),
        prompts=parts.prompts,
        generation=parts.generation,
        tiers=tiers,
        origin=_origin(source),
    )
    manifest = write_card(folder, manifest)
    write_manifest(folder, manifest)
    return manifest


def _origin(source: Path) -> Origin:
    licence = read_licence(source)
    return Origin(
        base_model=read_base_model(source),
        license=licence.id,
        license_name=licence.name,
        license_link=licence.link,
    )
