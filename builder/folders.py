"""A folder that appears whole or not at all.

Verbs write into a hidden folder beside the target and rename it at the end, so that an interrupted run leaves what was
there before. This module knows nothing of what is written; whether a target may be replaced is for the verb to say.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.errors import BuilderError


@contextmanager
def new_folder(target: Path, *, error: type[BuilderError]) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``target`` when the block ends well, and is removed otherwise.

    A process that was killed leaves ``.NAME.part``, which the next run removes, or in the instant between two renames
    ``.NAME.old``, which the next run puts back.

    Raises:
        error: the place cannot be written, the disk is full, or a rename failed; the message says which.
    """
    target = target.absolute()
    new_parents = [parent for parent in target.parents if not parent.exists()]
    part, old = (target.with_name(f".{target.name}.{state}") for state in ("part", "old"))
    try:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        _swap(part, target, old)
    except OSError as problem:
        raise error(
            f"{target} cannot be written: {(problem.strerror or str(problem)).lower()}",
            hint="free some space, or give another folder with -o",
        ) from problem
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if not target.exists():
            _remove_empty(new_parents)


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _swap(part: Path, target: Path, old: Path) -> None:
    if not target.exists():
        part.rename(target)
        return
    shutil.rmtree(old, ignore_errors=True)
    target.rename(old)
    try:
        part.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
