"""Fetch some files of a web model that is on the Hub, to run them: chosen from its manifest.json, by their checksums.

`fetch_web_model` brings a whole model to be judged, with stand-ins for its weights; this brings a part that works.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from builder.errors import ModelError
from builder.folders import new_folder
from builder.hub.fetch import Report, download
from builder.hub.listing import Listing, list_files
from builder.hub.problems import cause, explain
from builder.hub.source import Source, parse_source
from builder.hub.web_model import HUB_NOTES
from builder.manifest import FILE_NAME, FileEntry, Manifest, file_sha256, read_manifest
from builder.paths import cache_folder

Choice = Callable[[Manifest], Iterable[FileEntry]]


def fetch_model_files(
    repo: str, part: str, choose: Choice, *, revision: str | None = None, report: Report | None = None
) -> Path:
    """Return a folder with a repository's manifest.json and the files that ``choose`` takes from it, in their places.

    The folder is below the user's cache folder by repository, commit and ``part``, a name for what is chosen: what is
    there already is not fetched again.

    Raises:
        ModelError: the repository cannot be read or fetched, it has no manifest.json, a file that is listed there is
            missing or is another one, or there is too little room.
    """
    source = parse_source(repo, revision, ModelError)
    listing = list_files(source)
    if listing.problem is not None:
        raise explain(listing.problem, source) from cause(listing.problem)
    target = cache_folder() / "hub" / source.repo.replace("/", "--") / f"{listing.commit}-{part}"
    if target.is_dir():
        return target
    with new_folder(target, error=ModelError, keep=FILE_NAME) as work:
        _download(source, listing, [FILE_NAME], report, work)
        chosen = list(choose(read_manifest(work)))
        _download(source, listing, [entry.path for entry in chosen], report, work)
        for entry in chosen:
            if file_sha256(work / entry.path) != entry.sha256:
                (work / entry.path).unlink()
                raise ModelError(
                    f"{source} holds another {entry.path} than its manifest.json says",
                    hint="whoever published it has to verify the model and publish it again",
                )
        shutil.rmtree(work / HUB_NOTES, ignore_errors=True)
    return target


def _download(source: Source, listing: Listing, paths: list[str], report: Report | None, into: Path) -> None:
    there = {file.path: file for file in listing.files}
    for path in paths:
        if path not in there:
            raise ModelError(f"{source} has no {path}", hint="it takes a web model that webgpu-demo has published")
    download(source, listing, [there[path] for path in paths], report, into=into)
