"""Names of photos, front-coded: each as how much of the one before it repeats, and what follows.

    u32 × (blocks + 1)   where each block of 64 names begins, counted from the end of these numbers; at last their end
    for each name:       varint: bytes taken over from the name before (0 for the first of a block);
                         varint: bytes that follow; these bytes

A varint has seven bits in a byte, low ones first, and the high bit set on all bytes but its last. Names are UTF-8.
Those of an album share their folders and most of their letters: ten bytes are left of some thirty. Blocks begin anew,
so that one name can be read without all before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from builder.album.format import damaged

BLOCK = 64
LONGEST = 4096
"""Bytes of a name."""
STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what follows: a name with them is not what it looks like."""


def pack_names(names: Sequence[str]) -> bytes:
    """Return the section. Names must be valid, see `check_name`."""
    blocks, last = [bytearray() for _ in range(-(-len(names) // BLOCK))], b""
    for row, name in enumerate(names):
        letters = name.encode()
        shared = 0 if row % BLOCK == 0 else _common(last, letters)
        blocks[row // BLOCK] += _varint(shared) + _varint(len(letters) - shared) + letters[shared:]
        last = letters
    starts = np.cumsum([0, *map(len, blocks)], dtype=np.uint64)
    if int(starts[-1]) >= 2**32:
        raise ValueError("4 GiB of names")
    return starts.astype("<u4").tobytes() + b"".join(blocks)


def unpack_names(section: bytes, count: int) -> list[str]:
    """Read the section.

    Raises:
        IndexFileError: it contradicts itself, or holds what is no name of a file in a folder.
    """
    blocks = -(-count // BLOCK)
    table = 4 * (blocks + 1)
    if len(section) < table:
        raise damaged("its names are cut off")
    starts = np.frombuffer(section, "<u4", blocks + 1).astype(np.int64) + table
    if starts[0] != table or starts[-1] != len(section) or bool((np.diff(starts) < 0).any()):
        raise damaged("its names lie outside their section")
    names = list[str]()
    for block in range(blocks):
        names += _unpack_block(section[starts[block] : starts[block + 1]], min(BLOCK, count - block * BLOCK))
    return names


def check_name(name: str) -> str:
    """Why ``name`` cannot stand in an index, or nothing: names become addresses and file names elsewhere."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "its name is no UTF-8"
    if not 0 < length <= LONGEST:
        return "its name is empty or too long"
    if STEERING.search(name):
        return "its name has control characters"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "its name leads out of the folder"
    return ""


def _unpack_block(block: bytes, count: int) -> Iterator[str]:
    at, last = 0, b""
    for _ in range(count):
        shared, at = _read_varint(block, at)
        added, at = _read_varint(block, at)
        if shared > len(last) or at + added > len(block):
            raise damaged("a name refers to what is not there")
        last = last[:shared] + block[at : at + added]
        at += added
        try:
            name = last.decode()
        except UnicodeDecodeError:
            raise damaged("a name is no UTF-8") from None
        if problem := check_name(name):
            raise damaged(f"a name cannot be one: {problem}")
        yield name
    if at != len(block):
        raise damaged("there is something behind the last name of a block")


def _common(a: bytes, b: bytes) -> int:
    """Bytes at the beginning that are the same."""
    for at, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return at
    return min(len(a), len(b))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in (0, 7, 14):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise damaged("a number among its names does not end")
