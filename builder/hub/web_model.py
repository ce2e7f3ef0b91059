"""Fetch a web model to judge it: everything that says how it is loaded, and of the weights only how large they are.

Graphs (`*.onnx`), configs and the card arrive as they are. What lies beside a graph and is none of these is external
data, often gigabytes: for it stands a sparse file of zeros of the same size, because a judge asks whether a file is
there and how long it is, never for a weight. Such a folder cannot be run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from builder.errors import ModelError
from builder.folders import new_folder
from builder.hub.fetch import BESIDE, Report, download
from builder.hub.listing import Listing, RemoteFile, list_files
from builder.hub.problems import cause, explain
from builder.hub.source import parse_source
from builder.paths import cache_folder

GRAPHS = ("*.onnx",)
HUB_NOTES = ".cache"
"""Where huggingface_hub notes what it has downloaded into a folder."""


def fetch_web_model(repo: str, *, revision: str | None = None, report: Report | None = None) -> Path:
    """Return a folder without links that holds a repository's web model, with stand-ins for its external data.

    It lies below the user's cache folder by repository and commit: what is there already is not fetched again.

    Raises:
        ModelError: the repository cannot be read or fetched, or there is too little room.
    """
    source = parse_source(repo, revision, ModelError)
    listing = list_files(source)
    root = cache_folder() / "hub" / source.repo.replace("/", "--")
    if listing.problem is not None:
        raise explain(listing.problem, source) from cause(listing.problem)
    target = root / str(listing.commit)
    if target.is_dir():
        return target
    files = listing.matching((*GRAPHS, *BESIDE), deep=True)
    stand_ins = _external_data(listing)
    with new_folder(target, error=ModelError, keep="config.json") as work:
        download(source, listing, files, report, into=work)
        shutil.rmtree(work / HUB_NOTES, ignore_errors=True)
        _write_stand_ins(work, stand_ins)
    if report is not None and stand_ins:
        total = sum(file.size_bytes for file in stand_ins)
        report(f"{len(stand_ins)} files of external data ({total / 1e6:.1f} MB) were not fetched, only their sizes")
    return target


def _external_data(listing: Listing) -> list[RemoteFile]:
    """Files that lie in a folder with a graph and are not fetched."""
    folders = {PurePosixPath(file.path).parent for file in listing.matching(GRAPHS, deep=True)}
    fetched = set(listing.matching((*GRAPHS, *BESIDE), deep=True))
    return [f for f in listing.files if f not in fetched and PurePosixPath(f.path).parent in folders]


def _write_stand_ins(folder: Path, files: Iterable[RemoteFile]) -> None:
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as empty:
            empty.truncate(file.size_bytes)
