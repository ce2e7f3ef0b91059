"""What a run notes while it goes on, so that the next one and `unpublish` know it after an interruption."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from builder.publish.remembered import Publication, remember
from builder.publishing.prepare import Prepared
from builder.publishing.request import Request


@dataclass(kw_only=True)
class Ledger:
    """``entry`` is what is known so far; ``here`` the project's folder, in whose file it stands."""

    here: Path
    entry: Publication

    def note(self, **values: str | None) -> None:
        self.entry = replace(self.entry, **values)  # type: ignore[arg-type]
        remember(self.here, self.entry)

    def note_made(self, name: str, is_made: bool) -> None:
        """Note a repository just before it is made, and strike it out where it could not be.

        In this order an interruption leaves nothing unknown; `unpublish` looks at what it removes.
        """
        others = tuple(other for other in self.entry.made if other != name)
        self.entry = replace(self.entry, made=(*others, name) if is_made else others)
        remember(self.here, self.entry)


def open_ledger(here: Path, request: Request, ready: Prepared, model_repo: str | None) -> Ledger:
    """Begin with what was asked for, and what an earlier run noted of the same Space."""
    old = request.earlier if request.earlier is not None and request.earlier.space == request.space else None
    entry = replace(
        old or Publication(page=ready.page, space=request.space),
        page=ready.page,
        site=str(ready.site) if ready.site is not None else None,
        model=request.model if ready.site is None else None,
        model_repo=model_repo,
        is_repo_named=request.is_repo_named,
        fallback=request.fallback,
        private=request.private,
        title=request.title,
        threads=request.threads,
    )
    remember(here, entry)
    return Ledger(here=here, entry=entry)
