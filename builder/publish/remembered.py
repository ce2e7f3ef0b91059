"""What was published where: `.webgpu-demo.json` in the project's folder, so that the next run needs no flags.

It holds names, commits and choices; never a token. It may be committed to the project's own repository.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from builder.errors import PublishError, did_you_mean
from builder.manifest import parse

FILE_NAME = ".webgpu-demo.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Publication:
    """One published page. ``made`` are the repositories that a run created, as in "space owner/name".

    ``site`` is the folder that was given in the page's place, ``is_repo_named`` tells whether ``model_repo`` was named
    or goes by the model's name.

    ``space``, ``model_repo`` and ``server_space`` are Hub ids, ``server`` is the fallback's address; ``commit``,
    ``model_commit`` and ``server_commit`` are what the last run left there, ``previous`` the Space's commit before.
    ``model``, ``fallback`` and the others are the options that the next run takes over.
    """

    page: str
    space: str
    site: str | None = None
    model: str | None = None
    model_repo: str | None = None
    is_repo_named: bool = False
    fallback: str = "auto"
    private: bool = False
    title: str | None = None
    threads: bool = False
    address: str | None = None
    commit: str | None = None
    previous: str | None = None
    model_commit: str | None = None
    server_space: str | None = None
    server_commit: str | None = None
    server: str | None = None
    made: tuple[str, ...] = field(default_factory=tuple)


@dataclass(frozen=True, kw_only=True)
class LocalCopy:
    """A page that was written to a folder of this machine.

    ``folder`` is relative to the project's where it lies below it, ``manifest`` the SHA-256 of the manifest.json that
    the last run left there; ``site`` is the folder that was given in the page's place; ``model``, ``server`` and
    ``title`` are the options that the next run takes over.
    """

    folder: str
    page: str
    manifest: str
    site: str | None = None
    model: str | None = None
    server: str | None = None
    title: str | None = None


def read_all(folder: Path) -> Mapping[str, Publication]:
    """Space → publication.

    Raises:
        PublishError: the file cannot be read.
    """
    return _read(folder)[0]


def read_copies(folder: Path) -> Mapping[str, LocalCopy]:
    """Folder → copy, likewise."""
    return _read(folder)[1]


def _read(folder: Path) -> tuple[dict[str, Publication], dict[str, LocalCopy]]:
    path = folder / FILE_NAME
    if not path.is_file():
        return {}, {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] != FORMAT:
            raise ValueError(f"its format is {raw['format']!r}, this version reads {FORMAT}")
        published = {entry["space"]: parse(Publication, entry) for entry in raw["published"]}
        return published, {entry["folder"]: parse(LocalCopy, entry) for entry in raw.get("folders", ())}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PublishError(
            f"{path} cannot be read: {error}", hint="mend it, or remove it and name everything with options again"
        ) from error


def find(folder: Path, *, page: str | None = None, space: str | None = None) -> Publication | None:
    """The remembered publication that is meant: of that Space (without its owner, too), of that page, or the only one.

    Raises:
        PublishError: several could be meant.
    """
    known = read_all(folder)
    if space is not None:
        return known.get(space) or next((e for name, e in known.items() if name.endswith(f"/{space}")), None)
    found = [entry for entry in known.values() if page is None or entry.page == page]
    if len(found) > 1:
        names = ", ".join(entry.space for entry in found)
        raise PublishError(f"{len(found)} Spaces are remembered here: {names}", hint="name one of them with --space")
    return found[0] if found else None


def find_space(folder: Path, space: str | None) -> Publication:
    """The publication that is to be looked at or removed.

    Raises:
        PublishError: there is none, or several.
    """
    entry = find(folder, space=space)
    if entry is None:
        known = read_all(folder)
        if not known:
            hint = "publish first, or go to the folder you published from"
            raise PublishError("nothing was published from here", hint=hint)
        what = f"{space} was not published from here: {folder / FILE_NAME} does not name it"
        raise PublishError(what, hint=did_you_mean(space or "", known))
    return entry


def remember(folder: Path, entry: Publication) -> None:
    """Write a publication down, in place of the one of the same Space."""
    published, copies = _read(folder)
    _write(folder, {**published, entry.space: entry}, copies)


def remember_copy(folder: Path, copy: LocalCopy) -> None:
    """Write down what went to a folder, in place of what went there before."""
    published, copies = _read(folder)
    _write(folder, published, {**copies, copy.folder: copy})


def forget(folder: Path, space: str) -> None:
    """Strike a publication out."""
    published, copies = _read(folder)
    _write(folder, {name: entry for name, entry in published.items() if name != space}, copies)


def forget_copy(folder: Path, name: str) -> None:
    """Likewise of what went to a folder."""
    published, copies = _read(folder)
    _write(folder, published, {other: copy for other, copy in copies.items() if other != name})


def _write(folder: Path, published: Mapping[str, Publication], copies: Mapping[str, LocalCopy]) -> None:
    path = folder / FILE_NAME
    part = path.with_name(f"{FILE_NAME}.{os.getpid()}.part")  # two runs at once write one each, and the later one stays
    record = {"format": FORMAT, "published": [asdict(entry) for _, entry in sorted(published.items())]}
    if copies:
        record["folders"] = [asdict(copy) for _, copy in sorted(copies.items())]
    try:
        if not published and not copies:
            path.unlink(missing_ok=True)
            return
        part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise PublishError(
            f"{path} cannot be written: {(error.strerror or str(error)).lower()}",
            hint="run the command in a folder of yours",
        ) from error
    finally:
        part.unlink(missing_ok=True)
