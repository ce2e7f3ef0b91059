"""The model card: what the Hub shows, and what others may do with the model."""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._model import WebModel

CARD = "README.md"
FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", re.DOTALL)


def front_matter(model: WebModel) -> str | None:
    """The YAML at the head of README.md, or None."""
    if not model.is_file(CARD):
        return None
    text = (model.root / CARD).read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
    found = FRONT_MATTER.match(text)
    return found[1] if found else None


def _value(matter: str, key: str) -> str:
    found = re.search(rf"^{key}:[ \t]*(\S.*)$", matter, re.MULTILINE)
    return found[1].strip().strip("'\"") if found else ""


@rule(
    "TJS921",
    Severity.WARNING,
    "README.md is there and begins with front matter",
    fix="begin README.md with ---, license: ..., library_name: transformers.js, ---",
)
def card_is_there(model: WebModel) -> Iterator[Hit]:
    if front_matter(model) is None:
        what = "has no front matter (YAML between two lines of ---)" if model.is_file(CARD) else "is missing"
        yield Hit(where=CARD, message=f"{what}: the Hub shows neither licence nor library")


@rule(
    "TJS922",
    Severity.WARNING,
    "the card states a licence",
    fix="add license: to the front matter, as the checkpoint's card has it",
)
def licence_is_stated(model: WebModel) -> Iterator[Hit]:
    matter = front_matter(model)
    if matter is not None and not _value(matter, "license"):
        yield Hit(where=CARD, message="states no license: nobody may use the model")


@rule(
    "TJS923",
    Severity.WARNING,
    "the card names transformers.js as the library",
    fix="add library_name: transformers.js to the front matter",
)
def library_is_named(model: WebModel) -> Iterator[Hit]:
    matter = front_matter(model)
    if matter is not None and _value(matter, "library_name") != "transformers.js":
        library = _value(matter, "library_name")
        what = f"has library_name {library!r}" if library else "has no library_name"
        message = f"{what}: the model is not found among those of transformers.js"
        yield Hit(where=CARD, message=message)
