"""Files on their way out: only those that a manifest lists, whole, and none of them a link.

A user's folder is never uploaded as such: hidden files, environments and caches would go with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from builder.errors import PublishError
from builder.folders import way_out
from builder.manifest import FileEntry, file_sha256


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """One file to publish at ``path``; ``source`` is a file, or the contents themselves.

    ``sha256`` is what the Hub names a large file by, `blob_id` what git, and so the Hub, names a small one by.
    """

    path: str
    source: Path | bytes
    size_bytes: int
    sha256: str

    @cached_property
    def blob_id(self) -> str:
        return hashlib.sha1(b"blob %d\0" % self.size_bytes + self.content()).hexdigest()

    def content(self) -> bytes:
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()


def from_text(path: str, text: str) -> LocalFile:
    """A file that exists only in the place that it is published to."""
    raw = text.encode()
    return from_bytes(path, raw)


def from_bytes(path: str, raw: bytes) -> LocalFile:
    """Likewise, of bytes."""
    return LocalFile(path=path, source=raw, size_bytes=len(raw), sha256=hashlib.sha256(raw).hexdigest())


def from_folder(root: Path, entries: Iterable[FileEntry], *, is_fresh: bool = False) -> list[LocalFile]:
    """Take the listed files of a folder; of one that was just made (``is_fresh``) the checksums are taken as noted.

    Raises:
        PublishError: a file is a link or lies outside, is missing, or is not what was recorded. All are named.
    """
    found, problems = [], []
    for entry in entries:
        problem = _look(root, entry, is_fresh)
        if problem:
            problems.append(f"{entry.path} {problem}")
        else:
            source = root / entry.path
            found.append(LocalFile(path=entry.path, source=source, size_bytes=entry.size_bytes, sha256=entry.sha256))
    if problems:
        raise PublishError(
            f"{root} cannot be published: {'; '.join(problems[:5])}",
            hint="build it anew; files that were edited by hand, and links, are not published",
        )
    return found


def _look(root: Path, entry: FileEntry, is_fresh: bool) -> str:
    if problem := way_out(root, entry.path):
        return problem
    path = root / entry.path
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != entry.size_bytes or not (is_fresh or file_sha256(path) == entry.sha256):
        return "is not what its manifest says"
    return ""
