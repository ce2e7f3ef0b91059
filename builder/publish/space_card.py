"""README.md of a Space: a template of spaces/, and front matter that a YAML library writes."""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builder.paths import spaces
from builder.publish.files import LocalFile, from_text

CARD = "README.md"
LONGEST_DESCRIPTION = 60
"""The Hub refuses a longer ``short_description``."""


def render_card(name: str, fields: Mapping[str, object], values: Mapping[str, object]) -> LocalFile:
    """Return README.md of spaces/``name``; fields that are None are left out of the front matter."""
    environment = Environment(
        loader=FileSystemLoader(spaces() / name),
        autoescape=False,  # Markdown, written by and for the account that publishes; the Hub cleans what it shows
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    stated = {key: value for key, value in fields.items() if value is not None}
    front_matter = yaml.safe_dump(stated, sort_keys=False, allow_unicode=True)
    return from_text(CARD, environment.get_template(CARD).render(front_matter=front_matter, **values))


def shorten(text: str, longest: int = LONGEST_DESCRIPTION) -> str:
    """Cut a sentence to what the Hub takes, between words."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    return text[: longest - 1].rsplit(" ", 1)[0].rstrip(" ,.;:") + "…"
