"""What of an export is finished, so that a second run after an interruption goes on from there, and alone."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from builder.errors import ExportError
from builder.paths import cache_folder
from builder.versions import builder_version

FILE_NAME = ".finished.json"


@contextmanager
def only_export_to(target: Path) -> Iterator[None]:
    """Keep other exports out of ``target`` while the block runs: all of them write ``.NAME.part``, and go on from it.

    The lock lies in the user's cache folder, and is that of a process: one that was killed holds none.

    Raises:
        ExportError: another export is at it, or the cache folder cannot be written.
    """
    locks = cache_folder() / "locks"
    name = hashlib.sha256(str(target.resolve()).encode()).hexdigest()[:32]
    lock = FileLock(locks / f"{name}.lock", timeout=0)
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ExportError(
            f"another export is writing {target}", hint="wait for it, or give another folder with -o"
        ) from error
    except OSError as error:
        raise ExportError(
            f"{locks} cannot be written: {(error.strerror or str(error)).lower()}",
            hint="make it writable, or set XDG_CACHE_HOME to another folder",
        ) from error
    try:
        yield
    finally:
        lock.release()


def fingerprint(checkpoint: Path, *choices: object) -> str:
    """Digest of what an export is made from: JSON files, names, sizes and times of the weights, and the ``choices``."""
    digest = hashlib.sha256(json.dumps([builder_version(), *map(str, choices)]).encode())
    for path in sorted(p for p in checkpoint.iterdir() if p.is_file()):
        digest.update(path.name.encode())
        if path.suffix == ".safetensors":
            status = path.stat()
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
        elif path.suffix in (".json", ".jinja", ".txt"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


class Progress:
    """The finished components of the export in ``folder``; what another checkpoint or version has left is removed."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.path = folder / FILE_NAME
        self.mark = mark
        self.finished: list[str] = []
        if self.path.is_file():
            self.finished = _read(self.path, mark)
        if not self.finished:
            for left in folder.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()

    def __contains__(self, component: str) -> bool:
        return component in self.finished

    def add(self, component: str) -> None:
        """Note that ``component`` is written and agrees with PyTorch."""
        self.finished.append(component)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps({"mark": self.mark, "finished": self.finished}), encoding="utf-8")
        part.replace(self.path)

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)


def _read(path: Path, mark: str) -> list[str]:
    """The components that an earlier run with this ``mark`` finished; a damaged file counts as none."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return [str(name) for name in saved["finished"]] if saved["mark"] == mark else []
    except (ValueError, TypeError, KeyError):
        return []
