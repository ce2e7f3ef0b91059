"""export: from a checkpoint to an fp32 web model that transformers.js loads as it is.

Start with `export`. trace.py does encoders and the embedding table, decoder.py language models, repo.py the files
beside the graphs, room.py says what is too large, lint.py what a web model must satisfy. Which parts a model has is for
families/ to say. Nothing here quantizes.
"""

from __future__ import annotations

import gc
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import CheckpointError, ExportError, ModelError, did_you_mean
from builder.folders import new_folder
from builder.graphs import CHUNK_BYTES
from builder.logs import quiet_libraries
from builder.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from builder.export.progress import Progress
    from builder.families import Family, Parts
    from builder.hub import Promised
    from builder.hub.fetch import Judge

NAME = re.compile(r"\w([\w.-]{0,94}\w)?", re.ASCII)
"""REPO_ID_REGEX of transformers.js; more than that is refused there, see `_check_target`."""
LANGUAGE = ("embed_tokens", "decoder_model_merged")


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What an export left and took.

    ``path`` is the web model, ``components`` map each graph to its size in bytes. ``peak_bytes`` is the most memory
    that this process has held, 0 where the system does not tell.
    """

    path: Path
    family: str
    components: dict[str, int]
    seconds: float
    peak_bytes: int


def _silent(line: str) -> None:
    del line


def export(
    checkpoint: str,
    *,
    out: Path | None = None,
    family: str | None = None,
    revision: str | None = None,
    components: Sequence[str] | None = None,
    chunk_bytes: int | None = None,
    force: bool = False,
    report: Callable[[str], None] | None = None,
) -> ExportResult:
    """Export a checkpoint to the fp32 web model ``out``.

    ``checkpoint`` is a folder or a Hub id, of which ``revision`` is a branch, tag or commit. The web model lies beside
    the folder as ``<name>-web`` by default, or in the current folder for a Hub id. ``components`` are those to write,
    where a page needs not all of them (None: all). Weights beyond ``chunk_bytes`` (256 MiB) are
    kept in files of that size. ``force`` exports what is too large for a browser tab. The folder appears whole or not
    at all; an existing web model of the same place is replaced. Run again after an interruption, it goes on with the
    first unfinished component.

    Raises:
        CheckpointError: no such checkpoint, an unsupported or too large model, pickles instead of safetensors, damaged
            files, a config that contradicts the weights.
        ExportError: a graph cannot be made or does not agree with PyTorch, or the disk is too small.
    """
    if not Path(checkpoint).exists():
        from builder.hub.source import parse_source

        parse_source(checkpoint, revision, CheckpointError)  # a wrong name is told before a package is asked for
    _need_pytorch()
    from builder.export.progress import FILE_NAME, Progress, fingerprint, only_export_to
    from builder.export.room import check_size, count_parameters, peak_memory
    from builder.families import find_family
    from builder.hub import check_weights, fetch_checkpoint
    from builder.licence import called

    say = report or _silent
    started = time.monotonic()
    if revision is not None and Path(checkpoint).is_dir():
        raise CheckpointError(
            f"{checkpoint} is a folder, and has no revision {revision!r}",
            hint="leave --revision out, or give a Hub id",
        )
    target = (out if out is not None else default_target(checkpoint)).absolute()

    with only_export_to(target):
        judge = judge_for(target, family, force=force)
        source = fetch_checkpoint(checkpoint, revision=revision, report=report, judge=judge)
        _check_target(target)
        chosen = find_family(source, family)
        check_weights(source)
        check_size(called(source), count_parameters(source), target, force=force)
        chunk_bytes = CHUNK_BYTES if chunk_bytes is None else chunk_bytes
        mark = fingerprint(source, chosen.name, chunk_bytes, components)
        with quiet_libraries(), new_folder(target, error=ExportError, keep=FILE_NAME) as work:
            progress = Progress(work, mark)
            say(f"loading {target.name} as {chosen.name}")
            manifest = _write_parts(source, target.name, chosen, work, progress, components, chunk_bytes, say)
            progress.clear()
    sizes = {name: variants["fp32"].total_bytes for name, variants in manifest.components.items()}
    return ExportResult(
        path=target,
        family=chosen.name,
        components=sizes,
        seconds=time.monotonic() - started,
        peak_bytes=peak_memory(),
    )


def judge_for(target: Path, family: str | None = None, *, force: bool = False) -> Judge:
    """What refuses a checkpoint by its configs, before its weights are fetched: see `fetch_checkpoint`.

    Raises:
        ExportError: PyTorch is missing, which knows the families.
    """
    _need_pytorch()
    from builder.export.room import check_size
    from builder.families import find_family
    from builder.licence import called

    def judge(configs: Path, weights: Promised) -> None:
        _check_target(target)
        find_family(configs, family, weights=weights.names)
        check_size(called(configs), weights.parameters, target, force=force)

    return judge


def _need_pytorch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ExportError("export needs PyTorch", hint="pip install 'webgpu-demo-builder[export]'") from error


def default_target(checkpoint: str) -> Path:
    """Where the web model of a checkpoint lies if nothing else is said: beside a folder, else in the current one."""
    folder = Path(checkpoint)
    if folder.is_dir():
        return folder.resolve().with_name(folder.resolve().name + "-web")
    return Path(checkpoint.split("@")[0].split("/")[-1] + "-web")


def _check_target(target: Path) -> None:
    """Replace nothing but an empty folder or a web model, and be called what transformers.js takes for a model."""
    if target == Path.cwd():
        raise ExportError(
            "the web model cannot take the place of the current folder", hint="give another folder with -o"
        )
    name = target.name
    if not NAME.fullmatch(name) or ".." in name or "--" in name or name.endswith((".git", ".ipynb")):
        better = re.sub(r"(?:[^A-Za-z0-9_.]|[.]{2,})+", "-", name).lstrip("-.")[:96]
        better = re.sub(r"(?:\.git|\.ipynb|[-.])+$", "", better) or "model"
        raise ExportError(
            f"transformers.js takes no model of the name {name!r}",
            hint=f"give another folder, such as -o {better}",
        )
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        try:
            read_manifest(target)
        except ModelError as error:
            raise ExportError(f"{target} exists and is no web model", hint="give another folder with -o") from error


def _chosen(parts: Parts, components: Sequence[str] | None) -> Parts:
    """Leave out the encoders that nobody asked for; a language model is needed whole."""
    if components is None:
        return parts
    names = [encoder.name for encoder in parts.encoders]
    wrong = [name for name in components if name not in names]
    if wrong or parts.language is not None:
        raise ExportError(
            f"this model has no part {wrong[0]!r} to choose" if wrong else "the parts of a captioner go together",
            hint=did_you_mean(wrong[0], names) if wrong else "export all of them",
        )
    return replace(parts, encoders=tuple(encoder for encoder in parts.encoders if encoder.name in components))


def _write_parts(
    source: Path,
    name: str,
    family: Family,
    work: Path,
    progress: Progress,
    components: Sequence[str] | None,
    chunk_bytes: int,
    say: Callable[[str], None],
) -> Manifest:
    """Write every component that is not finished, one at a time, and give back what is no longer needed."""
    from builder.export.decoder import build_decoder, check_config, save_plain
    from builder.export.repo import describe, write_files
    from builder.export.trace import write_embedding

    parts = _chosen(family.load(source), components)
    if parts.language is not None:
        check_config(parts.language.config)  # before the minutes of tracing, not after them
    graphs, scratch = work / "onnx", work / ".scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    graphs.mkdir(exist_ok=True)
    _write_encoders(parts, graphs, progress, chunk_bytes, say)
    write_files(parts, source, work)
    language = parts.language
    if language is not None:
        table, decoder = LANGUAGE
        if table not in progress:
            say(f"writing {table}")
            weight = language.weights["model.embed_tokens.weight"].detach().float().numpy()
            write_embedding(weight, graphs / f"{table}.onnx", chunk_bytes=chunk_bytes)
            del weight
            progress.add(table)
        if decoder not in progress:
            say(f"building {decoder}")
            scratch.mkdir()
            save_plain(language, scratch / "plain")
            tolerance = language.tolerance
            language, parts = None, replace(parts, encoders=(), language=None)
            gc.collect()  # the whole checkpoint goes before the builder reads the language model's copy
            path = graphs / f"{decoder}.onnx"
            build_decoder(scratch / "plain", path, tolerance=tolerance, chunk_bytes=chunk_bytes)
            shutil.rmtree(scratch)
            progress.add(decoder)
    describe(parts, source=source, name=name, family=family.name, folder=work)
    return read_manifest(work)  # as everybody will read it: what cannot be read must not take its place


def _write_encoders(
    parts: Parts, graphs: Path, progress: Progress, chunk_bytes: int, say: Callable[[str], None]
) -> None:
    """Apart from `_write_parts`, so that no name stays with the last encoder: it would hold the whole checkpoint."""
    from builder.export.trace import trace_encoder

    for encoder in parts.encoders:
        if encoder.name not in progress:
            say(f"tracing {encoder.name}")
            trace_encoder(encoder, graphs / f"{encoder.name}.onnx", chunk_bytes=chunk_bytes)
            progress.add(encoder.name)
            gc.collect()  # the tracer leaves its copies of the weights in cycles
