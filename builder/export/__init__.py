"""export: from a checkpoint folder to an fp32 web model that transformers.js loads as it is.

Start with `export`. trace.py does encoders and the embedding table, decoder.py language models, repo.py the files
beside the graphs. Which parts a model has is for families/ to say. Nothing here quantizes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builder.errors import CheckpointError, ExportError, ModelError
from builder.folders import new_folder
from builder.manifest import Manifest, read_manifest


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What an export left: ``path`` is the web model, ``components`` map each graph to its size in bytes."""

    path: Path
    family: str
    components: dict[str, int]


def _silent(line: str) -> None:
    del line


def export(
    checkpoint: str,
    *,
    out: Path | None = None,
    family: str | None = None,
    report: Callable[[str], None] | None = None,
) -> ExportResult:
    """Export a checkpoint folder to the fp32 web model ``out`` (default: ``<checkpoint>-web`` beside it).

    The folder appears whole or not at all; an existing web model of the same place is replaced.

    Raises:
        CheckpointError: no such folder, an unsupported family, pickles instead of safetensors, unreadable files.
        ExportError: a graph cannot be made or does not agree with PyTorch.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ExportError("export needs PyTorch", hint="pip install 'webgpu-demo-builder[export]'") from error
    from builder.families import find_family

    say = report or _silent
    source = Path(checkpoint)
    if not source.is_dir():
        raise CheckpointError(f"there is no folder {source}", hint="download the checkpoint and give its folder")
    if not any(source.glob("*.safetensors")):
        raise CheckpointError(
            f"{source} holds no *.safetensors",
            hint="save the weights as safetensors; pickled weights can run code and are never loaded",
        )
    chosen = find_family(source, family)
    target = out if out is not None else source.resolve().with_name(source.resolve().name + "-web")
    _check_target(target)
    _check_weights(source)
    say(f"loading {source.name} as {chosen.name}")
    with new_folder(target, error=ExportError) as work:
        manifest = _write_parts(source, target.name, chosen.name, work, say)
    sizes = {name: variants["fp32"].total_bytes for name, variants in manifest.components.items()}
    return ExportResult(path=target, family=chosen.name, components=sizes)


def _check_target(target: Path) -> None:
    """Replace nothing but an empty folder or a web model."""
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        try:
            read_manifest(target)
        except ModelError as error:
            raise ExportError(f"{target} exists and is no web model", hint="give another folder with -o") from error


def _check_weights(source: Path) -> None:
    """Open every file of weights: a truncated one is told from its header, before anything is loaded."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(source.glob("*.safetensors")):
        try:
            with safe_open(path, framework="numpy"):
                pass
        except SafetensorError as error:
            raise CheckpointError(f"{path} cannot be read: {error}", hint="download the file again") from error


def _write_parts(source: Path, name: str, family: str, work: Path, say: Callable[[str], None]) -> Manifest:
    from builder.export.decoder import build_decoder, embedding_table
    from builder.export.repo import describe, write_files
    from builder.export.trace import trace_encoder, write_embedding
    from builder.families import find_family

    parts = find_family(source, family).load(source)
    graphs = work / "onnx"
    graphs.mkdir()
    for encoder in parts.encoders:
        say(f"tracing {encoder.name}")
        trace_encoder(encoder, graphs / f"{encoder.name}.onnx")
    if parts.language is not None:
        say("writing embed_tokens")
        write_embedding(embedding_table(parts.language), graphs / "embed_tokens.onnx")
        say("building decoder_model_merged")
        build_decoder(parts.language, graphs / "decoder_model_merged.onnx")
    write_files(parts, source, work)
    return describe(parts, name=name, family=family, folder=work)
