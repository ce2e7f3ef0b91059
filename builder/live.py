"""A site whose sources are being edited: what of web_template/ changed lies over the folder that was built.

It stands above the verbs: site/ knows how a page is made, preview/ when somebody has changed it. Nothing is written
into the site's folder; templates, scripts and page.json of now take the place of what lies there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from builder.errors import PreviewError, SiteError, did_you_mean
from builder.paths import cache_folder, web_template
from builder.preview.catalog import INDEX, Catalog, read_site
from builder.site import build, default_models
from builder.site.assets import SERVICE_WORKER, plan_scripts
from builder.site.page import find_page
from builder.site.render import Outside, render_page

CONFIG = re.compile(r'<script type="application/json" id="page-config">(.*?)</script>', re.DOTALL)
PREVIEWS = "preview"


class LiveSite:
    """The source, as builder/preview/watch.py wants it, of a site that `webgpu-demo build` made."""

    def __init__(
        self, site: Path, *, template: Path | None = None, rebuild: Callable[[], object] | None = None
    ) -> None:
        self.site = site.resolve()
        self.sites = (self.site,)
        self._template = template if template is not None else web_template()
        self._rebuild = rebuild
        record = read_site(self.site)
        if record is None:
            raise PreviewError(
                f"{site} was not built by webgpu-demo, so there are no sources of it to watch",
                hint="give a page: webgpu-demo preview camera-caption --watch",
            )
        self._page = find_page(record.page, self._template)

    @property
    def folders(self) -> Sequence[Path]:
        """Where the page's sources lie, and what its model's manifest says."""
        templates = sorted(self._template.glob("*.html"))
        models = sorted(self.site.glob("models/*/manifest.json"))
        return (self._page.folder, self._template / "shared", self._template / SERVICE_WORKER, *templates, *models)

    def fresh(self) -> Mapping[str, bytes | Path]:
        """Return index.html as the templates of now make it, and the page's scripts as they lie in web_template/.

        Raises:
            Exception: whatever is wrong with them.
        """
        page = find_page(self._page.slug, self._template)
        if replace(page, title="", summary="") != replace(self._page, title="", summary=""):
            if self._rebuild is None:
                raise PreviewError(
                    f"{page.folder / 'page.json'} asks for another model or other libraries now",
                    hint=f"build the site again: webgpu-demo build {page.slug}",
                )
            self._rebuild()
            self._page = page
        record = read_site(self.site)
        if record is None:
            raise PreviewError(f"{self.site} is gone", hint="build it again")
        match = CONFIG.search((self.site / INDEX).read_text(encoding="utf-8"))
        if match is None:
            raise PreviewError(f"{self.site / INDEX} carries no page config", hint="build the site again")
        config = json.loads(match[1])
        if config["title"] == self._page.title:  # else it was given to `build`
            config["title"] = page.title
        html = render_page(page, config, template=self._template, outside=_outside(config, record.policy))
        scripts = {copy.path: copy.source for copy in plan_scripts(page, self._template)}
        return {INDEX: html.encode(), **scripts}


class LiveSites:
    """Several sites below one folder, as one source."""

    def __init__(self, sites: Sequence[LiveSite]) -> None:
        self._each = sites
        self.sites = tuple(live.site for live in sites)

    @property
    def folders(self) -> Sequence[Path]:
        """All their sources, each once."""
        return tuple(dict.fromkeys(folder for live in self._each for folder in live.folders))

    def fresh(self) -> Mapping[str, bytes | Path]:
        """Return what `LiveSite.fresh` does, of each.

        Raises:
            Exception: whatever is wrong with one of them.
        """
        return {f"{live.site.name}/{name}": file for live in self._each for name, file in live.fresh().items()}


def _outside(config: Mapping[str, object], policy: str) -> Outside:
    """Read back what `build` was told lies elsewhere."""
    model, server = config["model"], config.get("server")
    root = str(model["root"]) if isinstance(model, dict) else ""
    connect = next((part.split()[2:] for part in policy.split("; ") if part.startswith("connect-src")), [])
    return Outside(
        model_url=root if urlsplit(root).scheme else None,
        server=str(server["url"]) if isinstance(server, dict) else None,
        origins=tuple(connect),
    )


def resolve(place: str | None, *, report: Callable[[str], None] | None = None) -> tuple[Path, tuple[str, ...]]:
    """Find what to preview: a folder, or pages, which are built with the embedded models into the cache folder.

    Without ``place`` it is site/, where `build` puts what it makes, or else every page that an embedded model fits.
    Returns the folder and the pages that were built for it.

    Raises:
        SiteError: there is no such folder or page, or the cache folder cannot be written.
    """
    if place is None and Path("site").is_dir():
        return Path("site"), ()
    known = sorted(default_models())
    if place is not None and place not in known:
        folder = Path(place)
        if not folder.is_dir() and not set(place) & set("/\\."):
            raise SiteError(f"there is no folder and no page {place!r}", hint=did_you_mean(place, known))
        return folder, ()
    pages = tuple(known) if place is None else (place,)
    root = cache_folder() / PREVIEWS
    for page in pages:
        build(page, out=root / page, report=report)
    return (root / pages[0] if len(pages) == 1 else root), pages


def live_source(directory: Path, pages: Sequence[str], *, template: Path | None = None) -> LiveSite | LiveSites:
    """The source to watch of what `resolve` found: a site, or a folder of sites.

    Raises:
        PreviewError: the folder is neither, or one of ours that cannot be read.
    """

    def watched(folder: Path, page: str | None = None) -> LiveSite:
        rebuild = None if page is None else lambda: build(page, out=folder)
        return LiveSite(folder, template=template, rebuild=rebuild)

    if len(pages) == 1:
        return watched(directory, pages[0])
    if pages:
        return LiveSites([watched(directory / page, page) for page in pages])
    folders = [site.folder for site in Catalog(directory).sites()]
    if not folders or folders == [directory.resolve()]:
        return watched(directory)
    return LiveSites([watched(folder) for folder in folders])
