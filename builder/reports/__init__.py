"""Reports: pages of plots and tables in one file that needs nothing else, and runs nothing.

`render` fills a template of its caller's with the one style sheet, which the page's own Content Security Policy allows
by its hash; plots.py draws. What the numbers mean is for the callers: verify/report.py of a model, bench/_report.py of
what was measured side by side.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup

from builder.console import megabytes
from builder.errors import BuilderError
from builder.folders import new_file

FOLDER = Path(__file__).parent


def render(template: Path, **values: object) -> str:
    """Return the HTML of ``template`` with ``style``, ``policy`` and ``values``; the same values give the same text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["megabytes"] = megabytes
    style = (FOLDER / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'"
    return environment.get_template(template.name).render(style=Markup(style), policy=policy, **values)


def write_whole(path: Path, text: str, *, error: type[BuilderError]) -> None:
    """Write a text file whole or not at all.

    Raises:
        error: it cannot be written.
    """
    with new_file(path, error=error, otherwise="take a folder that you may write to") as part:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
