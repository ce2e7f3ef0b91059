"""What an index that is being made has so far: small index files in a hidden folder beside the target.

They are read when the same index is made again, whether the last run was interrupted, killed, or lost its power, and
removed when it is complete. A file that was not written to its end is worth nothing, and is passed over.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from builder.album import AlbumIndex, Facts, Photo, write_index
from builder.errors import IndexFileError

PHOTOS = 256
SECONDS = 10.0
"""A file is written after so many photos, or so much time."""


class Journal:
    """Photos of one unfinished index."""

    def __init__(self, target: Path, facts: Facts) -> None:
        self.folder = target.with_name(f".{target.name}.journal")
        self.facts = facts
        self._waiting: list[Photo] = []
        self._written_at = time.monotonic()

    def read(self) -> dict[str, Photo]:
        """Name → photo of all that an earlier run has left of an index of these facts."""
        found: dict[str, Photo] = {}
        for path in sorted(self.folder.glob("*.index")):
            try:
                found |= self._photos(path)
            except IndexFileError:
                path.unlink()
        return found

    def add(self, photo: Photo) -> dict[str, Photo]:
        """Note a photo, which is on disk soon; see `flush`."""
        self._waiting.append(photo)
        full = len(self._waiting) >= PHOTOS or time.monotonic() - self._written_at > SECONDS
        return self.flush() if full else {}

    def flush(self) -> dict[str, Photo]:
        """Write what waits; return the same photos with their thumbnails on disk, so that memory can let go of them.

        Raises:
            IndexFileError: the folder cannot be written.
        """
        self._written_at = time.monotonic()
        if not self._waiting:
            return {}
        try:
            self.folder.mkdir(exist_ok=True)
            numbers = [int(path.stem) for path in self.folder.glob("*.index") if path.stem.isdecimal()]
        except OSError as error:
            raise IndexFileError(
                f"{self.folder} cannot be written: {(error.strerror or str(error)).lower()}",
                hint="give a file in another folder with -o",
            ) from error
        path = self.folder / f"{max(numbers, default=-1) + 1:06}.index"
        write_index(path, self.facts, self._waiting)
        self._waiting = []
        return self._photos(path)

    def remove(self) -> None:
        """Forget everything: the index is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _photos(self, path: Path) -> dict[str, Photo]:
        """Photos of one file, which is closed again: there may be more of them than a process may have open."""
        part = AlbumIndex(path)
        if part.facts != self.facts:
            return {}
        found = {}
        for row, photo in enumerate(part.photos()):
            picture = partial(_read, path, *part.thumbnail_span(row)) if photo.thumbnail is not None else None
            found[photo.name] = replace(photo, codes=photo.codes.copy(), thumbnail=picture)
        return found


def _read(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)
