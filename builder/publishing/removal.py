"""The way back: removes what a command published, by what it noted in the project's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.publish._contract import Report
from builder.publish.remembered import Publication, find_space, forget, read_all
from builder.publish.repository import Kind, Repository
from builder.publish.session import open_session


@dataclass(frozen=True, kw_only=True)
class Removed:
    """``repositories`` were removed (or would be), as in "space owner/name"; ``kept`` are those that no run made."""

    repositories: tuple[str, ...]
    kept: tuple[str, ...]
    done: bool


def unpublish(
    space: str | None = None,
    *,
    keep_model: bool = False,
    dry_run: bool = False,
    agree: Callable[[Sequence[str]], bool] | None = None,
    report: Report | None = None,
) -> Removed:
    """Remove what `publish` made: the Space, its server and, without ``keep_model``, the model repository.

    Repositories that were there before the first run are left alone. ``space`` may be left out where one is remembered.

    Raises:
        PublishError: nothing is remembered, no token, or the Hub refuses.
    """
    here = Path.cwd()
    entry = find_space(here, space)
    shared = {other.model_repo for other in read_all(here).values() if other.space != entry.space and other.model_repo}
    wanted: list[tuple[Kind, str]] = []
    kept: list[tuple[Kind, str]] = []
    for kind, place in places_of(entry):
        is_model = kind == "model" and (keep_model or place in shared)
        (kept if f"{kind} {place}" not in entry.made or is_model else wanted).append((kind, place))
    names = tuple(f"{kind} {place}" for kind, place in wanted)
    left = tuple(f"{kind} {place}" for kind, place in kept)
    if dry_run or (agree is not None and not agree(names)):
        return Removed(repositories=names, kept=left, done=False)
    say = report or _silent
    with open_session(say) as session:
        for kind, place in wanted:
            say(f"removing {kind} {place}")
            Repository(session=session, id=place, kind=kind).delete()
    forget(here, entry.space)
    return Removed(repositories=names, kept=left, done=True)


def places_of(entry: Publication) -> list[tuple[Kind, str]]:
    """What a publication consists of. The page first: nothing is taken away under a page that still stands."""
    places: list[tuple[Kind, str]] = [("space", entry.space)]
    if entry.server_space:
        places.append(("space", entry.server_space))
    if entry.model_repo:
        places.append(("model", entry.model_repo))
    return places


def _silent(line: str) -> None:
    del line
