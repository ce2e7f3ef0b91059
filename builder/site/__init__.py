"""build: render a page and a web model into a folder of static files, ready for any static host.

Start with `build`. page.py finds pages, render.py makes HTML and the page config, assets.py copies the rest,
addresses.py checks what the page is told to fetch from. The folder's manifest.json lists every file and marks the
folder as this tool's. Nothing here knows where a site is put.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from builder.embedded import NAMES, model_dir
from builder.errors import BuilderError, ModelError, SiteError, did_you_mean
from builder.folders import new_folder
from builder.manifest import FILE_NAME, FileEntry, Manifest, file_entry, read_manifest
from builder.paths import browser_runtime, web_template
from builder.policy import site_policy
from builder.sentences import FILE_NAME as SENTENCES
from builder.sentences import sentences_record
from builder.site.addresses import page_address, page_origin, photos_address
from builder.site.assets import Copy, copy_file, plan_model, plan_runtime, plan_scripts, site_manifest
from builder.site.collection import Collection, plan_collection
from builder.site.icons import write_icons
from builder.site.page import Page, all_pages, find_page
from builder.site.render import (
    MODELS,
    SERVER_LIBRARY,
    WEB_MANIFEST,
    Outside,
    page_config,
    picture_origins,
    render_index,
    render_page,
    web_manifest,
)
from builder.versions import GENERATOR

__all__ = ["BuiltSite", "build", "default_models", "write_index"]

FORMAT = 1
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
"""What the model's folder in the site, and so a part of an address, may be called."""
LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class BuiltSite:
    """A site on disk; ``files`` are all of it but its own manifest.json."""

    path: Path
    page: str
    model: str
    files: tuple[FileEntry, ...]
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class _Plan:
    page: Page
    title: str
    out: Path
    model_dir: Path
    manifest: Manifest
    outside: Outside
    copies: tuple[Copy, ...]
    collection: Collection | None = None


def build(
    page: str,
    *,
    model: str | Path | None = None,
    out: Path | None = None,
    title: str | None = None,
    model_url: str | None = None,
    server: str | None = None,
    origins: Sequence[str] = (),
    index: Path | None = None,
    photos_url: str | None = None,
    report: Callable[[str], None] | None = None,
) -> BuiltSite:
    """Build the site of ``page`` into ``out`` (default: ``site/PAGE``).

    ``model`` is the name of an embedded model or a web model folder; by default the embedded model of the page's task.
    Only the dtypes that some device tier gets are taken. With ``model_url``, the address of a published folder of that
    model, the site carries the model's manifest alone; ``server`` is the address of a Gradio fallback for visitors
    whose browser cannot run the model, and ``origins`` are those to which either of them redirects. ``index`` is an
    index of photos for the page to search, copied into the site, and ``photos_url`` the folder in which the photos
    themselves lie: an address, or a path beside index.html. Vectors of a page's own sentences are computed where the
    model runs here (builder/sentences.py). Building twice gives byte-identical folders. The folder appears whole or not
    at all; one that an earlier build made is replaced, any other is left alone.

    Raises:
        SiteError: no such page, the model does not fit it, the folder is not ours or cannot be written.
        ModelError: no web model, or a damaged one; corrupt files are named.
        IndexFileError: the index is none, is damaged, or belongs to another model.
    """
    outside = Outside(
        model_url=page_address("model_url", model_url, folder=True),
        server=page_address("server", server),
        origins=tuple(page_origin("a redirect's origin", origin) for origin in origins),
    )
    photos = photos_address(photos_url, index)
    plan = _plan(page, model=model, out=out, title=title, outside=outside, index=index, photos_url=photos)
    say = report if report is not None else (lambda line: None)
    say(f"building {plan.page.slug} with {plan.manifest.name}")
    return _apply(plan, say)


def default_models() -> dict[str, str]:
    """Page → the embedded model that it is built with when none is named."""
    by_task = {read_manifest(model_dir(name)).task: name for name in NAMES}
    return {slug: by_task[page.task] for slug, page in all_pages(web_template()).items() if page.task in by_task}


def write_index(root: Path, slugs: Sequence[str], *, title: str) -> None:
    """Write ``root/index.html``, which links the sites that lie in folders of their pages' names."""
    template = web_template()
    html = render_index([find_page(slug, template) for slug in slugs], title=title, template=template)
    (root / "index.html").write_text(html, encoding="utf-8", newline="\n")


def _plan(
    name: str,
    *,
    model: str | Path | None,
    out: Path | None,
    title: str | None,
    outside: Outside,
    index: Path | None,
    photos_url: str | None,
) -> _Plan:
    """Look at everything before anything is written, and report all problems at once."""
    template = web_template()
    problems: list[BuilderError] = []

    def attempt(step: Callable[[], T]) -> T | None:
        try:
            return step()
        except BuilderError as problem:
            problems.append(problem)
            return None

    if title is not None and not title.strip():
        problems.append(SiteError("the title is empty", hint="give one, or leave --title out"))
    target = (out if out is not None else Path("site") / name).resolve()
    page = attempt(lambda: find_page(name, template))
    libraries = (*(page.libraries if page else ()), *((SERVER_LIBRARY,) if outside.server else ()))
    runtime = attempt(lambda: plan_runtime(browser_runtime(), libraries))
    attempt(lambda: _check_target(target))
    chosen = attempt(lambda: _choose_model(model, page))
    copies = attempt(lambda: plan_model(*chosen)) if chosen else None
    if chosen and page and chosen[1].task != page.task:
        problems.append(_misfit(page, chosen[1], template))
    if outside.server and page and not page.server:
        problems.append(SiteError(f"{page.slug} cannot work with a server", hint="leave --server out"))
    collection = None
    if index is not None and page and chosen and not problems:
        manifest = chosen[1]
        collection = attempt(lambda: plan_collection(index, photos_url, page=page, manifest=manifest))
    if problems or page is None or runtime is None or chosen is None or copies is None:
        raise _join(problems)
    return _Plan(
        page=page,
        title=title if title is not None else page.title,
        out=target,
        model_dir=chosen[0],
        manifest=chosen[1],
        outside=outside,
        copies=(
            *plan_scripts(page, template),
            *runtime,
            *(() if outside.model_url else copies),
            *((collection.copy,) if collection else ()),
        ),
        collection=collection,
    )


def _apply(plan: _Plan, say: Callable[[str], None]) -> BuiltSite:
    with new_folder(plan.out, error=SiteError) as part:
        for copy in plan.copies:
            copy_file(copy, part)
        model = part / MODELS / plan.manifest.name
        model.mkdir(parents=True, exist_ok=True)
        _write_json(model / FILE_NAME, asdict(plan.manifest))
        if plan.page.sentences is not None:
            _write_json(
                model / SENTENCES, sentences_record(plan.page.sentences, plan.model_dir, plan.manifest, report=say)
            )
        sample = None
        if plan.page.sample is not None and plan.manifest.name in NAMES:
            from builder.embedded.samples import write_sample

            sample = write_sample(plan.page.sample, part)
        name, outside = plan.manifest.name, plan.outside
        collection = plan.collection.config() if plan.collection else None
        config = page_config(
            plan.page, title=plan.title, model=name, sample=sample, outside=outside, collection=collection
        )
        html = render_page(plan.page, config, template=web_template(), outside=outside)
        (part / "index.html").write_text(html, encoding="utf-8", newline="\n")
        _write_json(part / WEB_MANIFEST, web_manifest(plan.page, title=plan.title))
        write_icons(part)
        names = sorted(path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
        files = tuple(file_entry(part, name) for name in names)
        record = {
            "format": FORMAT,
            "page": plan.page.slug,
            "version": _digest(files),
            "generator": GENERATOR,
            "policy": site_policy(outside.connect(), picture_origins(config)),
            "files": [asdict(f) for f in files],
        }
        _write_json(part / FILE_NAME, record)
    size_bytes = sum(entry.size_bytes for entry in files)
    return BuiltSite(path=plan.out, page=plan.page.slug, model=plan.manifest.name, files=files, size_bytes=size_bytes)


def _digest(files: Sequence[FileEntry]) -> str:
    """The version of a site: any change of any file makes another one."""
    lines = "".join(f"{entry.path} {entry.sha256}\n" for entry in files)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _choose_model(model: str | Path | None, page: Page | None) -> tuple[Path, Manifest] | None:
    """Find the model's folder and what of it the site takes; None where an unknown page leaves no default."""
    if model is None:
        if page is None:
            return None
        fitting = default_models().get(page.slug)
        if fitting is None:
            raise SiteError(f"no embedded model can do {page.task}", hint="give a web model folder with --model")
        folder = model_dir(fitting)
    elif isinstance(model, str) and model in NAMES:
        folder = model_dir(model)
    else:
        folder = Path(model)
        if not folder.exists():
            raise SiteError(
                f"there is no model {str(model)!r}",
                hint=f"give a web model folder, or: {did_you_mean(str(model), NAMES)}",
            )
    whole = read_manifest(folder)
    fits = page is not None and page.task == whole.task  # a model for another task is reported by its task alone
    manifest = site_manifest(whole, page.components if page is not None and fits else None)
    if not SAFE_NAME.fullmatch(manifest.name):
        raise ModelError(f"{manifest.name!r} is no name for a folder", hint=f'change "name" in {folder / FILE_NAME}')
    return folder, manifest


def _misfit(page: Page, manifest: Manifest, template: Path) -> SiteError:
    fitting = [other.slug for other in all_pages(template).values() if other.task == manifest.task]
    hint = f"build {' or '.join(fitting)} with it" if fitting else "no page is made for this task yet"
    return SiteError(
        f"{page.slug} needs a model for {page.task}, and {manifest.name} is one for {manifest.task}", hint=hint
    )


def _check_target(target: Path) -> None:
    """Refuse a folder that this tool did not make, or that holds files it did not write.

    Raises:
        SiteError: with the reason.
    """
    if not target.exists():
        return
    hint = "give another folder with -o, or remove this one"
    if not target.is_dir():
        raise SiteError(f"{target} is a file", hint=hint)
    present = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    if not present:
        return
    try:
        record = json.loads((target / FILE_NAME).read_text(encoding="utf-8"))
        ours = record["generator"].split()[0] == GENERATOR.split()[0]
        listed = {entry["path"] for entry in record["files"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        ours, listed = False, set()
    if not ours:
        raise SiteError(f"{target} exists and was not made by webgpu-demo", hint=hint)
    foreign = sorted(name for name in present - listed - {FILE_NAME} if Path(name).name not in LITTER)
    if foreign:
        raise SiteError(f"{target} holds files of yours that would be lost: {', '.join(foreign[:5])}", hint=hint)


def _join(problems: list[BuilderError]) -> BuilderError:
    if len(problems) == 1:
        return problems[0]
    lines = [f"- {problem.message} ({problem.hint})" for problem in problems]
    return SiteError("\n".join([f"{len(problems)} problems", *lines]), hint="nothing was written")


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
