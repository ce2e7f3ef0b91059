"""The pages that can be built: one folder in web_template/pages/, described by its page.json.

A folder with a page.json is a page; there is no list to edit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from builder.errors import SiteError, did_you_mean
from builder.sentences import Sentences, read_sentences

SampleKind = Literal["video", "album"]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One kind of demo.

    ``task`` is what a model must do, ``components`` which of its graphs the page runs (None: all); ``sample`` is what
    the page shows without a camera or photos. ``libraries`` are npm packages beside the runtime. ``collection``: it
    searches an index of photos that goes with the site. ``sentences``: what it asks its model about every album, for
    whose vectors a site has room. ``server``: a Gradio server can do its work. ``short`` is the
    summary in the 60 characters that lists of Spaces have room for; empty: it is cut.
    """

    slug: str
    title: str
    task: str
    summary: str
    sample: SampleKind | None
    components: tuple[str, ...] | None
    libraries: tuple[str, ...]
    folder: Path
    collection: bool = False
    sentences: Sentences | None = None
    server: bool = False
    short: str = ""


def all_pages(template: Path) -> Mapping[str, Page]:
    """Slug → page, by discovery.

    Raises:
        SiteError: a page.json cannot be read.
    """
    return {path.parent.name: _read_page(path) for path in sorted(template.glob("pages/*/page.json"))}


def find_page(name: str, template: Path) -> Page:
    """Find a page by its slug.

    Raises:
        SiteError: there is none of that name; the hint names the nearest.
    """
    pages = all_pages(template)
    if name not in pages:
        raise SiteError(f"there is no page {name!r}", hint=did_you_mean(name, pages))
    return pages[name]


def _read_page(path: Path) -> Page:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        components = tuple(raw["components"]) if "components" in raw else None
        texts = {key: raw[key] for key in ("slug", "title", "task", "summary", "sample")}
        libraries = tuple(raw.get("libraries", ()))
        page = Page(
            folder=path.parent,
            components=components,
            libraries=libraries,
            collection=bool(raw.get("collection", False)),
            sentences=read_sentences(path.parent / raw["sentences"]) if "sentences" in raw else None,
            server=bool(raw.get("server", False)),
            short=str(raw.get("short", "")),
            **texts,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SiteError(
            f"{path} cannot be read: {error!r}", hint="see the page contract in web_template/README.md"
        ) from error
    if page.slug != path.parent.name or page.sample not in ("video", "album", None):
        raise SiteError(
            f"{path} does not fit: slug {page.slug!r}, sample {page.sample!r}",
            hint='the slug is the name of the folder, the sample "video", "album" or null',
        )
    return page
