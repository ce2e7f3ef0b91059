"""The way back: removes what a command published, by what it noted in the project's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.errors import PublishError
from builder.publish._contract import Report, silent
from builder.publish.folder import Folder
from builder.publish.remembered import (
    LocalCopy,
    Publication,
    find_space,
    forget,
    forget_copy,
    read_all,
    read_copies,
)
from builder.publish.repository import Kind, Repository
from builder.publish.session import Session, open_session

Agree = Callable[[Sequence[str]], bool]


@dataclass(frozen=True, kw_only=True)
class Removed:
    """``repositories`` were removed (or would be), as in "space owner/name" or "folder public".

    ``kept`` are those that no run made, or that hold something else by now.
    """

    repositories: tuple[str, ...]
    kept: tuple[str, ...]
    done: bool


def unpublish(
    space: str | None = None,
    *,
    keep_model: bool = False,
    dry_run: bool = False,
    agree: Agree | None = None,
    report: Report | None = None,
) -> Removed:
    """Remove what `publish` made: the Space, its server and, without ``keep_model``, the model repository.

    Repositories that were there before the first run, and such as hold nothing that a run wrote, are left alone.
    ``space`` may be a folder that was published to, and may be left out where one place is remembered.

    Raises:
        PublishError: nothing is remembered, no token, or the Hub refuses.
    """
    here, say = Path.cwd(), report or silent
    if (copy := _find_copy(here, space)) is not None:
        return _remove_copy(here, copy, dry_run=dry_run, agree=agree, say=say)
    entry = find_space(here, space)
    shared = {other.model_repo for other in read_all(here).values() if other.space != entry.space and other.model_repo}
    wanted: list[tuple[Kind, str]] = []
    kept: list[tuple[Kind, str]] = []
    for kind, place in dict.fromkeys([*places_of(entry), *_made_before(entry)]):
        is_model = kind == "model" and (keep_model or place in shared)
        (kept if f"{kind} {place}" not in entry.made or is_model else wanted).append((kind, place))
    names = tuple(f"{kind} {place}" for kind, place in wanted)
    if dry_run or (agree is not None and not agree(names)):
        return Removed(repositories=names, kept=tuple(f"{kind} {place}" for kind, place in kept), done=False)
    with open_session(say) as session:
        others = [(kind, place) for kind, place in wanted if not _is_ours(session, kind, place)]
        wanted = [place for place in wanted if place not in others]
        for kind, place in wanted:
            say(f"removing {kind} {place}")
            Repository(session=session, id=place, kind=kind).delete()
    forget(here, entry.space)
    return Removed(
        repositories=tuple(f"{kind} {place}" for kind, place in wanted),
        kept=tuple(f"{kind} {place}" for kind, place in (*kept, *others)),
        done=True,
    )


def _is_ours(session: Session, kind: Kind, place: str) -> bool:
    """Whether a repository holds what a run published, or nothing: a run that was refused may have noted more."""
    repository = Repository(session=session, id=place, kind=kind)
    head = repository.head()
    try:
        repository.check_usable(head)
    except PublishError as error:
        session.report(f"{error.message}: it is kept")
        return False
    return True


def _made_before(entry: Publication) -> list[tuple[Kind, str]]:
    """Repositories of earlier runs that the page has not any more, such as that of another model."""
    made = [name.split(" ", 1) for name in entry.made]
    return [("model" if kind == "model" else "space", place) for kind, place in made]


def _find_copy(here: Path, name: str | None) -> LocalCopy | None:
    """The folder that is named, or the only place that is remembered."""
    copies = read_copies(here)
    if name is None:
        return next(iter(copies.values())) if len(copies) == 1 and not read_all(here) else None
    return copies.get(name) or copies.get(name.rstrip("/").removeprefix("./"))


def _remove_copy(here: Path, copy: LocalCopy, *, dry_run: bool, agree: Agree | None, say: Report) -> Removed:
    name = f"folder {copy.folder}"
    if dry_run or (agree is not None and not agree([name])):
        return Removed(repositories=(name,), kept=(), done=False)
    say(f"removing {name}")
    Folder(path=here / copy.folder, files=()).remove()
    forget_copy(here, copy.folder)
    return Removed(repositories=(name,), kept=(), done=True)


def places_of(entry: Publication) -> list[tuple[Kind, str]]:
    """What a publication consists of. The page first: nothing is taken away under a page that still stands."""
    places: list[tuple[Kind, str]] = [("space", entry.space)]
    if entry.server_space:
        places.append(("space", entry.server_space))
    if entry.model_repo:
        places.append(("model", entry.model_repo))
    return places
