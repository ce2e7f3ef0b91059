"""Finds photos: every file below a folder whose ending is that of a picture, in any letter case.

Hidden files and folders are left out (among them what some systems put beside photos, such as ``._IMG.jpg``), and so
are links to folders, and links to files that lie elsewhere: what somebody linked is not what they meant to index.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builder.album.names import check_name

ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".avif", ".gif", ".heic", ".heif", ".hif"} | {".bmp", ".tif", ".tiff"}
)
LARGEST_BYTES = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file that looks like a photo. ``name`` is its path below the folder, with forward slashes."""

    name: str
    path: Path
    size_bytes: int
    modified_s: int


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A file that is not in the index, or a ``folder`` of which nothing new is, and why."""

    name: str
    why: str
    folder: bool = False


def find_photos(folder: Path) -> tuple[list[Found], list[Unreadable]]:
    """Return photos sorted by name, and what looked like one and cannot be taken."""
    found, refused = list[Found](), list[Unreadable]()
    for one in _walk(folder, Path(os.path.realpath(folder))):
        if isinstance(one, Found):
            found.append(one)
        else:
            refused.append(one)
    return sorted(found, key=lambda one: one.name), sorted(refused, key=lambda one: one.name)


def _walk(folder: Path, root: Path) -> Iterator[Found | Unreadable]:
    waiting = [("", folder)]
    while waiting:
        above, place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                listed = list(entries)
        except OSError as error:
            why = f"the folder cannot be read: {error.strerror}"
            yield Unreadable(name=printable(above.rstrip("/") or "."), why=why, folder=True)
            continue
        for entry in listed:
            if entry.name.startswith("."):
                continue
            name = f"{above}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                waiting.append((f"{name}/", Path(entry.path)))
            elif Path(entry.name).suffix.lower() in ENDINGS:
                yield _look(entry, name, root)


def _look(entry: os.DirEntry[str], name: str, root: Path) -> Found | Unreadable:
    def refuse(why: str) -> Unreadable:
        return Unreadable(name=printable(name), why=why)

    if problem := check_name(name):
        return refuse(problem)
    try:
        if entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(root):
            return refuse("it is a link to a place outside the folder")
        facts = entry.stat()
    except OSError as error:
        return refuse(f"it cannot be read: {(error.strerror or str(error)).lower()}")
    if not stat.S_ISREG(facts.st_mode):
        return refuse("it is no file")
    if not 0 < facts.st_size <= LARGEST_BYTES:
        return refuse("it is empty" if not facts.st_size else "it is larger than 4 GiB")
    modified_s = min(max(int(facts.st_mtime), 0), 2**32 - 1)
    return Found(name=name, path=Path(entry.path), size_bytes=facts.st_size, modified_s=modified_s)


def printable(name: str) -> str:
    """A name that can be shown: bytes that are no UTF-8 and control characters become a mark."""
    text = name.encode(errors="surrogateescape").decode(errors="replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
