"""Files that a site takes as they are: the page's scripts, the browser runtime, the web model.

`plan_*` functions look and check, `copy_file` writes. JavaScript loses its comments on the way and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from builder.album.space import ENCODER, vector_space
from builder.errors import BuilderError, ModelError, SiteError
from builder.manifest import FileEntry, Manifest
from builder.site.comments import without_comments
from builder.site.page import Page
from builder.site.render import APP, MODELS, RUNTIME

SERVED = frozenset({".js", ".css", ".svg", ".png", ".woff2"})
"""What a page folder or shared/ may send to the browser; types, templates and notes stay at home."""
SERVICE_WORKER = "sw.js"
COMMENTED = frozenset({".js", ".css"})
"""Files of this project that a site gets without their comments; what has a checksum is somebody else's."""
EVERY_PAGE = ("@huggingface/transformers", "onnxruntime-web")
"""Packages of the browser runtime that every page needs."""
CHUNK_BYTES = 1 << 20
REFERENCE = re.compile(r"""(?:\bfrom|\bimport|\bimport\(|\bURL\()\s*['"](\.[^'"]+\.js)['"]""")
"""How a module names another one: `from './x.js'`, `import './x.js'`, `import('./x.js')`, `new URL('./x.js', …)`."""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One file to copy to ``path`` in the site; ``sha256`` is checked on the way where it is known."""

    source: Path
    path: str
    sha256: str | None = None


def plan_scripts(page: Page, template: Path) -> list[Copy]:
    """The page's own files and what they reach of shared/, at the same distance from each other as in web_template/."""
    shared, own = (
        {path.resolve() for path in folder.rglob("*") if path.is_file() and path.suffix in SERVED}
        for folder in (template / "shared", page.folder)
    )
    words = shared & {(template / "shared" / "zh.js").resolve()}  # language.js makes up its name
    reached = _reached(own | words) | {path for path in shared if path.suffix != ".js"}
    sources = [*sorted(shared & reached), *sorted(own)]
    return [
        # A service worker rules over the folder in which it lies: this one, over the whole site.
        Copy(source=template / SERVICE_WORKER, path=SERVICE_WORKER),
        *(Copy(source=source, path=APP + source.relative_to(template.resolve()).as_posix()) for source in sources),
    ]


def _reached(files: set[Path]) -> set[Path]:
    """These files, and every module that one of them imports, at once or later, or starts as a worker."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        if path.suffix == ".js":
            names = REFERENCE.findall(without_comments(path.read_text(encoding="utf-8")))
            waiting += [(path.parent / name).resolve() for name in names]
    return found


def plan_runtime(runtime: Path, libraries: tuple[str, ...] = ()) -> list[Copy]:
    """The browser runtime with its licences, and the further packages that a page names, as runtime.json lists them.

    Raises:
        SiteError: runtime.json cannot be read, a file is missing, or there is no such package.
    """
    try:
        record = json.loads((runtime / "runtime.json").read_text(encoding="utf-8"))
        copies = [
            Copy(source=runtime / entry["path"], path=RUNTIME + entry["path"], sha256=entry["sha256"])
            for entry in record["files"]
            if entry["package"] in (None, *EVERY_PAGE, *libraries)
        ]
        unknown = set(libraries) - {entry["package"] for entry in record["files"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SiteError(
            f"{runtime / 'runtime.json'} cannot be read: {error!r}", hint="install the package again"
        ) from error
    if unknown:
        raise SiteError(
            f"there is no browser library {', '.join(sorted(unknown))}", hint="see VENDORED in hatch_build.py"
        )
    missing = [copy.path for copy in copies if not copy.source.is_file()]
    if missing:
        raise SiteError(f"the browser runtime lacks {', '.join(missing)}", hint="install the package again")
    return copies


def site_manifest(manifest: Manifest, components: tuple[str, ...] | None = None) -> Manifest:
    """Cut a model's manifest down to what the site carries: the page's components in the dtypes that some tier gets.

    Raises:
        ModelError: the manifest names no tier, or lacks a component.
    """
    if not manifest.tiers:
        raise ModelError(
            f"{manifest.name} names no dtype for any device", hint="run `webgpu-demo verify` on its folder"
        )
    absent = [name for name in components or () if name not in manifest.components]
    if absent:
        raise ModelError(f"{manifest.name} has no {', no '.join(absent)}", hint="export the checkpoint again")
    wanted = {name: d for name, d in manifest.tier_dtypes().items() if components is None or name in components}
    carried = {
        name: {dtype: variant for dtype, variant in variants.items() if dtype in wanted[name]}
        for name, variants in manifest.components.items()
        if name in wanted
    }
    tiers = {
        tier: {name: dtype for name, dtype in dtypes.items() if name in wanted}
        for tier, dtypes in manifest.tiers.items()
    }
    space = vector_space(manifest) if ENCODER in manifest.components else None  # what it follows from may be cut out
    return replace(manifest, components=carried, tiers=tiers, vector_space=space)


def plan_model(model_dir: Path, manifest: Manifest) -> list[Copy]:
    """The files that the manifest lists.

    Raises:
        ModelError: files are missing or have another size; all of them are named.
    """
    entries = manifest.model_files()
    wrong = [problem for entry in entries if (problem := _look(model_dir, entry))]
    if wrong:
        raise ModelError(f"{model_dir} is damaged: {'; '.join(wrong)}", hint="export or download the model again")
    root = f"{MODELS}{manifest.name}/"
    return [Copy(source=model_dir / e.path, path=root + e.path, sha256=e.sha256) for e in entries]


def copy_file(copy: Copy, root: Path) -> None:
    """Copy one file below ``root`` and compare its checksum on the way.

    Raises:
        BuilderError: the source cannot be read or is not what was recorded; `ModelError` for a model's file.
        OSError: the target cannot be written.
    """
    target = root / copy.path
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        if copy.sha256 is None and copy.source.suffix in COMMENTED:
            code = without_comments(copy.source.read_bytes().decode("utf-8"))
            target.write_bytes(code.encode("utf-8"))
            return
        source = copy.source.open("rb")
    except OSError as error:
        raise _bad_source(copy, f"cannot be read: {error.strerror}") from error
    with source, target.open("wb") as out:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            out.write(chunk)
    if copy.sha256 is not None and digest.hexdigest() != copy.sha256:
        raise _bad_source(copy, "is corrupt: its checksum is not the recorded one")


def _bad_source(copy: Copy, what: str) -> BuilderError:
    if copy.path.startswith(MODELS):
        return ModelError(f"{copy.source} {what}", hint="export or download the model again")
    return SiteError(f"{copy.source} {what}", hint="install the package again")


def _look(model_dir: Path, entry: FileEntry) -> str:
    """Say what is wrong with a listed file, or nothing. Contents are compared later, while copying."""
    path = model_dir / entry.path
    if not path.is_file():
        return f"{entry.path} is missing"
    size = path.stat().st_size
    return f"{entry.path} has {size} bytes instead of {entry.size_bytes}" if size != entry.size_bytes else ""
