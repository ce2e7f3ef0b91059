"""Target: a model repository of the Hub, with what of a web model some device gets.

Its card is written anew with snippets that load it from there, unless somebody has edited it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from builder.card import FILE_NAME as CARD
from builder.card import render_card
from builder.licence import is_research_only
from builder.manifest import FILE_NAME, FileEntry, Manifest, Origin
from builder.publish._contract import Applied, Plan, Report
from builder.publish.files import LocalFile, from_folder, from_text
from builder.publish.repository import Repository

COST = "free: public model repositories cost nothing"


@dataclass(frozen=True, kw_only=True)
class ModelRepo:
    """``files`` are all that it will hold, its manifest.json among them; ``origin`` states the model's terms."""

    repository: Repository
    files: tuple[LocalFile, ...]
    origin: Origin

    def plan(self) -> Plan:
        head = self.repository.head()
        self.repository.check_usable(head)
        self.repository.check_visibility(head, private=False)  # a page cannot fetch from a private one
        return Plan(
            target="model repo",
            place=self.repository.id,
            exists=head is not None,
            changes=tuple(self.repository.changes(self.files, head)),
            cost=COST,
            notes=licence_notes(self.origin),
        )

    def apply(self, report: Report) -> Applied:
        made = self.repository.head() is None
        if made:
            report(f"creating the model repo {self.repository.id}")
            self.repository.create()
        commit = self.repository.put(list(self.files), message="Publish the web model")
        return Applied(
            target="model repo",
            place=self.repository.id,
            address=self.repository.address,
            commit=commit.oid,
            previous=commit.previous,
            changed=commit.changed,
            made=made,
        )


def licence_notes(origin: Origin) -> tuple[str, ...]:
    """What to consider before a model of these terms is shown to the public."""
    if origin.license is None:
        return ("the model's licence is unknown: make sure that you may publish it",)
    if is_research_only(origin.license, origin.license_name, origin.license_link):
        return (f"the model's licence ({origin.license}) is for research or non-commercial use: its card says so",)
    return ()


def model_files(folder: Path, whole: Manifest, shipped: Manifest, repo: str) -> tuple[LocalFile, ...]:
    """The files of a web model as they go to ``repo``: ``shipped`` is what of ``whole`` the device tiers name.

    Raises:
        PublishError: a file is missing, changed or a link.
    """
    origin = whole.origin
    cards = [
        render_card(
            manifest,
            base_model=origin.base_model,
            license=origin.license,
            license_name=origin.license_name,
            license_link=origin.license_link,
            repo=place,
        )
        for manifest, place in ((whole, None), (shipped, repo))
    ]
    found = {file.path: file for file in from_folder(folder, shipped.model_files())}
    if CARD not in found or found[CARD].content().decode("utf-8", "replace") == cards[0]:
        found[CARD] = from_text(CARD, cards[1])
    card = found[CARD]
    entry = FileEntry(path=CARD, size_bytes=card.size_bytes, sha256=card.sha256)
    listed = replace(shipped, files=(*(file for file in shipped.files if file.path != CARD), entry))
    found[FILE_NAME] = from_text(FILE_NAME, json.dumps(asdict(listed), indent=1, ensure_ascii=False) + "\n")
    return tuple(found[path] for path in sorted(found))
