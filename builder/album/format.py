"""The file format of an index: one file, little-endian, made to be memory-mapped and to be fetched by ranges.

    0    8   magic: 89 57 44 49 0D 0A 1A 0A ("\\x89WDI\\r\\n\\x1a\\n": whatever treats it as text breaks it visibly)
    8    u32 version, 2
    12   u32 number of sections
    16   u32 photos
    20   u32 dimensions of a vector
    24   u32 how vectors are stored: 1 is int8 with a float32 scale for each vector
    28   u32 block of the rotation, a power of two that divides the dimensions (vectors.py); 1: none
    32   32  the vector space, a SHA-256 (space.py)
    64   64  name of the model, UTF-8, filled up with zeros: for people, nothing depends on it
    128  u64 length of the whole file in bytes
    136  u64 zero
    144  the sections, 24 bytes each: 4 letters, u32 length once it is unpacked (packing.py) or 0 for one that is not
         packed, u64 offset, u64 length

Sections follow, each at a multiple of 64 bytes, in this order, so that all that a search needs lies together before the
thumbnails, and all that a list of results needs lies before the vectors:

    made  how the weights of the model were rounded (space.py): UTF-8. May be missing: nothing is known
    name  names of the photos (names.py): paths below the indexed folder, "/" between the parts
    size  u32 for each photo: bytes of its file (files beyond 4 GiB are not indexed)
    modi  u32: when the file was changed, in seconds since 1970; with the size it tells a changed file
    date  i64: when the photo was taken by the clock on the wall there, in milliseconds since 1970 as if in UTC (EXIF
          DateTimeOriginal; for a file without one, its time of change); -2^63: unknown
    plac  2 × i32: latitude and longitude in 1e-7 degrees; twice -2^31: unknown. May be missing
    hash  2 × u32: the perceptual hash, low half first (builder/index/pictures.py); zero: none. May be missing
    tlen  u32: bytes of the thumbnail, 0 for none. May be missing, with ``thum``
    scal  f32: the scale of the vector, which makes it one of length 1
    vect  dimensions × i8: the vector, rotated, divided by its scale
    thum  the thumbnails one after the other, WebP or JPEG

Those before ``tlen``, and ``scal``, are packed. A reader ignores sections that it does not know, and refuses another
version. 512 dimensions take some 540 bytes a photo, with names that count on less, with random ones of 40 letters 556.

The page's own album is kept as such files too, a few hundred photos in each.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from builder.errors import IndexFileError

MAGIC = b"\x89WDI\r\n\x1a\n"
VERSION = 2
INT8 = 1
ALIGNMENT = 64
HEADER = struct.Struct("<8s6I32s64sQQ")
ENTRY = struct.Struct("<4sIQQ")
MOST_SECTIONS = 32
MOST_PHOTOS = 10_000_000
MOST_DIMENSIONS = 8192
NOWHERE = -(2**31)
DEGREES = 1e7
UNKNOWN_DATE = -(2**63)
ITEM_BYTES: Mapping[str, int] = {"size": 4, "modi": 4, "date": 8, "plac": 8, "hash": 8, "tlen": 4, "scal": 4}
"""Sections of so many bytes for each photo."""
REQUIRED = ("name", "size", "modi", "date", "scal", "vect")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the vectors of an index are: ``space`` is 64 hexadecimal digits, ``rounding`` "" where it is unknown, see
    space.py for both; ``model`` is for people."""

    space: str
    model: str
    dimensions: int
    rounding: str = ""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One photo of an index.

    ``codes`` [dimensions] int8 and ``scale`` are its vector (vectors.py). ``modified_s`` is in whole seconds,
    ``date_ms`` as in the format, NaN where unknown; ``place`` is latitude and longitude in degrees; ``fingerprint`` is
    the perceptual hash, 0 for none. ``thumbnail`` returns an encoded picture when it is needed.
    """

    name: str
    size_bytes: int
    modified_s: int
    date_ms: float
    codes: np.ndarray
    scale: float
    place: tuple[float, float] | None = None
    fingerprint: int = 0
    thumbnail: Callable[[], bytes] | None = None


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A checked header: every section lies within the file, and is, or will be, as long as it must be.

    ``sections`` is name → offset, length; ``unpacked`` is name → length of those that are packed.
    """

    facts: Facts
    photos: int
    rotation: int
    sections: Mapping[str, tuple[int, int]]
    unpacked: Mapping[str, int]


def aligned(offset: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return -(-offset // ALIGNMENT) * ALIGNMENT


def header_bytes(
    facts: Facts, *, photos: int, rotation: int, sections: Mapping[str, int], unpacked: Mapping[str, int]
) -> tuple[bytes, list[int]]:
    """Lay out sections of the given lengths in the given order; return the header and their offsets."""
    offsets, end = list[int](), HEADER.size + ENTRY.size * len(sections)
    for length in sections.values():
        offsets.append(aligned(end))
        end = offsets[-1] + length
    name = facts.model.encode()[:64].decode(errors="ignore").encode()  # no half letter at the end
    space = bytes.fromhex(facts.space)
    head = HEADER.pack(MAGIC, VERSION, len(sections), photos, facts.dimensions, INT8, rotation, space, name, end, 0)
    entries = [
        ENTRY.pack(kind.encode(), unpacked.get(kind, 0), offset, length)
        for offset, (kind, length) in zip(offsets, sections.items(), strict=True)
    ]
    return b"".join((head, *entries)), offsets


def parse_header(start: bytes, file_bytes: int) -> Layout:
    """Read and check a header. ``start`` is the beginning of the file, as much of it as there is.

    Raises:
        IndexFileError: this is no index, one of another version, or a damaged one.
    """
    if len(start) < HEADER.size or not start.startswith(MAGIC):
        raise IndexFileError("this is no index of photos", hint="make one with `webgpu-demo index FOLDER`")
    _, version, count, photos, dimensions, kind, rotation, space, name, length, _ = HEADER.unpack_from(start)
    if version != VERSION or kind != INT8:
        raise IndexFileError(
            f"this index has version {version} with vectors of kind {kind}; this program reads version {VERSION}",
            hint="make it again with `webgpu-demo index`",
        )
    if length != file_bytes:
        raise damaged(f"it has {file_bytes} bytes, and its header says {length}")
    if not 0 < dimensions <= MOST_DIMENSIONS or photos > MOST_PHOTOS or count > MOST_SECTIONS:
        raise damaged(f"{photos} photos of {dimensions} dimensions in {count} sections")
    if rotation < 1 or rotation & (rotation - 1) or dimensions % rotation:
        raise damaged(f"a rotation of {rotation} in {dimensions} dimensions")
    if len(start) < HEADER.size + ENTRY.size * count:
        raise damaged("its list of sections is cut off")
    sections, unpacked = dict[str, tuple[int, int]](), dict[str, int]()
    end = HEADER.size + ENTRY.size * count
    for number in range(count):
        letters, plain, offset, size = ENTRY.unpack_from(start, HEADER.size + ENTRY.size * number)
        section = letters.decode("latin-1")
        if section in sections or offset % ALIGNMENT or offset < end or offset + size > file_bytes:
            raise damaged(f"section {section!r} at {offset} with {size} bytes")
        sections[section], end = (offset, size), offset + size
        if plain:
            unpacked[section] = plain
    missing = [section for section in REQUIRED if section not in sections]
    if missing or ("tlen" in sections) != ("thum" in sections):
        raise damaged(f"it lacks {', '.join(missing) or 'half of the thumbnails'}")
    for section, item in {**ITEM_BYTES, "vect": dimensions}.items():
        length = unpacked.get(section, sections.get(section, (0, item * photos))[1])
        if length != item * photos:
            raise damaged(f"section {section!r} has {length} bytes for {photos} photos")
    if "vect" in unpacked or "thum" in unpacked:
        raise damaged("what is read in parts is packed")
    model = name.rstrip(b"\0").decode(errors="replace")
    facts = Facts(space=space.hex(), model=model, dimensions=dimensions)
    return Layout(facts=facts, photos=photos, rotation=rotation, sections=sections, unpacked=unpacked)


def damaged(what: str) -> IndexFileError:
    """The error of an index that contradicts itself."""
    return IndexFileError(f"this index is damaged: {what}", hint="copy it again, or make it again")


def place_units(place: tuple[float, float] | None) -> tuple[int, int]:
    """Latitude and longitude as the file has them; what is no place on Earth is none."""
    if place is None or not all(map(math.isfinite, place)) or abs(place[0]) > 90 or abs(place[1]) > 180:
        return (NOWHERE, NOWHERE)
    return (round(place[0] * DEGREES), round(place[1] * DEGREES))
