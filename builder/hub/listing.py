"""What a repository holds: paths and sizes, from the Hub, or from the cache's own listing when it is out of reach."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath

from huggingface_hub import HfApi, constants, get_cached_repo_tree
from huggingface_hub.errors import CachedRepoTreeNotFoundError

from builder.hub.problems import FAILURES, cause, explain, is_unreachable
from builder.hub.source import Source


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file of a repository; ``path`` has forward slashes and leads nowhere outside."""

    path: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All files of one commit. ``problem`` is why the Hub could not be asked: then the cache has to do.

    ``parameters`` is how many numbers the Hub counted in the safetensors; None where it did not.
    """

    commit: str | None
    files: tuple[RemoteFile, ...]
    problem: Exception | None
    parameters: int | None = None

    def matching(self, patterns: tuple[str, ...], *, deep: bool = False) -> tuple[RemoteFile, ...]:
        """Files whose name matches a pattern; those in subfolders only with ``deep``."""
        return tuple(
            file
            for file in self.files
            if (deep or "/" not in file.path)
            and any(fnmatch(PurePosixPath(file.path).name, pattern) for pattern in patterns)
        )


def list_files(source: Source) -> Listing:
    """Ask the Hub once for all files with their sizes.

    Raises:
        source.kind: the repository cannot be read, and no earlier listing of it is in the cache.
    """
    try:
        info = HfApi().model_info(
            source.repo,
            revision=source.revision,
            files_metadata=True,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,  # without one this call waits for ever
        )
    except FAILURES as error:
        if not is_unreachable(error):
            raise explain(error, source) from cause(error)
        try:
            tree = get_cached_repo_tree(source.repo, revision=source.revision)
        except CachedRepoTreeNotFoundError:
            raise explain(error, source) from cause(error)
        return Listing(commit=None, files=_safe(source, {f.path: f.size for f in tree}), problem=error)
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
    counted = info.safetensors.total if info.safetensors is not None else None
    return Listing(commit=info.sha, files=_safe(source, sizes), problem=None, parameters=counted)


def _safe(source: Source, sizes: dict[str, int]) -> tuple[RemoteFile, ...]:
    """Refuse a listing whose paths lead out of the folder that they are written to."""
    for path in sizes:
        parts = path.replace("\\", "/").split("/")
        if ".." in parts or "" in parts or ":" in parts[0]:
            raise source.kind(f"{source} lists a file {path!r} that would lie outside of it", hint=f"see {source.page}")
    return tuple(RemoteFile(path=path, size_bytes=size) for path, size in sorted(sizes.items()))
