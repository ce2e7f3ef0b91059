"""`manifest.json` of a web model: what it is, its files, its dtypes, and how far each dtype is from fp32.

It is one of the two JSON files that Python and the browser share. Start with `Manifest`; `read_manifest` and
`write_manifest` are the only way from and to disk. What was read can be relied on: files lie inside the folder, tiers
name what there is. This module knows nothing of ONNX: verify/ measures, this stores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from builder.errors import ModelError
from builder.folders import new_file, way_out

FORMAT = 1
FILE_NAME = "manifest.json"
SUFFIXES: Mapping[str, str] = {
    "fp32": "",
    "fp16": "_fp16",
    "q8": "_quantized",
    "uint8": "_uint8",
    "q4": "_q4",
    "q4f16": "_q4f16",
}
"""dtype → file suffix, as transformers.js spells them."""
DECODER = "decoder_model_merged"
"""The component that writes text, a row for each token, from what the others made of picture and words."""
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
class Budget:
    """How far from fp32 a variant may be: its lowest cosine and its greatest relative error, see `ErrorMeasure`.

    The logits of a decoder may be ``logits`` times as far: only which of them is the greatest counts, while features
    and vectors are handed on or compared as they are. ``any_block`` lets matrix products have blocks of more than 32
    values: smaller files, which read a prompt slowly on some devices (quantize/recipe.py).
    """

    name: str
    cosine: float
    relative: float
    logits: float = 1.0
    any_block: bool = False

    def of(self, component: str) -> Budget:
        """The budget of one component, with the slack of a decoder."""
        if not component.startswith("decoder"):
            return self
        # The cosine of an error without a direction is 1 - relative² / 2.
        cosine = 1 - (1 - self.cosine) * self.logits**2
        return replace(self, cosine=cosine, relative=self.relative * self.logits, logits=1.0)

    def keeps(self, error: ErrorMeasure | None) -> bool:
        """Whether a measured error stays within; what was not measured does not."""
        return error is not None and error.cosine >= self.cosine and error.relative <= self.relative


@dataclass(frozen=True, kw_only=True)
class Quality:
    """What the dtypes of one tier do to the task itself, on ``images`` pictures of ``source``.

    Shares from 0 to 1 by name; builder/evaluation.py says what each of them counts. ``fp32`` holds those that fp32
    has too: a caption is right or wrong whoever wrote it, but only the others can differ from fp32.
    """

    source: str
    images: int
    scores: Mapping[str, float]
    fp32: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One component in one dtype: one ONNX file, its external data, its signature, its measured error.

    ``recipe`` says how quantize made it; None is export's, or somebody else's. ``fault`` is why nobody may have it: it
    does not load or run, or gives no numbers. ``not_on_webgpu`` is why no WebGPU tier may, ``needs_f16`` keeps it from
    those without float16. ``largest_tensor_bytes`` is what one WebGPU buffer must hold at least.
    """

    path: str
    size_bytes: int
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    data: tuple[FileEntry, ...] = ()
    error: ErrorMeasure | None = None
    recipe: str | None = None
    fault: str | None = None
    needs_f16: bool = False
    not_on_webgpu: str | None = None
    largest_tensor_bytes: int | None = None

    @property
    def total_bytes(self) -> int:
        return self.size_bytes + sum(entry.size_bytes for entry in self.data)


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """How a picture becomes the model's input of ``width`` × ``height`` pixels.

    ``tokens`` are, for captioners, the rows that one such picture takes in the prompt. ``fit``: "crop" resizes the
    shorter edge and takes the centre, "letterbox" pads to a centred square with black and resizes that, "stretch"
    resizes both edges. ``resample``: Pillow's "bilinear", "bicubic" or "lanczos", all of them antialiased.
    """

    width: int
    height: int
    tokens: int | None = None
    fit: str = "crop"
    resample: str = "bilinear"


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
class Origin:
    """Where a model comes from and under which terms; None is what its checkpoint does not say.

    ``base_model`` is a Hub id. ``license`` is the Hub's identifier, with name and link where that is "other".
    """

    base_model: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that the pages, publish and the report know about a web model.

    ``tiers`` is device tier → component → dtype, and what no tier names is not shipped (`tier_dtypes`): it stays in
    the working folder. ``budget`` is what the tiers were chosen by, ``quality`` what that does to the task, by tier.
    ``vector_space`` stands in the manifest of a site, which may lack the files that it follows from (album/space.py).
    """

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
    budget: Budget | None = None
    quality: Mapping[str, Quality] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)
    vector_space: str | None = None
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

    def sizes(self) -> dict[str, dict[str, int]]:
        """component → dtype → bytes, external data included."""
        return {name: {dtype: v.total_bytes for dtype, v in dtypes.items()} for name, dtypes in self.components.items()}

    def tier_bytes(self, tier: str) -> int:
        """First download of a tier in bytes, without the browser runtime.

        Cards and licences are not fetched. Of a dual encoder the towers count: its combined ``model`` repeats them, and
        a page loads one or the other.
        """
        dtypes = dict(self.tiers[tier])
        if {"text_model", "vision_model"} <= dtypes.keys():
            dtypes.pop("model", None)
        graphs = sum(self.components[c][dtype].total_bytes for c, dtype in dtypes.items())
        return graphs + sum(entry.size_bytes for entry in self.files if entry.path.endswith(".json"))


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_entry(root: Path, path: str) -> FileEntry:
    """Measure one file of the folder ``root``."""
    return FileEntry(path=path, size_bytes=(root / path).stat().st_size, sha256=file_sha256(root / path))


def read_manifest(model_dir: Path) -> Manifest:
    """Read the manifest of a web model folder.

    Raises:
        ModelError: no folder, no manifest in it, one that this version cannot read or that contradicts itself, or
            files that lie outside the folder or behind links.
    """
    path = model_dir / FILE_NAME
    if not path.is_file():
        raise ModelError(
            f"{model_dir} is no web model: it holds no {FILE_NAME}",
            hint="give a folder made by `webgpu-demo export`",
        )
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        found = raw.get("format")
        if found != FORMAT:
            raise ModelError(
                f"{path} has format {found!r}, this version reads {FORMAT}",
                hint="export the model again with this version of webgpu-demo",
            )
        manifest = parse(Manifest, raw)
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}", hint="make it readable, or copy it anew"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint="export or download the model again") from error
    assert isinstance(manifest, Manifest)
    check_inside(model_dir, (entry.path for entry in manifest.model_files()))
    _check_tiers(path, manifest)
    return manifest


def check_inside(model_dir: Path, paths: Iterable[str]) -> None:
    """Make sure that files lie in the folder themselves: what a link points to was perhaps never meant to be shown.

    Raises:
        ModelError: some lie outside, or behind links; all are named.
    """
    outside = [f"{path} {problem}" for path in paths if (problem := way_out(model_dir, path))]
    if outside:
        raise ModelError(
            f"{model_dir} lists files outside itself: {', '.join(outside)}",
            hint="do not use this model; if it is yours, put copies in the place of links",
        )


def _check_tiers(path: Path, manifest: Manifest) -> None:
    unknown = [
        f"{component} {dtype} ({tier})"
        for tier, dtypes in manifest.tiers.items()
        for component, dtype in dtypes.items()
        if dtype not in manifest.components.get(component, {})
    ]
    if unknown:
        raise ModelError(
            f"{path} names what it does not describe: {', '.join(unknown)}",
            hint='remove it from "tiers" and run `webgpu-demo verify`, or export the model again',
        )


def write_manifest(model_dir: Path, manifest: Manifest) -> None:
    """Write the manifest whole or not at all.

    Raises:
        ModelError: the folder cannot be written.
    """
    elsewhere = "copy the model to a folder that you may write to"
    with new_file(model_dir / FILE_NAME, error=ModelError, otherwise=elsewhere) as part:
        text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False, allow_nan=False)  # no browser reads NaN
        part.write_text(text + "\n", encoding="utf-8")


def parse(kind: Any, value: Any) -> Any:
    """Build the dataclass, mapping or tuple ``kind`` from plain JSON, refusing what does not fit."""
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        known = {f.name for f in fields(kind)}
        return kind(**{key: parse(hints[key], item) for key, item in value.items() if key in known})
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [a for a in arguments if a is not type(None)]
        if len(options) == 1:
            return parse(options[0], value)
        if not isinstance(value, tuple(options)):
            raise TypeError(f"{value!r} is neither of {options}")
        return value
    if origin is tuple:
        return tuple(parse(arguments[0], item) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {str(key): parse(arguments[1], item) for key, item in value.items()}
    if kind is float and isinstance(value, int):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
