"""HTML of a site: the page config and the templates of web_template/.

Only HTML passes through here. What a page needs to know reaches its JavaScript as one JSON document, written into the
HTML by Jinja2's ``tojson``, which escapes what could end the script element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builder.policy import SITE_POLICY
from builder.site.page import Page

CONFIG_FORMAT = 1
LANGUAGE = "en"
APP = "app/"
STYLE = f"{APP}shared/style.css"
MODELS = "models/"
RUNTIME = "runtime/"
SCRIPT = "transformers.min.js"

Json = Mapping[str, object]


def page_config(page: Page, *, title: str, model: str, sample: Json | None) -> Json:
    """Return the page config; its paths are relative to index.html."""
    return {
        "format": CONFIG_FORMAT,
        "page": page.slug,
        "title": title,
        "lang": LANGUAGE,
        "model": {"name": model, "root": MODELS, "manifest": f"{MODELS}{model}/manifest.json"},
        "runtime": {"transformers": f"{RUNTIME}{SCRIPT}", "ort": RUNTIME},
        "sample": sample,
    }


def render_page(page: Page, config: Json, *, template: Path) -> str:
    """Return index.html of a site."""
    name = PurePosixPath("pages", page.slug, "page.html")
    return (
        _environment(template)
        .get_template(str(name))
        .render(config=config, title=config["title"], lang=LANGUAGE, csp=SITE_POLICY, app_root=APP, page=page.slug)
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
