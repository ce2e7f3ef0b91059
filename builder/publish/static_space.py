"""Target: a static Space of the Hub, prebuilt, so that no build of the Hub's is paid for.

The site's files go up as they are; beside them a README.md, whose front matter tells the Hub what this is, and a
thumbnail. A static Space shows its variables and secrets to every visitor: none are ever set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from builder.policy import SPACE_HEADERS
from builder.publish._contract import Applied, Change, Plan, Report
from builder.publish.files import LocalFile, from_bytes
from builder.publish.repository import Head, Repository
from builder.publish.space_card import CARD, render_card, shorten

COST = "free: static Spaces cost nothing on any account"
THUMBNAIL = "thumbnail.png"
OWN = frozenset({CARD, THUMBNAIL})
Photograph = Callable[[], bytes | None]
RenderCard = Callable[[str | None, bool], LocalFile]
"""README.md of the Space's own address, where it is known, with or without a thumbnail."""


@dataclass(frozen=True, kw_only=True)
class StaticSpace:
    """``files`` are the site's, its manifest.json among them; ``render`` makes README.md for the Space's own address.

    ``photograph`` takes a picture of the page for the thumbnail, where this machine can (None where it cannot): that
    takes a while and differs each time, so it is asked only when something else changes. README.md names the thumbnail
    where there will be one.
    """

    repository: Repository
    files: tuple[LocalFile, ...]
    render: RenderCard
    private: bool
    photograph: Photograph | None = None

    def card(self, head: Head | None, *, has_picture: bool | None = None) -> LocalFile:
        """README.md for a state of the Space; without ``has_picture`` as it is planned."""
        there = head is not None and THUMBNAIL in head.files
        return self.render(
            head.host if head is not None else None,
            there or self.photograph is not None if has_picture is None else has_picture,
        )

    def plan(self) -> Plan:
        head = self.repository.head()
        self.repository.check_usable(head, sdk="static")
        self.repository.check_visibility(head, private=self.private)
        kept = [*self.files, self.card(head)]
        there = head is not None and THUMBNAIL in head.files
        changes = [c for c in self.repository.changes(kept, head) if c.path != THUMBNAIL]
        pending = any(change.action != "keep" for change in changes)
        if self.photograph is not None and (pending or not there):
            changes.append(Change(path=THUMBNAIL, action="change" if there else "add", size_bytes=None))
        return Plan(
            target="static Space",
            place=self.repository.id,
            exists=head is not None,
            changes=tuple(changes),
            cost=COST,
        )

    def apply(self, report: Report) -> Applied:
        plan = self.plan()
        before = self.repository.head()
        if not plan.exists:
            report(f"creating the static Space {self.repository.id}")
            self.repository.create(private=self.private, space_sdk="static")
        made = self.repository.head()
        has_picture = made is not None and THUMBNAIL in made.files
        files = list(self.files)
        if any(change.path == THUMBNAIL for change in plan.pending) and self.photograph is not None:
            report("taking a picture of the page")
            picture = self.photograph()
            if picture is not None:
                files.append(from_bytes(THUMBNAIL, picture))
                has_picture = True
        files.append(self.card(made, has_picture=has_picture))
        # What is not among the files stays: a thumbnail is not taken away because no browser is installed here.
        commit = Repository(
            session=self.repository.session, id=self.repository.id, kind="space", ours=frozenset({CARD})
        ).put(files, message="Publish the page")
        head = self.repository.head()
        return Applied(
            target="static Space",
            place=self.repository.id,
            address=(head.host if head is not None and head.host else self.repository.address),
            commit=commit.oid,
            previous=commit.previous if before is not None and before.has_manifest else None,
            changed=commit.changed,
            made=not plan.exists,
            host=head.host if head is not None else None,
        )


def render_readme(
    *,
    title: str,
    summary: str,
    space: str,
    address: str,
    page: str,
    model: str,
    model_repo: str | None,
    license: str | None,
    server: str | None,
    isolated: bool,
    endpoint: str,
    has_picture: bool,
    short: str = "",
) -> LocalFile:
    """Return the Space's README.md; every value of its front matter is written by a YAML library.

    ``short`` is the summary for lists of Spaces; without it the summary is cut.
    """
    fields: dict[str, object] = {
        "title": title,
        "emoji": "🖼️",
        "colorFrom": "indigo",
        "colorTo": "blue",
        "sdk": "static",
        "app_file": "index.html",
        "pinned": False,
        "short_description": shorten(short or summary),
        "models": [model_repo] if model_repo else None,
        "license": license,
        "thumbnail": f"{endpoint}/spaces/{space}/resolve/main/{THUMBNAIL}" if has_picture else None,
        "custom_headers": SPACE_HEADERS if isolated else None,
    }
    values = {"title": title, "summary": summary, "space": space, "address": address, "page": page, "model": model}
    more = {"model_repo": model_repo, "server": server, "endpoint": endpoint}
    return render_card("static", fields, {**values, **more})
