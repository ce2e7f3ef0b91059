"""Fetch a checkpoint: list, choose, make sure that there is room, download into the Hub's own cache.

Pickles and Python are never chosen, so they never arrive. What is chosen is passed to huggingface_hub by name.
"""

from __future__ import annotations

import glob
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
from huggingface_hub.utils.tqdm import tqdm

from builder.errors import CheckpointError
from builder.folders import check_room
from builder.hub.listing import Listing, RemoteFile, list_files
from builder.hub.problems import FAILURES, cause, explain
from builder.hub.source import Source, parse_source
from builder.hub.weights import PICKLES, PICKLES_HINT, choose_weights

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Promised:
    """Weights that are not there yet: names of their files, and how many numbers they hold at least."""

    names: tuple[str, ...]
    parameters: int


Judge = Callable[[Path, Promised], None]
"""Looks at a folder of configs, and raises where the weights are not worth fetching."""

BESIDE = ("*.json", "*.txt", "*.model", "*.jinja", "LICENSE*", "README.md")
"""Configs, tokenizers, templates, and what says who made the model and on which terms."""
MOBILE_CLIP = re.compile(r"apple/mobileclip(?P<second>2?)[-_](?P<size>[\w-]+)", re.IGNORECASE)
TWINS = {
    "": ("apple/MobileCLIP-{}-OpenCLIP", ("S1", "S2", "B", "B-LT")),
    "2": ("timm/MobileCLIP2-{}-OpenCLIP", ("S0", "S2", "B", "S3", "S4", "L-14")),
}
"""Generation → where the same weights lie as safetensors, and in which sizes."""
STEPS = 10
WIDEST_BYTES = 4
"""Of a number in a checkpoint, where the Hub has not counted them."""


def fetch_checkpoint(
    checkpoint: str, *, revision: str | None = None, report: Report | None = None, judge: Judge | None = None
) -> Path:
    """Return a folder with the checkpoint: a local one as it is, a Hub id downloaded into the Hub's cache.

    ``checkpoint`` is a folder, or ``owner/name`` or ``owner/name@revision``; ``revision`` is a branch, tag or commit.
    Files that the cache holds are not fetched again; when the Hub cannot be reached, a complete copy there will do.
    ``judge`` gets the configs of a Hub id before any of its weights is fetched, and may refuse them.

    Raises:
        CheckpointError: no such folder or repository, no right to read it, no safetensors in it, no network, too little
            room, an interrupted download. The hint says what helps.
    """
    folder = Path(checkpoint)
    if checkpoint and folder.is_dir():
        return folder
    if checkpoint and folder.exists():
        raise CheckpointError(f"{folder} is a file, not a folder", hint=f"give its folder: {folder.parent}")
    source = parse_source(checkpoint, revision, CheckpointError)
    listing = list_files(source)
    weights = _choose(source, listing)
    files = (*listing.matching(BESIDE), *weights)
    if judge is not None:
        _check_room(source, listing, files, None)
        folder = download(source, listing, listing.matching(BESIDE), None)
        size_bytes = sum(file.size_bytes for file in weights)
        parameters = listing.parameters or size_bytes // WIDEST_BYTES
        judge(folder, Promised(names=tuple(file.path for file in weights), parameters=parameters))
    return download(source, listing, files, report)


def download(
    source: Source,
    listing: Listing,
    files: Iterable[RemoteFile],
    report: Report | None,
    *,
    into: Path | None = None,
) -> Path:
    """Bring ``files`` into the cache, or into the folder ``into``, and return where they lie.

    Raises:
        source.kind: too little room, or a problem of `explain`.
    """
    say = report or _silent
    wanted = list(files)
    missing = _check_room(source, listing, wanted, into)
    if listing.problem is not None:
        say(f"the Hub cannot be asked ({type(listing.problem).__name__}): taking {source} from the cache")
    elif missing:
        say(f"downloading {source} ({missing / 1e6:.1f} MB)")
    try:
        path = snapshot_download(
            source.repo,
            revision=source.revision if into is None else listing.commit,
            allow_patterns=[glob.escape(file.path) for file in wanted],
            local_dir=into,
            local_files_only=listing.problem is not None,
            tqdm_class=_progress(source, missing, say),
        )
    except FAILURES as error:
        raise explain(listing.problem or error, source) from cause(error)
    return Path(path)


def _check_room(source: Source, listing: Listing, files: Iterable[RemoteFile], into: Path | None) -> int:
    """How many bytes of ``files`` are still to be fetched, for which the disk has room."""
    missing = sum(f.size_bytes for f in files if not _is_here(source, listing, f, into))
    if missing and listing.problem is None:
        check_room(into or Path(constants.HF_HUB_CACHE), missing, error=source.kind)
    return missing


def _silent(line: str) -> None:
    del line


def _is_here(source: Source, listing: Listing, file: RemoteFile, into: Path | None) -> bool:
    if into is not None:
        return (into / file.path).is_file()
    return isinstance(try_to_load_from_cache(source.repo, file.path, revision=listing.commit or source.revision), str)


def _choose(source: Source, listing: Listing) -> tuple[RemoteFile, ...]:
    """The weights to fetch; where a repository holds OpenCLIP's layout beside another, that one alone."""
    chosen = set(choose_weights([file.path for file in listing.files if "/" not in file.path]))
    if not chosen:
        raise _no_safetensors(source, listing)
    return tuple(file for file in listing.files if file.path in chosen)


def _no_safetensors(source: Source, listing: Listing) -> CheckpointError:
    pickles = listing.matching(PICKLES)
    held = f", only {', '.join(file.path for file in pickles[:3])}" if pickles else ""
    message = f"{source} holds no *.safetensors{held}"
    if twin := safetensors_twin(source.repo):
        return CheckpointError(f"{message}; pickled weights can run code and are never loaded", hint=f"take {twin}")
    hint = PICKLES_HINT if pickles else "take a repository with the model's weights as safetensors"
    return CheckpointError(message, hint=hint)


def safetensors_twin(repo: str) -> str | None:
    """Name the repository that holds a MobileCLIP model's weights as safetensors, where one is known."""
    found = MOBILE_CLIP.fullmatch(repo)
    if found is None:
        return None
    pattern, sizes = TWINS[found["second"]]
    size = found["size"].upper().replace("_", "-")
    return pattern.format(size) if size in sizes else None


def _progress(source: Source, total: int, say: Report) -> type[tqdm]:
    """A progress bar for `snapshot_download` that draws nothing and says every tenth of ``total`` bytes in a line."""
    lock = threading.Lock()
    done = said = 0

    class Lines(tqdm):
        """huggingface_hub makes three of it: for files, for bytes received, and for bytes written, which counts."""

        def __init__(self, *args: object, **options: object) -> None:
            self._counts = options.get("name") == "huggingface_hub.snapshot_download"
            super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            nonlocal done, said
            if not self._counts or not total:
                return
            with lock:
                done += int(n or 0)
                step = min(done * STEPS // total, STEPS)
                if step > said:
                    said = step
                    say(f"{source}: {done / 1e6:.1f} of {total / 1e6:.1f} MB")

    return Lines
