"""A folder or a file that appears whole or not at all, and what of a folder's files does not lie in it.

Verbs write into a hidden place beside the target and rename it at the end, so that an interrupted run leaves what was
there before. This module knows nothing of what is written; whether a target may be replaced is for the verb to say.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from builder.errors import BuilderError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where room is what is missing."""


@contextmanager
def new_folder(target: Path, *, error: type[BuilderError], keep: str | None = None) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``target`` when the block ends well, and is removed otherwise.

    With ``keep``, a folder that holds a file of that name is worth going on from: it stays as ``.NAME.part`` when the
    block fails, and the next run gets it as it was left.

    A process that was killed leaves ``.NAME.part``, which the next run removes or goes on from, or in the instant
    between two renames ``.NAME.old``, which the next run puts back.

    Raises:
        error: the place cannot be written, the disk is full, or a rename failed; the message says which.
    """
    target = target.absolute()
    new_parents = [parent for parent in target.parents if not parent.exists()]
    part, old = (target.with_name(f".{target.name}.{state}") for state in ("part", "old"))
    try:
        if old.exists() and not target.exists():
            old.rename(target)
        if not _is_kept(part, keep):
            shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, exist_ok=True)
        yield part
        _swap(part, target, old)
    except OSError as problem:
        raise _unwritable(target, problem, error, "give another folder with -o") from problem
    finally:
        if not _is_kept(part, keep):
            shutil.rmtree(part, ignore_errors=True)
            if not target.exists():
                _remove_empty(new_parents)


def _is_kept(part: Path, keep: str | None) -> bool:
    return keep is not None and (part / keep).is_file()


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


@contextmanager
def staged_changes(folder: Path, *, error: type[BuilderError], last: str) -> Iterator[Path]:
    """Yield an empty hidden folder whose files are moved into ``folder`` together when the block ends well.

    The file ``last`` comes last: where it is the one that describes the others, a run that is killed between two moves
    leaves a description of what was there before.

    Raises:
        error: the folder cannot be written, or the disk is full.
    """
    staged = folder / ".staged.part"
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        yield staged
        files = [path for path in staged.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: (path.name == last, path)):
            target = folder / path.relative_to(staged)
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
    except OSError as problem:
        raise _unwritable(folder, problem, error, "copy the model to a folder that you may write to") from problem
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def new_file(path: Path, *, error: type[BuilderError], otherwise: str) -> Iterator[Path]:
    """Yield where to write a file that takes the place of ``path`` when the block ends well, and is removed otherwise.

    Raises:
        error: the place cannot be written, or the disk is full; the hint is ``otherwise``, besides making room.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        part.replace(path)
    except OSError as problem:
        raise _unwritable(path, problem, error, otherwise) from problem
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _unwritable(place: Path, problem: OSError, error: type[BuilderError], otherwise: str) -> BuilderError:
    return error(
        f"{place} cannot be written: {(problem.strerror or str(problem)).lower()}",
        hint=f"free some space, or {otherwise}" if problem.errno in FULL else otherwise,
    )


def way_out(root: Path, path: str) -> str:
    """Why the file ``path`` of a folder, as a list names it, does not lie in the folder itself; empty if it does.

    Only names and links are looked at: whether the file is there is another question.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or set(path) & set("\\\0") or ":" in parts[0]:
        return "leads out of the folder"
    place = root
    for part in parts:
        place /= part
        if place.is_symlink():
            return "is a link" if place == root / path else f"lies behind the link {place.relative_to(root)}"
    return ""


def check_room(path: Path, needed_bytes: int, *, error: type[BuilderError]) -> None:
    """Make sure that the disk which holds ``path``, or will, has ``needed_bytes`` free.

    Raises:
        error: it has less; the message has both figures.
    """
    path = path.absolute()
    place = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed_bytes:
        raise error(
            f"{path} needs {needed_bytes / 1e6:,.1f} MB, and its disk has {free / 1e6:,.1f} MB free",
            hint="free some space, or choose a place on another disk",
        )
