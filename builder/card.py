"""The card (README.md) of a web model: what it is, how it is used, how large and how exact, on which terms, how made.

Start with `render_card`. All numbers come from the manifest, which verify measured; what it does not hold is shown as
a dash, and a licence that nobody has stated is called unknown. snippets.py has the JavaScript, licence.py reads the
terms.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from builder.errors import ModelError
from builder.licence import is_hub_id, is_research_only
from builder.manifest import ErrorMeasure, Manifest, file_entry
from builder.snippets import TOWERS, classify_image, describe_image, embed
from builder.versions import TRANSFORMERS_JS
from builder.webconfig import DEFAULT_TIER

FILE_NAME = "README.md"
TAGS = ("onnx", "webgpu", "webgpu-demo-builder")
ANSWERS, RANKS = "image-text-to-text", "zero-shot-image-classification"
WHAT = {
    ANSWERS: "answers questions about pictures",
    RANKS: "puts pictures and texts into one space, so that either can be found by the other",
}
TIER_NAMES = {
    "webgpu-f16": "WebGPU with `shader-f16`",
    "webgpu": "WebGPU",
    "wasm": "WebAssembly",
}
DASH = "—"
MARKUP = re.compile(r"([\\`*_\[\]<>#|])")
"""What Markdown would read as its own in a licence's name, which somebody else has chosen."""
PLACE = re.compile(r"https?://[\w.~/%?=&+:#@-]+|[\w./-]+", re.ASCII)
"""An address of the web, or a file beside the card."""


def write_card(model_dir: Path, manifest: Manifest, *, before: Manifest | None = None) -> Manifest:
    """Write the card of ``manifest`` into its folder; returns the manifest with the card among its files.

    A card that is there is replaced if it is that of the manifest ``before``; one that somebody has edited stays.

    Raises:
        ModelError: the folder cannot be written.
    """
    path = model_dir / FILE_NAME
    try:
        edited = path.is_file() and before is not None and path.read_text(encoding="utf-8") != _of_origin(before)
        if not edited:
            path.write_text(_of_origin(manifest), encoding="utf-8", newline="\n")
    except OSError as error:
        raise ModelError(
            f"{path} cannot be written: {(error.strerror or str(error)).lower()}",
            hint="make room, or copy the model to a folder that you may write to",
        ) from error
    others = [entry for entry in manifest.files if entry.path != FILE_NAME]
    return replace(manifest, files=(*others, file_entry(model_dir, FILE_NAME)))


def _of_origin(manifest: Manifest) -> str:
    origin = manifest.origin
    return render_card(
        manifest,
        base_model=origin.base_model,
        license=origin.license,
        license_name=origin.license_name,
        license_link=origin.license_link,
    )


def render_card(
    manifest: Manifest,
    *,
    base_model: str | None,
    license: str | None,
    license_name: str | None = None,
    license_link: str | None = None,
    repo: str | None = None,
) -> str:
    """Return the card as Markdown with front matter.

    ``base_model`` is the checkpoint's Hub id. ``license`` is the Hub's id of its licence, "other" with a name and a
    link (an address, or a file beside the card), or None where it is unknown. ``repo`` is where the web model will lie
    on the Hub: the snippets load it from there, or without it by its own name.
    """
    name = repo or manifest.name
    base_model = base_model if base_model is not None and is_hub_id(base_model) else None
    sections = [
        _front_matter(manifest, base_model, license, license_name, license_link),
        f"# {name.rpartition('/')[2]}",
        _what(manifest, base_model),
        *([_research_note()] if is_research_only(license, license_name, license_link) else []),
        "## Use",
        *_use(manifest, name, local=repo is None),
        "## Sizes and errors",
        _errors(manifest),
        "## What a device downloads",
        _tiers(manifest),
        "## Licence",
        _licence(base_model, license, license_name, license_link),
        "## How it was made",
        _made(manifest, base_model),
    ]
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


def _front_matter(
    manifest: Manifest,
    base_model: str | None,
    license: str | None,
    license_name: str | None,
    license_link: str | None,
) -> str:
    fields: dict[str, object] = {
        "library_name": "transformers.js",
        "base_model": base_model,
        "pipeline_tag": manifest.task,
        "license": license,
        "license_name": license_name if license == "other" else None,
        "license_link": license_link if license == "other" else None,
        "tags": list(TAGS),
    }
    stated = {key: value for key, value in fields.items() if value is not None}
    return f"---\n{yaml.safe_dump(stated, sort_keys=False, allow_unicode=True)}---"


def _what(manifest: Manifest, base_model: str | None) -> str:
    of = f"[{base_model}](https://huggingface.co/{base_model})" if base_model else "a checkpoint"
    image = manifest.image
    tokens = f", {image.tokens} tokens each" if image.tokens else ""
    return (
        f"ONNX graphs of {of} ({manifest.family}) for [transformers.js](https://huggingface.co/docs/transformers.js): "
        f"a model that {WHAT.get(manifest.task, f'does {manifest.task}')}, in a browser, on the visitor's own GPU. "
        f"Pictures are {image.width} × {image.height} pixels{tokens}."
    )


def _research_note() -> str:
    return (
        "> **Research only.** The licence of these weights is for research or non-commercial use. "
        "Read it before you build on them or show them to others."
    )


def _use(manifest: Manifest, name: str, *, local: bool) -> Iterable[str]:
    yield f"With `npm install @huggingface/transformers@{TRANSFORMERS_JS}`, in a browser or in Node:"
    if manifest.task == ANSWERS:
        yield _code("js", describe_image(manifest, name))
    else:
        if "model" in manifest.components:
            yield _code("js", classify_image(name))
        if manifest.model_type in TOWERS and {"text_model", "vision_model"} <= set(manifest.components):
            yield "For search, texts and pictures as vectors of one space:"
            yield _code("js", embed(manifest, name))
    if local:
        yield f"`{name}` is this folder's name: set `env.localModelPath` to where the folder lies."
    if DEFAULT_TIER in manifest.tiers:
        # onnxruntime-web has GatherBlockQuantized for the CPU in its plain build only
        table = manifest.tiers[DEFAULT_TIER].get("embed_tokens", "")
        plain = (
            ", and in WebAssembly with onnxruntime-web's plain build, which alone has a kernel for the quantized table"
            if table.startswith("q")
            else ", and in WebAssembly"
        )
        yield (
            f"Without `dtype` that loads what `config.json` names, which runs on every WebGPU device{plain}. "
            "Other dtypes are given by component, as in the table of devices below: "
            f"`{{ device, dtype: {_js_map(manifest.tiers[DEFAULT_TIER].items())} }}`."
        )


def _errors(manifest: Manifest) -> str:
    rows = [
        (f"`{component}`", dtype, _megabytes(variant.total_bytes), *_measured(variant.error))
        for component, variants in manifest.components.items()
        for dtype, variant in variants.items()
    ]
    table = _table(("component", "dtype", "MB", "max abs", "relative", "cosine"), rows, numbers_from=2)
    return (
        f"{table}\n\n"
        "Errors are those of a component's outputs against its fp32 graph on the same inputs: the greatest absolute "
        "difference, the RMS difference relative to the RMS of fp32, and the lowest cosine. "
        f"{DASH} means not measured."
    )


def _measured(error: ErrorMeasure | None) -> tuple[str, str, str]:
    if error is None:
        return (DASH, DASH, DASH)
    return (f"{error.max_abs:.3g}", f"{error.relative:.3g}", f"{error.cosine:.6f}")


def _tiers(manifest: Manifest) -> str:
    rows = [
        (TIER_NAMES.get(tier, tier), f"`{_js_map(dtypes.items())}`", _megabytes(manifest.tier_bytes(tier)))
        for tier, dtypes in manifest.tiers.items()
    ]
    note = "What a page fetches, without the runtime; of a dual encoder its two towers, which `model` repeats."
    return f"{_table(('device', 'dtype', 'MB'), rows, numbers_from=2)}\n\n{note}"


def _licence(base_model: str | None, license: str | None, license_name: str | None, license_link: str | None) -> str:
    whose = f"the licence of {base_model}" if base_model else "the licence of the checkpoint that they were made from"
    if license is None:
        return f"Unknown: {whose} is not stated. Find it out before you publish or use these weights."
    if license != "other":
        return f"`{' '.join(license.replace('`', ' ').split())}`: {whose} holds for these graphs too."
    name = license_name or "a licence without a name of the Hub"
    name = MARKUP.sub(r"\\\1", " ".join(name.split()))
    shown = f"[{name}]({license_link})" if license_link and PLACE.fullmatch(license_link) else name
    return f"{shown}: {whose} holds for these graphs too."


def _made(manifest: Manifest, base_model: str | None) -> str:
    made = {dtype for variants in manifest.components.values() for dtype in variants} - {"fp32"}
    dtypes = [dtype for dtype in ("fp16", "q8", "q4", "q4f16", "uint8") if dtype in made]
    folder = shlex.quote(manifest.name)
    commands = [
        "pip install 'webgpu-demo-builder[export]'",
        f"webgpu-demo export {base_model or 'CHECKPOINT'} -o {folder}",
    ]
    if dtypes:
        commands.append(f"webgpu-demo quantize {folder} " + " ".join(f"--dtype {dtype}" for dtype in dtypes))
    if manifest.versions:
        commands.append(f"webgpu-demo verify {folder}")
    versions = {**manifest.versions, "transformers.js": TRANSFORMERS_JS}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    return _code("sh", "\n".join(commands)) + f"\n\nVersions: {listed}. `manifest.json` has every file's SHA-256."


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.2f}"


def _js_map(pairs: Iterable[tuple[str, str]]) -> str:
    return "{ " + ", ".join(f"{key}: '{value}'" for key, value in pairs) + " }"


def _code(language: str, source: str) -> str:
    return f"```{language}\n{source.rstrip()}\n```"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int) -> str:
    rules = ["---" if number < numbers_from else "---:" for number in range(len(columns))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, rules, *rows))
