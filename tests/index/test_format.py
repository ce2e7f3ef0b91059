"""The file of an index: what is written is read again, it is as small as promised, and no damaged file does harm."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import pytest

from builder.album import AlbumIndex, Facts, Photo, write_index
from builder.album.format import ENTRY, HEADER
from builder.album.names import pack_names, unpack_names
from builder.album.vectors import decode, encode, rotate, rotate_back, rotation_block
from builder.errors import IndexFileError
from tests.index.conftest import made_up


def write(path: Path, count: int = 200, *, thumbnails: bool = False) -> tuple[Path, list[Photo]]:
    facts, photos = made_up(count, thumbnails=thumbnails)
    assert write_index(path, facts, photos, thumbnails=thumbnails) == path.stat().st_size
    return path, photos


@pytest.mark.parametrize("count", [0, 1, 64, 65, 200])
def test_index_read_again_is_what_was_written(count: int, tmp_path: Path) -> None:
    path, photos = write(tmp_path / "a.index", count, thumbnails=True)
    found = AlbumIndex(path)
    assert found.facts == made_up(count)[0]
    assert len(found) == count
    for got, want in zip(found.photos(), photos, strict=True):
        assert (got.name, got.size_bytes, got.modified_s, got.fingerprint) == (
            want.name,
            want.size_bytes,
            want.modified_s,
            want.fingerprint,
        )
        assert got.date_ms == want.date_ms or (math.isnan(got.date_ms) and math.isnan(want.date_ms))
        assert (got.place is None) == (want.place is None)
        assert got.place is None or got.place == pytest.approx(want.place, abs=1e-7)
        assert np.array_equal(got.codes, want.codes)
        assert got.scale == pytest.approx(want.scale, rel=1e-6)
        pictures = [photo.thumbnail() if photo.thumbnail else b"" for photo in (got, want)]
        assert pictures[0] == pictures[1]


def test_index_written_twice_is_the_same_file(tmp_path: Path) -> None:
    first, _ = write(tmp_path / "a.index", thumbnails=True)
    second, _ = write(tmp_path / "b.index", thumbnails=True)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(tmp_path.iterdir()) == [first, second]


def test_index_of_512_dimensions_takes_at_most_560_bytes_a_photo(tmp_path: Path) -> None:
    codes, scales = encode(np.random.default_rng(1).standard_normal((4000, 512)))
    photos = [
        Photo(
            name=f"Pictures/{2015 + row // 500}-{row // 100 % 12 + 1:02} A name of a folder/IMG_{row:04}.JPG",
            size_bytes=4_000_000,
            modified_s=1_600_000_000,
            date_ms=1.6e12,
            codes=codes[row],
            scale=float(scales[row]),
            place=(1.0, 2.0),
            fingerprint=row + 1,
        )
        for row in range(4000)
    ]
    size = write_index(tmp_path / "a.index", Facts(space="00" * 32, model="m", dimensions=512), photos)
    assert sum(len(photo.name) for photo in photos) / 4000 > 40
    assert size / 4000 <= 560


@pytest.mark.parametrize("dimensions", [1, 63, 128, 512, 768, 1152])
def test_vectors_in_eight_bits_stay_where_they_were(dimensions: int) -> None:
    rows = np.random.default_rng(dimensions).standard_normal((50, dimensions)).astype(np.float32)
    rows[:, 0] += 8  # as encoders of CLIP's kind have it
    block = rotation_block(dimensions)
    assert np.allclose(rotate_back(rotate(rows, block), block), rows, atol=1e-4)
    found = decode(*encode(rows), block)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (found * unit).sum(axis=1).min() > 0.9998


@pytest.mark.parametrize("row", [[0.0] * 8, [math.nan] + [1.0] * 7, [math.inf] + [1.0] * 7])
def test_vector_without_a_direction_is_refused(row: list[float]) -> None:
    with pytest.raises(ValueError, match="direction"):
        encode(np.array([row]))


def test_names_that_share_much_take_few_bytes_and_come_back() -> None:
    names = [f"2023/Ferien in Österreich/IMG_{n:05}.JPG" for n in range(1000)] + ["z", "zz", "é", "日本/写真.jpg"]
    packed = pack_names(names)
    assert unpack_names(packed, len(names)) == names
    assert len(packed) < 10 * len(names) < sum(len(name.encode()) for name in names) / 3


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../up.jpg", "a/../b.jpg", "a//b.jpg", "a\nb.jpg", "a/", "a/.", "a\x9b.jpg", "gpj.\u202eexe"],
)
def test_name_that_leads_elsewhere_is_neither_written_nor_read(name: str, tmp_path: Path) -> None:
    facts, photos = made_up(1)
    bad = Photo(name=name, size_bytes=1, modified_s=1, date_ms=0, codes=photos[0].codes, scale=photos[0].scale)
    with pytest.raises(IndexFileError, match="cannot stand in an index"):
        write_index(tmp_path / "a.index", facts, [bad])
    with pytest.raises(IndexFileError, match="damaged"):
        unpack_names(pack_names([name]), 1)


def test_file_that_is_no_index_is_refused_in_words(tmp_path: Path) -> None:
    for content in (b"", b"P", b"\x89PNG\r\n\x1a\n" + bytes(500), bytes(1000)):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(IndexFileError, match="no index of photos"):
            AlbumIndex(tmp_path / "a")
    with pytest.raises(IndexFileError, match="cannot be read"):
        AlbumIndex(tmp_path / "absent")


def test_index_of_another_version_is_refused(tmp_path: Path) -> None:
    path, _ = write(tmp_path / "a.index")
    content = bytearray(path.read_bytes())
    content[8] = 3
    path.write_bytes(content)
    with pytest.raises(IndexFileError, match="version 3"):
        AlbumIndex(path)


def test_index_that_is_cut_off_is_refused_at_every_length(tmp_path: Path) -> None:
    path, _ = write(tmp_path / "a.index", 20, thumbnails=True)
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        with pytest.raises(IndexFileError):
            AlbumIndex(path)


def read_all(path: Path) -> None:
    found = AlbumIndex(path)
    for photo in found.photos():
        _ = photo.thumbnail() if photo.thumbnail else b""
    found.search(np.ones(found.facts.dimensions), 5)


def test_damaged_index_is_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    """A thousand files with a few bytes changed, most of them where the structure is."""
    path, _ = write(tmp_path / "a.index", 70, thumbnails=True)
    content, rng = path.read_bytes(), np.random.default_rng(99)
    structure = HEADER.size + 10 * ENTRY.size + 400
    refused = 0
    for _ in range(1000):
        changed = bytearray(content)
        for at in rng.integers(0, structure if rng.random() < 0.8 else len(content), rng.integers(1, 5)):
            changed[at] = rng.integers(0, 256)
        path.write_bytes(changed)
        try:
            read_all(path)
        except IndexFileError as error:
            assert error.hint
            refused += 1
    assert 300 < refused < 1000


def test_header_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path, _ = write(tmp_path / "a.index", 20)
    content = bytearray(path.read_bytes())
    for at, value in ((16, 2**32 - 1), (20, 2**31), (20, 0), (12, 10**6), (28, 3), (28, 0)):
        changed = bytearray(content)
        changed[at : at + 4] = struct.pack("<I", value)
        path.write_bytes(changed)
        with pytest.raises(IndexFileError, match="damaged"):
            AlbumIndex(path)
