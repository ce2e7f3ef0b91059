"""HTML of a site: the page config and the templates of web_template/.

Only HTML passes through here. What a page needs to know reaches its JavaScript as one JSON document, written into the
HTML by Jinja2's ``tojson``, which escapes what could end the script element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builder.policy import SITE_POLICY, site_policy
from builder.sentences import FILE_NAME as SENTENCES
from builder.site.icons import DRAWING, ICONS
from builder.site.page import Page

CONFIG_FORMAT = 1
LANGUAGE = "en"
APP = "app/"
STYLE = f"{APP}shared/style.css"
MODELS = "models/"
RUNTIME = "runtime/"
SCRIPT = "transformers.min.js"
WEB_MANIFEST = "app.webmanifest"
SERVER_LIBRARY = "@gradio/client"
SERVER_CLIENT = "gradio-client.min.js"

Json = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What of a site lies elsewhere.

    ``model_url`` is the folder of the web model (it ends in a slash), ``server`` the address of a Gradio fallback, and
    ``origins`` where redirects from these lead. All are absolute addresses; None: there is none.
    """

    model_url: str | None = None
    server: str | None = None
    origins: tuple[str, ...] = ()

    def connect(self) -> tuple[str, ...]:
        """The origins that the page must be allowed to fetch from."""
        addresses = [address for address in (self.model_url, self.server) if address is not None]
        own = [f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, addresses)]
        return tuple(dict.fromkeys([*own, *self.origins]))


def page_config(
    page: Page, *, title: str, model: str, sample: Json | None, outside: Outside, collection: Json | None = None
) -> Json:
    """Return the page config; its paths are relative to index.html.

    ``model.root`` holds a folder of the model's name, unless it is absolute: then it is that folder. ``collection`` is
    an index of photos that goes with the site (collection.py). ``sentences`` are the page's own, with their vectors.
    """
    return {
        "format": CONFIG_FORMAT,
        "page": page.slug,
        "title": title,
        "lang": LANGUAGE,
        "model": {"name": model, "root": outside.model_url or MODELS, "manifest": f"{MODELS}{model}/manifest.json"},
        "runtime": {"transformers": f"{RUNTIME}{SCRIPT}", "ort": RUNTIME},
        "server": {"url": outside.server, "client": f"{RUNTIME}{SERVER_CLIENT}"} if outside.server else None,
        "sample": sample,
        "collection": collection,
        "sentences": f"{MODELS}{model}/{SENTENCES}" if page.sentences else None,
    }


def web_manifest(page: Page, *, title: str) -> Json:
    """Return the web app manifest, which makes the site installable. Its addresses are relative to itself."""
    sized = [{"src": path, "sizes": f"{size}x{size}", "type": "image/png"} for path, size in ICONS.items()]
    return {
        "name": title,
        "short_name": title if len(title) <= 12 else page.title,
        "description": page.summary,
        "lang": LANGUAGE,
        "id": "./",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#f5f5f7",
        "theme_color": "#0066cc",
        "icons": [
            {"src": DRAWING, "sizes": "any", "type": "image/svg+xml"},
            *sized,
            *({**icon, "purpose": "maskable"} for icon in sized),
        ],
    }


def picture_origins(config: Json) -> tuple[str, ...]:
    """Origins besides its own that a page with this config shows pictures from: those of a collection's photos."""
    collection = config.get("collection")
    parts = urlsplit(str(collection.get("photos_url") or "") if isinstance(collection, Mapping) else "")
    return (f"{parts.scheme}://{parts.netloc}",) if parts.netloc else ()


def render_page(page: Page, config: Json, *, template: Path, outside: Outside) -> str:
    """Return index.html of a site."""
    name = PurePosixPath("pages", page.slug, "page.html")
    policy = site_policy(outside.connect(), picture_origins(config))
    return (
        _environment(template)
        .get_template(str(name))
        .render(config=config, title=config["title"], lang=LANGUAGE, csp=policy, app_root=APP, page=page.slug)
    )


def render_index(pages: Sequence[Page], *, title: str, template: Path) -> str:
    """Return the HTML that links several sites, each in a folder of its page's name beside it."""
    links = [{"slug": p.slug, "title": p.title, "summary": p.summary, "href": f"{p.slug}/"} for p in pages]
    style = f"{pages[0].slug}/{STYLE}"
    return (
        _environment(template)
        .get_template("demo.html")
        .render(title=title, lang=LANGUAGE, csp=SITE_POLICY, style=style, pages=links)
    )


def _environment(template: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
