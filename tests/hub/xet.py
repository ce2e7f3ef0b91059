"""Xet storage in a folder: hf_xet's own client reads and writes it (xet-core's ``local://``), nothing here imitates it.

Only the Hub's part is here: which Xet hash belongs to a SHA-256. The storage notes that in shards, files of fixed
records (xet-core, mdb_shard): a header of 48 bytes, then for each file a record with its hash, flags and number of
segments, the segments, as many records for verification if bit 31 is set, and one with the SHA-256 if bit 30 is.
"""

from __future__ import annotations

import struct
from pathlib import Path

HEADER = RECORD = 48
VERIFIED, NAMED = 1 << 31, 1 << 30
LAST = b"\xff" * 32


def known_files(cas: Path) -> dict[str, tuple[str, int]]:
    """SHA-256 → Xet hash and size of every file that the storage holds."""
    found: dict[str, tuple[str, int]] = {}
    for shard in cas.rglob("xorbs/shards/*.mdb"):
        raw, at = shard.read_bytes(), HEADER
        while raw[at : at + 32] != LAST:
            name, flags, segments = raw[at : at + 32], *struct.unpack_from("<II", raw, at + 32)
            sizes = [struct.unpack_from("<I", raw, at + RECORD * (1 + n) + 36)[0] for n in range(segments)]
            at += RECORD * (1 + segments + (segments if flags & VERIFIED else 0))
            if flags & NAMED:
                found[_hex(raw[at : at + 32])] = (_hex(name), sum(sizes))
                at += RECORD
    return found


def fetch(cas: Path, xet_hash: str, size: int, target: Path) -> None:
    """Take a file out of the storage."""
    import hf_xet

    with hf_xet.XetSession().new_file_download_group(endpoint=f"local://{cas}") as group:
        group.start_download_file(hf_xet.XetFileInfo(xet_hash, size), str(target))


def _hex(raw: bytes) -> str:
    """Hashes are written as four little-endian numbers."""
    return "".join(raw[at : at + 8][::-1].hex() for at in range(0, 32, 8))
