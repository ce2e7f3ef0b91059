"""On which terms a checkpoint may be used, as it says itself: the front matter of its README.md, and its LICENSE file.

Nothing is guessed: where neither says anything that is understood, the licence is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

APPLE = "apple-amlr"
"""The Hub's id of the Apple Machine Learning Research Model licence, on which Apple's FastVLM and MobileCLIP stand."""
FRONT_MATTER = re.compile(r"\A\s*---\r?\n(.*?)\r?\n---\s*?(\r?\n|\Z)", re.DOTALL)
CACHED = re.compile(r"models--(?P<id>[^-].*)")
HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
TEXTS = (
    (re.compile(r"Apache License\s+Version 2\.0"), "apache-2.0"),
    (re.compile(r"MIT License|Permission is hereby granted, free of charge"), "mit"),
    (re.compile(r"Apple Machine Learning Research Model"), APPLE),
)
"""How the texts of licences begin that checkpoints come with, and the Hub's ids of them."""
RESEARCH = re.compile(r"amlr|research|non-?commercial|-nc\b|-nc-", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Licence:
    """``id`` as the Hub spells it, "other" with a ``name`` and a ``link``, or None where it is unknown.

    ``file`` is the name of the checkpoint's licence text, which a web model carries too.
    """

    id: str | None = None
    name: str | None = None
    link: str | None = None
    file: str | None = None


def read_licence(checkpoint: Path) -> Licence:
    """Read the terms of a checkpoint folder."""
    stated = read_front_matter(checkpoint / "README.md")
    texts = sorted(path for path in checkpoint.glob("LICENSE*") if path.is_file())
    file = texts[0].name if texts else None
    known = _text(stated.get("license"))
    if known == "other":
        link = _text(stated.get("license_link")) or file
        return Licence(id=known, name=_text(stated.get("license_name")), link=link, file=file)
    if known is None and texts:
        start = texts[0].read_text(encoding="utf-8", errors="replace")[:4000]
        known = next((name for pattern, name in TEXTS if pattern.search(start)), None)
        if known is None:
            return Licence(id="other", link=file, file=file)
    if known is None and (read_base_model(checkpoint) or "").startswith("apple/"):
        known = APPLE
    return Licence(id=known, file=file)


def read_base_model(checkpoint: Path) -> str | None:
    """The Hub id of a checkpoint that lies in the Hub's cache, or the one that its README.md says it is based on.

    What stands there and is no Hub id counts as nothing: it would go into the card's links and commands as it is.
    """
    if cached := _cached_id(checkpoint):
        return cached
    stated = read_front_matter(checkpoint / "README.md").get("base_model")
    text = _text(stated[0] if isinstance(stated, list) and stated else stated)
    return text if text is not None and is_hub_id(text) else None


def is_hub_id(text: str) -> bool:
    """Tell whether a text has the form of a Hub id, ``owner/name`` or ``name``: safe in an address and a command."""
    return HUB_ID.fullmatch(text) is not None


def called(checkpoint: Path) -> str:
    """What people call a checkpoint: its Hub id where it lies in the Hub's cache, else the name of its folder."""
    return _cached_id(checkpoint) or checkpoint.absolute().name


def _cached_id(checkpoint: Path) -> str | None:
    folder = checkpoint.absolute()
    found = CACHED.fullmatch(folder.parent.parent.name) if folder.parent.name == "snapshots" else None
    return found["id"].replace("--", "/", 1) if found else None


def is_research_only(license: str | None, license_name: str | None, license_link: str | None) -> bool:
    """Tell whether a licence's id, name or link says that it allows research or non-commercial use alone."""
    return any(RESEARCH.search(text) for text in (license, license_name, license_link) if text)


def read_front_matter(card: Path) -> Mapping[str, Any]:
    """The YAML between the first two ``---`` lines of a card; empty where there is none."""
    if not card.is_file():
        return {}
    found = FRONT_MATTER.match(card.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        return {}
    try:
        values = yaml.safe_load(found[1])
    except yaml.YAMLError:
        return {}  # somebody else's card that cannot be read says nothing, and the licence is then unknown
    return values if isinstance(values, dict) else {}


def _text(value: object) -> str | None:
    return value.strip() if isinstance(value, str) and value.strip() else None
