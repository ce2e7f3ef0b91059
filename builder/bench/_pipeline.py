"""Checkpoints brought through export, quantize and verify, each command in a process of its own, measured and kept.

What a step made stays in the work folder with the seconds and the memory it took, under a digest of the sources that
made it: a bench that needs it again, or a second run, takes it as it lies; a changed builder makes it anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from builder.bench._checkpoints import Architecture
from builder.bench._contract import Report
from builder.bench._processes import run_ourselves
from builder.errors import BenchError
from builder.folders import new_folder
from builder.logs import quiet_libraries

PACKAGE = Path(__file__).parents[1]
SHARED = tuple(path.name for path in sorted(PACKAGE.glob("*.py")))
SOURCES = {
    "export": ("export", "embedded", "families", "hub", *SHARED),
    "quantize": ("quantize", "embedded", *SHARED),
    "verify": ("verify", "embedded", "reports", *SHARED),
}
"""Verb → all that it runs of this package: a change of anything else keeps what was made."""
STEPS = "bench-steps.json"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command: what it took, and the digest of what made it."""

    name: str
    seconds: float
    peak_bytes: int
    made_by: str


@dataclass(frozen=True, kw_only=True)
class Made:
    """A web model, and the steps that led to it; ``checkpoint`` is what was exported, where that was done here."""

    path: Path
    steps: tuple[Step, ...]
    checkpoint: Path | None = None


def make_plain(architecture: Architecture, work: Path, report: Report) -> Made:
    """The fp32 web model of an architecture with random weights.

    Raises:
        BenchError: PyTorch is missing, or a command fails.
    """
    written_by = _digest((), [Path(__file__).with_name(name) for name in ("_checkpoints.py", "_tokenizers.py")])
    checkpoint = work / "checkpoints" / f"{architecture.name}-{written_by}"
    target = work / "models" / architecture.name
    made_by = _digest(SOURCES["export"], (written_by,))
    found = _kept(target, (made_by,))
    if found is not None and checkpoint.is_dir():
        return replace(found, checkpoint=checkpoint)
    if not checkpoint.is_dir():
        report(f"{architecture.name}: writing a checkpoint with random weights")
        try:
            with quiet_libraries(), new_folder(checkpoint, error=BenchError) as part:
                architecture.write(part)
        except ImportError as error:
            raise BenchError(
                f"{error.name} is needed to make a checkpoint", hint="pip install 'webgpu-demo-builder[export]'"
            ) from error
    report(f"{architecture.name}: export")
    chosen = [word for name in architecture.components for word in ("--component", name)]
    step = _run("export", made_by, str(checkpoint), "-o", str(target), *chosen)
    _write_steps(target, (step,))
    return Made(path=target, steps=(step,), checkpoint=checkpoint)


def make_quantized(plain: Made, quality: str, report: Report, dtypes: Sequence[str] = ()) -> Made:
    """A copy of a web model, quantized and verified for ``quality``.

    Raises:
        BenchError: a command fails.
    """
    target = plain.path.with_name("-".join([plain.path.name, quality, *dtypes]))
    marks = [step.made_by for step in plain.steps]
    wanted = (*marks, _digest(SOURCES["quantize"], marks), _digest(SOURCES["verify"], marks))
    found = _kept(target, wanted)
    if found is not None:
        return found
    steps = list(plain.steps)
    with new_folder(target, error=BenchError) as part:
        shutil.copytree(plain.path, part, dirs_exist_ok=True)  # whole: onnx refuses files that are hard links
        (part / STEPS).unlink(missing_ok=True)
        for name in ("quantize", "verify"):
            report(f"{target.name}: {name}")
            options = ["--quality", quality]
            if name == "quantize":  # the smallest that is good enough is the same as with every candidate measured
                options += ["--first", *(word for dtype in dtypes for word in ("--dtype", dtype))]
            steps.append(_run(name, wanted[len(steps)], str(part), *options))
        _write_steps(part, tuple(steps))
    return Made(path=target, steps=tuple(steps))


def _run(name: str, made_by: str, *arguments: str) -> Step:
    done = run_ourselves(name, *arguments, "--quiet", what=f"webgpu-demo {name}")
    return Step(name=name, seconds=round(done.seconds, 1), peak_bytes=done.peak_bytes, made_by=made_by)


def _kept(folder: Path, wanted: tuple[str, ...]) -> Made | None:
    path = folder / STEPS
    if not path.is_file():
        return None
    steps = tuple(Step(**found) for found in json.loads(path.read_text(encoding="utf-8")))
    return Made(path=folder, steps=steps) if tuple(step.made_by for step in steps) == wanted else None


def _write_steps(folder: Path, steps: tuple[Step, ...]) -> None:
    text = json.dumps([asdict(step) for step in steps], indent=1)
    (folder / STEPS).write_text(text, encoding="utf-8")


def _digest(names: Sequence[str], more: Sequence[Path | str]) -> str:
    """Of the sources by name, and of what else decides."""
    digest = hashlib.sha256()
    for name in names:
        place = PACKAGE / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.read_bytes())
    for part in more:
        digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
    return digest.hexdigest()[:16]
