"""The model card: what the Hub shows, and what others may do with the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._model import WebModel
from builder.licence import read_front_matter

CARD = "README.md"


def front_matter(model: WebModel) -> Mapping[str, Any]:
    """What the YAML at the head of README.md says; empty where there is none, or none that can be read."""
    return read_front_matter(model.root / CARD) if model.is_file(CARD) else {}


@rule(
    "TJS921",
    Severity.WARNING,
    "README.md is there and begins with front matter",
    fix="begin README.md with ---, license: ..., library_name: transformers.js, ---",
)
def card_is_there(model: WebModel) -> Iterator[Hit]:
    if not front_matter(model):
        there = model.is_file(CARD)
        what = "has no front matter that can be read (YAML between two lines of ---)" if there else "is missing"
        yield Hit(where=CARD, message=f"{what}: the Hub shows neither licence nor library")


@rule(
    "TJS922",
    Severity.WARNING,
    "the card states a licence",
    fix="add license: to the front matter, as the checkpoint's card has it",
)
def licence_is_stated(model: WebModel) -> Iterator[Hit]:
    matter = front_matter(model)
    if matter and not matter.get("license"):
        yield Hit(where=CARD, message="states no license: nobody may use the model")


@rule(
    "TJS923",
    Severity.WARNING,
    "the card names transformers.js as the library",
    fix="add library_name: transformers.js to the front matter",
)
def library_is_named(model: WebModel) -> Iterator[Hit]:
    matter = front_matter(model)
    library = matter.get("library_name")
    if matter and library != "transformers.js":
        what = f"has library_name {library!r}" if library else "has no library_name"
        message = f"{what}: the model is not found among those of transformers.js"
        yield Hit(where=CARD, message=message)
