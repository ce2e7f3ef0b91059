"""`manifest.json` of a web model: what it is, its files, its dtypes, and how far each dtype is from fp32.

It is one of the two JSON files that Python and the browser share. Start with `Manifest`; `read_manifest` and
`write_manifest` are the only way from and to disk. This module knows nothing of ONNX: verify/ measures, this stores.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from builder.errors import ModelError

FORMAT = 1
FILE_NAME = "manifest.json"
SUFFIXES: Mapping[str, str] = {
    "fp32": "",
    "fp16": "_fp16",
    "q8": "_quantized",
    "q4": "_q4",
    "q4f16": "_q4f16",
}
"""dtype → file suffix, as transformers.js spells them."""
TIERS = ("webgpu-f16", "webgpu", "wasm")
"""Device tiers: WebGPU with and without the shader-f16 feature, and no WebGPU."""


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of a web model; ``path`` is relative to the folder, with forward slashes."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """A session input or output. Dynamic axes are names, fixed ones numbers; ``type`` is NumPy's name."""

    name: str
    type: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True)
class ErrorMeasure:
    """Distance from fp32 over all outputs: greatest absolute, RMS relative to fp32's RMS, and the lowest cosine."""

    max_abs: float
    relative: float
    cosine: float


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One component in one dtype: one ONNX file, its external data, its signature, its measured error."""

    path: str
    size_bytes: int
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    data: tuple[FileEntry, ...] = ()
    error: ErrorMeasure | None = None

    @property
    def total_bytes(self) -> int:
        return self.size_bytes + sum(entry.size_bytes for entry in self.data)


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """Input size in pixels and, for captioners, the rows that one picture takes in the prompt."""

    width: int
    height: int
    tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Prompt:
    id: str
    label: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Generation:
    max_new_tokens: int = 64


@dataclass(frozen=True, kw_only=True)
class Context:
    """``text_tokens``: the length that texts are padded to, or the longest context of a captioner."""

    text_tokens: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that the pages, publish and the report know about a web model."""

    name: str
    family: str
    task: str
    model_type: str
    image: ImageFacts
    context: Context
    components: Mapping[str, Mapping[str, Variant]]
    files: tuple[FileEntry, ...]
    prompts: tuple[Prompt, ...] = ()
    generation: Generation = field(default_factory=Generation)
    tiers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def model_files(self, dtypes: Mapping[str, Iterable[str]] | None = None) -> list[FileEntry]:
        """All files of the model but the manifest; with ``dtypes`` (component → dtypes) only those ONNX files."""
        entries = list(self.files)
        for component, variants in self.components.items():
            for dtype, variant in variants.items():
                if dtypes is None or dtype in dtypes.get(component, ()):
                    entries.append(FileEntry(path=variant.path, size_bytes=variant.size_bytes, sha256=variant.sha256))
                    entries.extend(variant.data)
        return entries

    def tier_dtypes(self) -> dict[str, set[str]]:
        """component → the dtypes that some tier names: what a site has to carry."""
        wanted: dict[str, set[str]] = {component: set() for component in self.components}
        for dtype_map in self.tiers.values():
            for component, dtype in dtype_map.items():
                wanted[component].add(dtype)
        return wanted

    def tier_bytes(self, tier: str) -> int:
        """First download of a tier in bytes, without the browser runtime."""
        graphs = sum(self.components[c][dtype].total_bytes for c, dtype in self.tiers[tier].items())
        return graphs + sum(entry.size_bytes for entry in self.files)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_entry(root: Path, path: str) -> FileEntry:
    """Measure one file of the folder ``root``."""
    return FileEntry(path=path, size_bytes=(root / path).stat().st_size, sha256=file_sha256(root / path))


def read_manifest(model_dir: Path) -> Manifest:
    """Read the manifest of a web model folder.

    Raises:
        ModelError: no folder, no manifest in it, or one that this version cannot read.
    """
    path = model_dir / FILE_NAME
    if not path.is_file():
        raise ModelError(
            f"{model_dir} is no web model: it holds no {FILE_NAME}",
            hint="give a folder made by `webgpu-demo export`, or the name of an embedded model",
        )
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        found = raw.get("format")
        if found != FORMAT:
            raise ModelError(
                f"{path} has format {found!r}, this version reads {FORMAT}",
                hint="export the model again with this version of webgpu-demo",
            )
        manifest = _parse(Manifest, raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{path} cannot be read: {error}", hint="run `webgpu-demo verify` on the folder, or export it again"
        ) from error
    assert isinstance(manifest, Manifest)
    return manifest


def write_manifest(model_dir: Path, manifest: Manifest) -> None:
    """Write the manifest whole or not at all.

    Raises:
        ModelError: the folder cannot be written.
    """
    path = model_dir / FILE_NAME
    part = path.with_name(f".{FILE_NAME}.part")
    try:
        part.write_text(json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be written: {(error.strerror or str(error)).lower()}",
            hint="make room, or copy the model to a folder that you may write to",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _parse(kind: Any, value: Any) -> Any:
    """Build the dataclass, mapping or tuple ``kind`` from plain JSON, refusing what does not fit."""
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        known = {f.name for f in fields(kind)}
        return kind(**{key: _parse(hints[key], item) for key, item in value.items() if key in known})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [a for a in arguments if a is not type(None)]
        if len(options) == 1:
            return _parse(options[0], value)
        if not isinstance(value, tuple(options)):
            raise TypeError(f"{value!r} is neither of {options}")
        return value
    if origin is tuple:
        return tuple(_parse(arguments[0], item) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {str(key): _parse(arguments[1], item) for key, item in value.items()}
    if kind is float and isinstance(value, int):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
