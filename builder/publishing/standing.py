"""How things stand: what a command published, by what it noted in the project's folder, and what became of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from builder.manifest import FILE_NAME, file_sha256
from builder.publish._contract import Report, silent
from builder.publish.remembered import LocalCopy, Publication, find_space, read_all, read_copies
from builder.publish.repository import Kind, Repository
from builder.publish.session import Session, open_session
from builder.publishing.removal import places_of


@dataclass(frozen=True, kw_only=True)
class State:
    """A repository or folder as it stands. ``stage`` is a Space's; ``commit`` is its head, ``noted`` the last run's.

    Of a folder these two are the SHA-256 of its manifest.json. ``exists`` is False for one that has been removed since,
    and None where a token would be needed to tell that from a private one.
    """

    kind: str
    place: str
    exists: bool | None
    address: str
    stage: str | None = None
    commit: str | None = None
    noted: str | None = None

    @property
    def is_current(self) -> bool:
        return bool(self.exists) and self.commit == self.noted


def status(space: str | None = None, *, report: Report | None = None) -> tuple[State, ...]:
    """How everything stands that was published from this folder, or one Space of it.

    Without a token what is public is looked at all the same.

    Raises:
        PublishError: nothing is remembered, the token is refused, or the Hub does not answer.
    """
    here = Path.cwd()
    entries = [find_space(here, space)] if space is not None else list(read_all(here).values())
    copies = [] if space is not None else list(read_copies(here).values())
    if not entries and not copies:
        find_space(here, None)
    states = [_state_of_copy(here, copy) for copy in copies]
    if not entries:
        return tuple(states)
    with open_session(report or silent, needs_token=False) as session:
        return (
            *(_state(session, kind, place, entry) for entry in entries for kind, place in places_of(entry)),
            *states,
        )


def _state(session: Session, kind: Kind, place: str, entry: Publication) -> State:
    repository = Repository(session=session, id=place, kind=kind)
    noted = entry.model_commit if kind == "model" else entry.commit if place == entry.space else entry.server_commit
    head = repository.head()
    if head is None:
        gone = None if session.is_anonymous else False
        return State(kind=kind, place=place, exists=gone, address=repository.address, noted=noted)
    stage = None
    if kind == "space":
        runtime = session.attempt(f"asking for the stage of {place}", lambda: session.api.get_space_runtime(place))
        stage = str(runtime.stage)
    return State(
        kind=kind,
        place=place,
        exists=True,
        address=head.host or repository.address,
        stage=stage,
        commit=head.commit,
        noted=noted,
    )


def _state_of_copy(here: Path, copy: LocalCopy) -> State:
    """A folder counts as changed when its list of files, or the size of one of these, is another."""
    folder = here / copy.folder
    manifest = folder / FILE_NAME
    commit = file_sha256(manifest) if manifest.is_file() else None
    if commit == copy.manifest:
        listed = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        files = {folder / entry["path"]: int(entry["size_bytes"]) for entry in listed}
        if not all(path.is_file() and path.stat().st_size == size for path, size in files.items()):
            commit = None
    return State(
        kind="folder",
        place=copy.folder,
        exists=folder.is_dir(),
        address=str(folder),
        commit=commit,
        noted=copy.manifest,
    )
