"""Packs the sections of an index that stand beside the vectors, and would take a tenth of it.

Rows that follow each other are alike: photos of a day, of a place, with names that count on. So each number of a row is
written as its difference to the row before, all lowest bytes first, then all second ones; what is left is deflated (RFC
1951). Names are front-coded before (names.py) and only deflated here.

web_template/shared/index-packing.js is the same in JavaScript. Nothing is unpacked beyond the length that is declared.
"""

from __future__ import annotations

import zlib

import numpy as np

from builder.album.format import damaged

WORD = 4


def pack(section: bytes, words: int) -> bytes:
    """Pack a section of rows of ``words`` u32 each; 0: a section of bytes."""
    if words:
        rows = np.frombuffer(section, "<u4").reshape(-1, words)
        steps = np.diff(rows, axis=0, prepend=np.zeros((1, words), "<u4")).astype("<u4")
        section = steps.view(np.uint8).reshape(len(rows), WORD * words).T.tobytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(section) + packer.flush()


def unpack(packed: bytes, length: int, words: int) -> bytes:
    """Undo `pack`; ``length`` is that of the section.

    Raises:
        IndexFileError: it is not what was packed.
    """
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        section = unpacker.decompress(packed, length + 1)
    except zlib.error as error:
        raise damaged(f"a section cannot be unpacked: {error}") from None
    if len(section) != length or not unpacker.eof or unpacker.unused_data:
        raise damaged("a section is not as long as it says")
    if not words:
        return section
    planes = np.frombuffer(section, np.uint8).reshape(WORD * words, -1)
    steps = np.ascontiguousarray(planes.T).view("<u4")
    return bytes(np.cumsum(steps, axis=0, dtype=np.uint32).astype("<u4").tobytes())
