"""index: an album of photos becomes one file that the photo-search page opens and searches.

Start with `index`. walk.py finds photos, pictures.py and exif.py open them, journal.py keeps what is done; the file
itself is builder/album/'s. Photos that the last index, or an interrupted run, has already seen are not opened again.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from builder.album import AlbumIndex, Facts, Photo, index_dtype, rounding, vector_space, write_index
from builder.album.space import ENCODER, PREPROCESSOR
from builder.album.vectors import encode
from builder.embedded import NAMES, model_dir
from builder.errors import IndexFileError, ModelError, did_you_mean
from builder.index.exif import wall_clock_ms
from builder.index.journal import Journal
from builder.index.pictures import PhotoError, open_photo
from builder.index.walk import Found, Unreadable, find_photos
from builder.manifest import FileEntry, Manifest, read_manifest
from builder.sessions import usable_cores
from builder.tasks import PictureEncoder

__all__ = ["IndexResult", "Unreadable", "index"]

DEFAULT_MODEL = "scenes-clip"
WAITING_PER_CORE = 2
"""Photos that are handed out before they are needed: what is decoded at a time is bounded."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class IndexResult:
    """An index on disk. ``kept`` photos were taken over from the last one or an interrupted run."""

    path: Path
    model: str
    photos: int
    added: int
    kept: int
    removed: int
    unreadable: tuple[Unreadable, ...]
    size_bytes: int
    seconds: float


def index(
    folder: Path,
    *,
    out: Path,
    model: str | Path | None = None,
    thumbnails: bool = True,
    progress: Progress | None = None,
    report: Callable[[str], None] | None = None,
) -> IndexResult:
    """Index every photo below ``folder`` into the file ``out``, on all cores.

    ``model`` is an embedded model's name, a web model folder, the folder of a site that carries one, or the Hub id of
    one that was published. It runs in the dtype that pages run on processors, so that both make the same vectors.

    An index that is there already is brought up to date: photos whose size and time of change are the same are kept,
    new and changed ones opened, removed ones dropped; those of a folder that cannot be read are not gone. The file
    changes whole or not at all; a run that was interrupted goes on where it stopped. ``progress`` is told how many
    photos are done, and of how many.

    Raises:
        IndexFileError: no folder, no photo in it, or the file is no index of ours or cannot be written.
        ModelError: there is no such model, it cannot be fetched, or it makes no vectors of pictures.
    """
    started = time.monotonic()
    say = report or (lambda line: None)
    if not folder.is_dir():
        raise IndexFileError(f"{folder} is no folder", hint="give the folder that your photos are in")
    place, manifest = _find_model(model, say)
    facts = Facts(
        space=vector_space(manifest),
        model=manifest.name,
        dimensions=_dimensions(manifest),
        rounding=rounding(manifest, index_dtype(manifest)),
    )
    target = out.absolute()
    journal = Journal(target, facts)
    last = _last_index(target, facts, say)
    done = _usable(journal.read(), thumbnails)
    if done:
        say(f"going on: {len(done)} photos were done before")
    found, unreadable = find_photos(folder)
    known = {**_usable(last, thumbnails), **done}
    photos, fresh = _take_over(found, known)
    closed = tuple(f"{one.name}/" for one in unreadable if one.folder)
    photos |= {name: photo for name, photo in known.items() if name.startswith(closed)}
    kept = len(photos)
    try:
        with closing(_read_all(fresh, place, manifest, thumbnails)) as results:
            for count, result in enumerate(results, start=1):
                if isinstance(result, Photo):
                    photos[result.name] = result
                    photos |= journal.add(result)
                else:
                    unreadable.append(result)
                if progress is not None:
                    progress(kept + count, kept + len(fresh))
    finally:
        journal.flush()
    if not photos:
        raise IndexFileError(
            f"{folder} holds no photo that can be read{_first_of(unreadable)}",
            hint="JPEG, PNG, WebP, AVIF, GIF, HEIC, BMP and TIFF are read",
        )
    rows = [photos[name] for name in sorted(photos)]
    size_bytes = write_index(target, facts, rows, thumbnails=thumbnails)
    journal.remove()
    return IndexResult(
        path=target,
        model=manifest.name,
        photos=len(rows),
        added=len(rows) - kept,
        kept=kept,
        removed=len(last.keys() - photos.keys()),
        unreadable=tuple(sorted(unreadable, key=lambda one: one.name)),
        size_bytes=size_bytes,
        seconds=time.monotonic() - started,
    )


def _find_model(model: str | Path | None, say: Callable[[str], None]) -> tuple[Path, Manifest]:
    wanted = model if model is not None else DEFAULT_MODEL
    place = model_dir(wanted) if isinstance(wanted, str) and wanted in NAMES else Path(wanted)
    if not place.is_dir() and isinstance(wanted, str) and "/" in wanted:
        from builder.hub import fetch_model_files

        place = fetch_model_files(wanted, "pictures", _files_for_pictures, report=say)
    if len(carried := list(place.glob("models/*/manifest.json"))) == 1:
        place = carried[0].parent  # a site
    if not place.is_dir():
        raise ModelError(
            f"there is no model {str(wanted)!r}",
            hint=f"give a web model folder, a Hub id, or: {did_you_mean(str(wanted), NAMES)}",
        )
    return place, read_manifest(place)


def _files_for_pictures(manifest: Manifest) -> list[FileEntry]:
    """Of a model on the Hub only what makes vectors of pictures is fetched."""
    vector_space(manifest)  # says so when it makes none
    variant = manifest.components[ENCODER][index_dtype(manifest)]
    graph = FileEntry(path=variant.path, size_bytes=variant.size_bytes, sha256=variant.sha256)
    return [graph, *variant.data, *(entry for entry in manifest.files if entry.path == PREPROCESSOR)]


def _dimensions(manifest: Manifest) -> int:
    """Numbers in a vector, as the graph declares them."""
    variant = next(iter(manifest.components[ENCODER].values()))
    for output in variant.outputs:
        if output.name in ("image_embeds", "pooler_output") and isinstance(output.shape[-1], int):
            return output.shape[-1]
    raise ModelError(f"{manifest.name} does not say how long its vectors are", hint="export the checkpoint again")


def _last_index(target: Path, facts: Facts, say: Callable[[str], None]) -> dict[str, Photo]:
    """Name → photo of the index that is to be brought up to date; none of another model's."""
    if target.is_dir():
        raise IndexFileError(f"{target} is a folder", hint=f"give a file with -o: {target.name}.index")
    if not target.exists():
        if not target.parent.is_dir():
            raise IndexFileError(f"there is no folder {target.parent}", hint="make it, or give another file with -o")
        return {}
    try:
        last = AlbumIndex(target)
    except IndexFileError as error:
        raise IndexFileError(error.message, hint="remove it, or give another file with -o") from error
    if last.facts != facts:
        made = f"{last.facts.model}, {last.facts.rounding or 'rounding unknown'}"
        say(f"{target.name} was made with another model ({made}): all photos are read again")
        return {}
    return {photo.name: photo for photo in last.photos()}


def _take_over(found: Iterable[Found], known: Mapping[str, Photo]) -> tuple[dict[str, Photo], list[Found]]:
    """Tell photos whose files are as they were from those that have to be read."""
    photos, fresh = dict[str, Photo](), list[Found]()
    for one in found:
        before = known.get(one.name)
        if before and (before.size_bytes, before.modified_s) == (one.size_bytes, one.modified_s):
            photos[one.name] = before
        else:
            fresh.append(one)
    return photos, fresh


def _usable(photos: dict[str, Photo], thumbnails: bool) -> dict[str, Photo]:
    return {name: photo for name, photo in photos.items() if photo.thumbnail is not None or not thumbnails}


def _read_all(
    found: Sequence[Found], place: Path, manifest: Manifest, thumbnails: bool
) -> Generator[Photo | Unreadable]:
    """Read photos on all cores, in whatever order they get ready: decoders and onnxruntime let go of Python's lock."""
    if not found:
        return
    cores = usable_cores()
    encoder = PictureEncoder(place, index_dtype(manifest), threads=1)

    def read(one: Found) -> Photo | Unreadable:
        try:
            opened = open_photo(one.path, manifest.image, thumbnail=thumbnails)
        except PhotoError as error:
            return Unreadable(name=one.name, why=str(error))
        codes, scales = encode(encoder.vector(opened.pixels)[None])
        picture = opened.thumbnail
        return Photo(
            name=one.name,
            size_bytes=one.size_bytes,
            modified_s=one.modified_s,
            date_ms=wall_clock_ms(one.modified_s) if opened.date_ms is None else opened.date_ms,
            codes=codes[0],
            scale=float(scales[0]),
            place=opened.place,
            fingerprint=opened.fingerprint,
            thumbnail=None if picture is None else partial(bytes, picture),
        )

    waiting = iter(found)
    # Of large pictures and odd metadata, both of which are dealt with. For all threads, because filters belong to none.
    warnings.filterwarnings("ignore", module="PIL")
    pool = ThreadPoolExecutor(cores)
    try:
        running: set[Future[Photo | Unreadable]] = {
            pool.submit(read, one) for one in islice(waiting, WAITING_PER_CORE * cores)
        }
        while running:
            ready, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(read, one) for one in islice(waiting, len(ready))}
            yield from (one.result() for one in ready)
    finally:
        pool.shutdown(cancel_futures=True)


def _first_of(unreadable: list[Unreadable]) -> str:
    return f": {unreadable[0].name}: {unreadable[0].why}" if unreadable else ""
