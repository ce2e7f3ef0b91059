"""From whatever was named to a web model that can be published: export, quantize and verify what is still missing.

What is made lies in the project's folder (an export beside its checkpoint, as `export` puts it) or, for embedded
models, in the user's cache, and is taken again by the next run as long as its source is the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from builder.embedded import NAMES, model_dir
from builder.errors import ModelError, PublishError
from builder.folders import new_folder
from builder.manifest import FILE_NAME, Manifest, read_manifest
from builder.paths import cache_folder, web_template
from builder.publish._contract import Report
from builder.site import default_models
from builder.site.page import find_page
from builder.versions import BUILDER

DTYPES = ("fp16", "q8", "q4", "q4f16", "uint8")
SOURCE = ".webgpu-demo-source.json"
"""Beside an export: what it was made of. Not in its manifest, so it is never published."""


CONFIG = re.compile(r'<script type="application/json" id="page-config">(.*?)</script>', re.DOTALL)
"""The page config in a site's index.html."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A page and its web model. The others are of the ``site`` that was given in a page's place.

    ``title``, ``server``, ``index`` and ``photos_url`` are what it was built with, as `build` takes them.
    """

    page: str
    folder: Path
    manifest: Manifest
    site: Path | None = None
    title: str | None = None
    server: str | None = None
    index: Path | None = None
    photos_url: str | None = None


def prepare(page_or_dir: str, model: str | None, report: Report) -> Prepared:
    """Bring the model of a page, or of a site that `build` made, to where it can be published.

    Raises:
        BuilderError: no such page or model, or a verb failed.
    """
    if _is_site(page_or_dir):
        return _from_site(Path(page_or_dir))
    page = find_page(page_or_dir, web_template()).slug
    folder = _model_folder(model or default_models().get(page), page, report)
    return Prepared(page=page, folder=folder, manifest=read_manifest(folder))


def page_of(page_or_dir: str) -> str:
    """The page that is meant: itself, or what a site was built of; what is neither is told by `prepare`."""
    try:
        record = json.loads((Path(page_or_dir) / FILE_NAME).read_text(encoding="utf-8"))
        return str(record["page"]) if _is_site(page_or_dir) else page_or_dir
    except (OSError, ValueError, KeyError, TypeError):
        return page_or_dir


def _is_site(page_or_dir: str) -> bool:
    site = Path(page_or_dir)
    return "/" in page_or_dir or (site.is_dir() and (site / FILE_NAME).is_file())


def _from_site(site: Path) -> Prepared:
    """A site names its page and carries its model, from which it is built again for where it goes."""
    try:
        record = json.loads((site / FILE_NAME).read_text(encoding="utf-8"))
        page = str(record["page"])
        (name,) = (path.name for path in (site / "models").iterdir() if path.is_dir())
        found = CONFIG.search((site / "index.html").read_text(encoding="utf-8"))
        config = json.loads(found[1]) if found is not None else {}
        title = str(config["title"]) if "title" in config else None
        server = str(config["server"]["url"]) if config.get("server") else None
        collection = config.get("collection") or {}
        index = _inside(site, str(collection["index"])) if collection else None
        photos_url = collection.get("photos_url")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PublishError(
            f"{site} is no site of this tool", hint="give a page, or the folder that `webgpu-demo build` made"
        ) from error
    folder = site / "models" / name
    manifest = read_manifest(folder)
    missing = [entry.path for entry in manifest.model_files() if not (folder / entry.path).is_file()]
    if missing:
        raise PublishError(
            f"{site} does not carry its model: {missing[0]} is not there",
            hint=f"name the page and the model instead: webgpu-demo publish {page} --model DIR",
        )
    return Prepared(
        page=page,
        folder=folder,
        manifest=manifest,
        site=site,
        title=title,
        server=server,
        index=index,
        photos_url=photos_url,
    )


def _inside(site: Path, name: str) -> Path:
    path = site / name
    if not path.resolve().is_relative_to(site.resolve()) or not path.is_file():
        raise ValueError(f"{name} is not in the site")
    return path


def _model_folder(model: str | None, page: str, report: Report) -> Path:
    if model is None:
        raise PublishError(f"no embedded model fits {page}", hint="give a checkpoint or a web model with --model")
    if model in NAMES and not Path(model).exists():
        return _embedded(model, report)
    folder = Path(model)
    if (folder / FILE_NAME).is_file():
        return _finished(folder, report)
    return _exported(model, report)


def _finished(folder: Path, report: Report) -> Path:
    """A web model gets dtypes and measurements where it has none: export leaves fp32 for every tier, and no budget."""
    from builder.quantize import quantize
    from builder.verify import verify

    manifest = read_manifest(folder)
    plain = all(dtype == "fp32" for dtypes in manifest.tiers.values() for dtype in dtypes.values())
    if plain and manifest.budget is None:
        report(f"quantizing {folder.name}")
        quantize(folder, every=False, report=report)
        manifest = read_manifest(folder)
    variants = [variant for variants in manifest.components.values() for variant in variants.values()]
    if manifest.budget is not None and any(v.error is None and v.fault is None for v in variants):
        report(f"verifying {folder.name}")
        verify(folder, report=report)
    return folder


def _embedded(name: str, report: Report) -> Path:
    """An embedded model comes as fp32; its dtypes are made once for each version of this package."""
    from builder.quantize import quantize
    from builder.verify import verify

    source = model_dir(name)
    mark = hashlib.sha256((source / FILE_NAME).read_bytes() + BUILDER.encode()).hexdigest()[:16]
    target = cache_folder() / "publish" / mark / name
    if not (target / FILE_NAME).is_file():
        report(f"quantizing and verifying {name}")
        with new_folder(target, error=ModelError) as part:
            shutil.copytree(source, part, dirs_exist_ok=True)
            quantize(part, dtypes=DTYPES, every=False)
            verify(part)
    return target


def _exported(checkpoint: str, report: Report) -> Path:
    """Export a checkpoint, unless what lies there was made of the same one."""
    from builder.export import default_target, export, judge_for
    from builder.hub import fetch_checkpoint

    target = default_target(checkpoint).absolute()
    note = target / SOURCE
    judge = None if Path(checkpoint).is_dir() or note.is_file() else judge_for(target)
    source = fetch_checkpoint(checkpoint, report=report, judge=judge)
    mark = _fingerprint(source)
    if not note.is_file() or note.read_text(encoding="utf-8") != mark:
        export(checkpoint, out=target, report=report)
        note.write_text(mark, encoding="utf-8")
    else:
        report(f"{target} is made of this checkpoint already")
    return _finished(target, report)


def _fingerprint(source: Path) -> str:
    """What a checkpoint is, without reading all of it: names, lengths and times of its files, and this version."""
    files = [
        [path.relative_to(source).as_posix(), path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(source.rglob("*"))
        if path.is_file()
    ]
    return hashlib.sha256(json.dumps([BUILDER, files]).encode()).hexdigest()
