"""Writes an index, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from builder.album.format import ITEM_BYTES, UNKNOWN_DATE, Facts, Photo, header_bytes, place_units
from builder.album.names import check_name, pack_names
from builder.album.packing import WORD, pack
from builder.album.vectors import rotation_block
from builder.errors import IndexFileError
from builder.folders import new_file


def write_index(path: Path, facts: Facts, photos: Sequence[Photo], *, thumbnails: bool = True) -> int:
    """Write an index of ``photos`` in their order and return its bytes; thumbnails are asked for one at a time.

    Raises:
        IndexFileError: the file cannot be written, or a photo cannot stand in an index.
    """
    for photo in photos:
        if problem := check_name(photo.name):
            raise IndexFileError(f"{photo.name!r} cannot stand in an index: {problem}", hint="rename the file")
    otherwise = "give another file with -o"
    with new_file(path, error=IndexFileError, otherwise=otherwise) as part, part.open("wb") as file:
        return _write(file, facts, photos, thumbnails)


def _write(file: BinaryIO, facts: Facts, photos: Sequence[Photo], thumbnails: bool) -> int:
    plain = _columns(facts, photos)
    unpacked = {kind: len(data) for kind, data in plain.items() if kind != "vect" and data}
    sections = {
        kind: pack(data, ITEM_BYTES.get(kind, 0) // WORD) if kind in unpacked else data for kind, data in plain.items()
    }
    lengths = {kind: len(data) for kind, data in sections.items()}
    pictured = thumbnails and any(photo.thumbnail is not None for photo in photos)
    if pictured:
        # The length of the thumbnails is known when they are written: the header is then written again.
        before = {kind: lengths[kind] for kind in lengths if kind not in ("scal", "vect")}
        after = {kind: lengths[kind] for kind in ("scal", "vect")}
        lengths = {**before, "tlen": 4 * len(photos), **after, "thum": 0}
    head, offsets = _head(facts, len(photos), lengths, unpacked)
    file.write(head)
    for (kind, _), offset in zip(lengths.items(), offsets, strict=True):
        if kind in sections:
            file.seek(offset)
            file.write(sections[kind])
    if pictured:
        sizes = np.zeros(len(photos), "<u4")
        file.seek(offsets[-1])
        for row, photo in enumerate(photos):
            data = photo.thumbnail() if photo.thumbnail is not None else b""
            sizes[row] = len(data)
            file.write(data)
        lengths["thum"] = int(sizes.sum(dtype=np.int64))
        file.seek(offsets[list(lengths).index("tlen")])
        file.write(sizes.tobytes())
        file.seek(0)
        file.write(_head(facts, len(photos), lengths, unpacked)[0])
    end = offsets[-1] + list(lengths.values())[-1]
    file.truncate(end)
    return end


def _head(facts: Facts, photos: int, lengths: dict[str, int], unpacked: dict[str, int]) -> tuple[bytes, list[int]]:
    rotation = rotation_block(facts.dimensions)
    return header_bytes(facts, photos=photos, rotation=rotation, sections=lengths, unpacked=unpacked)


def _date(date_ms: float) -> int:
    return round(date_ms) if abs(date_ms) < -UNKNOWN_DATE else UNKNOWN_DATE


def _columns(facts: Facts, photos: Sequence[Photo]) -> dict[str, bytes]:
    """Every section but those of thumbnails, in the order of the file."""
    codes = np.zeros((len(photos), facts.dimensions), np.int8)
    for row, photo in enumerate(photos):
        codes[row] = photo.codes
    columns = {"made": facts.rounding.encode()} if facts.rounding else {}
    columns |= {
        "name": pack_names([photo.name for photo in photos]),
        "size": np.array([photo.size_bytes for photo in photos], "<u4").tobytes(),
        "modi": np.array([photo.modified_s for photo in photos], "<u4").tobytes(),
        "date": np.array([_date(photo.date_ms) for photo in photos], "<i8").tobytes(),
    }
    if any(photo.place is not None for photo in photos):
        columns["plac"] = np.array([place_units(photo.place) for photo in photos], "<i4").tobytes()
    if any(photo.fingerprint for photo in photos):
        columns["hash"] = np.array([photo.fingerprint for photo in photos], "<u8").tobytes()
    columns["scal"] = np.array([photo.scale for photo in photos], "<f4").tobytes()
    columns["vect"] = codes.tobytes()
    return columns
