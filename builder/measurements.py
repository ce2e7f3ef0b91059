"""`measurements.json` of a web model: every candidate that quantize tried, and where errors and large values arise.

The report is drawn from it; pages and publish never read it, which is why none of it stands in the manifest. quantize
writes candidates and ranges, verify the errors by layer.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from builder.errors import ModelError
from builder.manifest import ErrorMeasure, parse

FILE_NAME = "measurements.json"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to make one component smaller. ``error`` is None where it gave no finite numbers, ``why`` says so."""

    dtype: str
    recipe: str
    size_bytes: int
    error: ErrorMeasure | None
    chosen: bool = False
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class LayerError:
    """How far the output of one layer is from fp32's, all layers before it included: RMS relative to fp32's RMS."""

    name: str
    relative: float


@dataclass(frozen=True, kw_only=True)
class ValueRange:
    """The greatest magnitude that one inner tensor of the fp32 graph reached on the calibration inputs."""

    name: str
    greatest: float
    kept_fp32: bool = False


@dataclass(frozen=True, kw_only=True)
class KeptNode:
    """A node that float16 variants compute in float32: the tensor that leaves the range, and what it reached."""

    node: str
    operator: str
    tensor: str
    greatest: float


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """By component: candidates, ranges, nodes kept float32, and by dtype the errors of its layers in the graph's order.

    ``notes`` say of a component what was not done, and why. ``pictures`` is the folder of the user's that candidates
    were measured on, None for drawn scenes. ``commands`` are those that made the folder, verify's last.
    """

    candidates: Mapping[str, tuple[Candidate, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[ValueRange, ...]] = field(default_factory=dict)
    kept: Mapping[str, tuple[KeptNode, ...]] = field(default_factory=dict)
    layers: Mapping[str, Mapping[str, tuple[LayerError, ...]]] = field(default_factory=dict)
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: str | None = None
    commands: tuple[str, ...] = ()


def read_measurements(model_dir: Path) -> Measurements:
    """Read what was measured so far; nothing where there is no file.

    Raises:
        ModelError: the file is there and cannot be read.
    """
    path = model_dir / FILE_NAME
    if not path.is_file():
        return Measurements()
    try:
        found = parse(Measurements, json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint=f"delete it and quantize again: {path}") from error
    assert isinstance(found, Measurements)
    return found


def write_measurements(folder: Path, measurements: Measurements) -> None:
    """Write them whole or not at all."""
    path = folder / FILE_NAME
    part = path.with_name(f".{FILE_NAME}.part")
    try:
        part.write_text(json.dumps(asdict(measurements), indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def command_line(verb: str, model_dir: Path, options: Sequence[str]) -> str:
    """A command as somebody would type it, for the report; a folder that is still being made has its later name."""
    name = model_dir.resolve().name
    if name.endswith(".part"):
        name = name.removeprefix(".").removesuffix(".part")
    return shlex.join(["webgpu-demo", verb, name, *options])
