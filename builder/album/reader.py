"""Reads an index, memory-mapped: opening one of 100,000 photos reads its names and little else."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from builder.album.format import DEGREES, ITEM_BYTES, NOWHERE, UNKNOWN_DATE, Facts, Photo, damaged, parse_header
from builder.album.names import unpack_names
from builder.album.packing import WORD, unpack
from builder.album.vectors import decode, rotate
from builder.errors import IndexFileError


class AlbumIndex:
    """An index on disk. It stays mapped while this object, or an array or photo that came from it, lives."""

    def __init__(self, path: Path) -> None:
        """Open and check an index.

        Raises:
            IndexFileError: there is none, it cannot be read, or it is damaged.
        """
        self.path = path
        try:
            with path.open("rb") as file:
                size_bytes = path.stat().st_size
                # An empty file cannot be mapped.
                self._data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size_bytes else b"")
        except OSError as error:
            raise IndexFileError(
                f"{path} cannot be read: {(error.strerror or str(error)).lower()}",
                hint="make an index with `webgpu-demo index FOLDER`",
            ) from error
        try:
            self._layout = parse_header(bytes(self._data[:4096]), size_bytes)
            rounding = self._section("made").decode(errors="replace")
            self.facts: Facts = replace(self._layout.facts, rounding=rounding)
            self.scales = self._column("scal", "<f4")
            if not (np.isfinite(self.scales).all() and (self.scales >= 0).all()):
                raise damaged("a scale is no number")
            self.codes = self._column("vect", "i1").reshape(-1, self.facts.dimensions)
            ends = np.cumsum(self._column("tlen", "<u4"), dtype=np.int64)
            self._thumbnails = np.concatenate(([0], ends))
            if "thum" in self._layout.sections and self._thumbnails[-1] != self._layout.sections["thum"][1]:
                raise damaged("its thumbnails are not as long as it says")
            self.names = unpack_names(self._section("name"), len(self))
        except IndexFileError as error:
            raise IndexFileError(f"{path}: {error.message}", hint=error.hint) from error

    def __len__(self) -> int:
        return self._layout.photos

    @property
    def has_thumbnails(self) -> bool:
        return "thum" in self._layout.sections

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    def photo(self, row: int) -> Photo:
        """All that the index knows of one photo."""
        columns = self._columns
        place = columns["plac"][2 * row : 2 * row + 2].tolist() if len(columns["plac"]) else [NOWHERE, NOWHERE]
        return Photo(
            name=self.names[row],
            size_bytes=int(columns["size"][row]),
            modified_s=int(columns["modi"][row]),
            date_ms=float("nan") if columns["date"][row] == UNKNOWN_DATE else float(columns["date"][row]),
            codes=self.codes[row],
            scale=float(self.scales[row]),
            place=None if NOWHERE in place else (place[0] / DEGREES, place[1] / DEGREES),
            fingerprint=int(columns["hash"][row]) if len(columns["hash"]) else 0,
            thumbnail=partial(self.thumbnail, row) if self._has_thumbnail(row) else None,
        )

    def photos(self) -> Iterator[Photo]:
        return map(self.photo, range(len(self)))

    def thumbnail(self, row: int) -> bytes:
        """The encoded thumbnail of a photo, empty where it has none."""
        offset, length = self.thumbnail_span(row)
        return bytes(self._data[offset : offset + length])

    def thumbnail_span(self, row: int) -> tuple[int, int]:
        """Where in the file a photo's thumbnail lies, and how long it is: 0 where there is none."""
        if not self._has_thumbnail(row):
            return 0, 0
        start, end = self._thumbnails[row : row + 2].tolist()
        return self._layout.sections["thum"][0] + start, end - start

    def vectors(self) -> np.ndarray:
        """All vectors, of length 1: float32 [photos, dimensions]."""
        return decode(self.codes, self.scales, self._layout.rotation)

    def search(self, query: np.ndarray, limit: int) -> list[tuple[int, float]]:
        """Rows and cosines of the nearest photos, the best first."""
        length = max(float(np.linalg.norm(query)), 1e-30)
        turned = rotate(np.asarray(query, np.float32)[None] / length, self._layout.rotation)[0]
        scores = (self.codes.astype(np.float32) @ turned) * self.scales
        best = np.argsort(-scores, kind="stable")[:limit]
        return [(int(row), float(scores[row])) for row in best]

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        kinds = {"size": "<u4", "modi": "<u4", "date": "<i8", "plac": "<i4", "hash": "<u8"}
        return {section: self._column(section, kind) for section, kind in kinds.items()}

    def _has_thumbnail(self, row: int) -> bool:
        return self.has_thumbnails and bool(self._thumbnails[row + 1] > self._thumbnails[row])

    def _section(self, name: str) -> bytes:
        offset, length = self._layout.sections.get(name, (0, 0))
        found = bytes(self._data[offset : offset + length])
        if (plain := self._layout.unpacked.get(name)) is None:
            return found
        return unpack(found, plain, ITEM_BYTES.get(name, 0) // WORD)

    def _column(self, name: str, kind: str) -> np.ndarray:
        """A section as an array, on the mapped file where it is not packed; empty where there is none."""
        if name in self._layout.unpacked:
            return np.frombuffer(self._section(name), kind)
        offset, length = self._layout.sections.get(name, (0, 0))
        return np.frombuffer(self._data[offset : offset + length], kind)
