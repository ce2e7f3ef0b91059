"""Checkpoints brought through export, quantize and verify, each command in a process of its own: kept, or measured.

What is only needed to measure something else on (`make_plain`, `make_quantized`) stays in the work folder under a
digest of the sources that made it: a bench that needs it again, or a second run, takes it as it lies; a changed builder
makes it anew. What is measured (`run_steps`) is always made anew.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from builder.bench._checkpoints import Architecture
from builder.bench._contract import Report
from builder.bench._processes import Finished, run_ourselves
from builder.errors import BenchError
from builder.folders import new_folder
from builder.logs import quiet_libraries

PACKAGE = Path(__file__).parents[1]
STEPS = "bench-steps.json"
WRITERS = ("_checkpoints.py", "_tokenizers.py")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A web model, and the digest of what made it, step by step; ``checkpoint`` is what was exported here."""

    path: Path
    made_by: tuple[str, ...]
    checkpoint: Path | None = None


def make_checkpoint(architecture: Architecture, work: Path, report: Report) -> Path:
    """A checkpoint of an architecture with random weights, kept.

    Raises:
        BenchError: PyTorch is missing.
    """
    write = architecture.write if isinstance(architecture.write, partial) else partial(architecture.write)
    sources = [Path(inspect.getfile(write.func)), *(Path(__file__).with_name(name) for name in WRITERS)]
    written_by = _digest([*sources, repr(write.keywords)])
    checkpoint = work / "checkpoints" / f"{architecture.name}-{written_by}"
    if not checkpoint.is_dir():
        report(f"{architecture.name}: writing a checkpoint with random weights")
        try:
            with quiet_libraries(), new_folder(checkpoint, error=BenchError) as part:
                architecture.write(part)
        except ImportError as error:
            raise BenchError(
                f"{error.name} is needed to make a checkpoint", hint="pip install 'webgpu-demo-builder[export]'"
            ) from error
    return checkpoint


def make_plain(architecture: Architecture, work: Path, report: Report) -> Made:
    """The fp32 web model of an architecture with random weights, kept.

    Raises:
        BenchError: PyTorch is missing, or a command fails.
    """
    checkpoint = make_checkpoint(architecture, work, report)
    target = work / "models" / architecture.name
    wanted = (_digest([checkpoint.name, *sources_of("export")]),)
    if not _is_kept(target, wanted):
        report(f"{architecture.name}: export")
        run_ourselves(*_export(checkpoint, target, architecture.components), what="webgpu-demo export")
        _write_steps(target, wanted)
    return Made(path=target, made_by=wanted, checkpoint=checkpoint)


def make_quantized(plain: Made, quality: str, report: Report, dtypes: Sequence[str] = ()) -> Made:
    """A copy of a web model, quantized and verified for ``quality``, kept.

    Raises:
        BenchError: a command fails.
    """
    target = plain.path.with_name("-".join([plain.path.name, quality, *dtypes]))
    steps = _after_export(target, quality, dtypes)
    wanted = (*plain.made_by, *(_digest([*plain.made_by, *sources_of(name)]) for name in steps))
    made = replace(plain, path=target, made_by=wanted)
    if _is_kept(target, wanted):
        return made
    with new_folder(target, error=BenchError) as part:
        shutil.copytree(plain.path, part, dirs_exist_ok=True)  # whole: onnx refuses files that are hard links
        (part / STEPS).unlink(missing_ok=True)
        for name, arguments in _after_export(part, quality, dtypes).items():
            report(f"{target.name}: {name}")
            run_ourselves(*arguments, what=f"webgpu-demo {name}")
        _write_steps(part, wanted)
    return made


def run_steps(
    checkpoint: Path,
    folder: Path,
    report: Report,
    *,
    components: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    verify: bool = True,
) -> dict[str, Finished]:
    """Export into the new ``folder``, quantize and verify there: what each command took, by its name.

    Raises:
        BenchError: a command fails.
    """
    steps = {"export": _export(checkpoint, folder, components), **_after_export(folder, "balanced", dtypes)}
    if not verify:
        del steps["verify"]
    taken = {}
    for name, arguments in steps.items():
        report(f"{folder.name}: {name}")
        taken[name] = run_ourselves(*arguments, what=f"webgpu-demo {name}")
    return taken


def _export(checkpoint: Path, folder: Path, components: Sequence[str]) -> tuple[str, ...]:
    chosen = [word for name in components for word in ("--component", name)]
    return ("export", str(checkpoint), "-o", str(folder), *chosen, "--quiet")


def _after_export(folder: Path, quality: str, dtypes: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    """Command → its words. The smallest that is good enough is the same as with every candidate measured."""
    wanted = [word for dtype in dtypes for word in ("--dtype", dtype)]
    rest = (str(folder), "--quality", quality, "--quiet")
    return {"quantize": ("quantize", *rest, "--first", *wanted), "verify": ("verify", *rest)}


def _is_kept(folder: Path, wanted: tuple[str, ...]) -> bool:
    path = folder / STEPS
    return path.is_file() and tuple(json.loads(path.read_text(encoding="utf-8"))) == wanted


def _write_steps(folder: Path, made_by: tuple[str, ...]) -> None:
    (folder / STEPS).write_text(json.dumps(made_by), encoding="utf-8")


@cache
def sources_of(part: str) -> tuple[Path, ...]:
    """The sources of a part of the package (a verb, a module) and of every part that it imports, however far away."""
    found: dict[str, list[Path]] = {}
    waiting = [part]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        place = PACKAGE / name
        found[name] = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
        waiting += [other for path in found[name] for other in _imported(path)]
    return tuple(path for name in sorted(found) for path in found[name])


def _imported(path: Path) -> Iterator[str]:
    """Parts of the package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            package, _, rest = name.partition(".")
            part = rest.partition(".")[0]
            if package == PACKAGE.name and ((PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()):
                yield part


def _digest(parts: Sequence[Path | str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
    return digest.hexdigest()[:16]
