"""What of a folder may be served, and as what: the files in a site's manifest.json, and nothing beside them.

Start with `Catalog.find`. A folder is a site (`webgpu-demo build`), a folder of sites with an index.html that links
them (`webgpu-demo demo`), or any folder of static files; of the last everything is served that is not hidden. No link
is followed, no folder is listed, and the table of types is our own: the system's differs between machines, and a
browser refuses a module or a WebAssembly file of another type.
A manifest that cannot be read closes its folder: it said what may be served, and nobody knows any more.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.errors import PreviewError
from builder.manifest import FILE_NAME, FileEntry, parse
from builder.policy import SITE_POLICY

BINARY = "application/octet-stream"
TYPES = {
    ".avif": "image/avif",
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".mp4": "video/mp4",
    ".onnx": BINARY,
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
INDEX = "index.html"
OWN_KEYS = frozenset({"page", "generator"})
"""What the manifest.json of a site has, and that of a model, of a web app or of anything else has not."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """A site's own manifest.json: its page, the policy that its pages have, and path → entry of its files."""

    folder: Path
    page: str
    generator: str
    policy: str
    files: Mapping[str, FileEntry]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies at an address: a file, or what a template has become since (``body``)."""

    name: str
    policy: str
    path: Path
    info: os.stat_result | None
    body: bytes | None = None

    @property
    def kind(self) -> str:
        return TYPES.get(Path(self.name).suffix.lower(), BINARY)


@dataclass(frozen=True, kw_only=True)
class Redirect:
    """A folder was asked for without its slash."""


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A folder whose manifest.json cannot be read, so that nobody knows what of it may be served: nothing is."""

    folder: Path
    why: str


Fresh = Callable[[], Mapping[str, "bytes | Path"]]
"""Returns name → what takes the place of a file of the site; see builder/preview/watch.py."""


class Catalog:
    """Looks up addresses below one folder."""

    def __init__(self, root: Path, *, fresh: Fresh = dict) -> None:
        self.root = root.resolve()
        self._fresh = fresh
        self._read: dict[Path, tuple[int, Site | Broken | None]] = {}
        self._listed: tuple[int, bool] | None = None

    def sites(self) -> list[Site | Broken]:
        """The site that the folder is, or those that it holds."""
        whole = self._site(self.root)
        if whole is not None:
            return [whole]
        try:
            folders = sorted(path for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))
        except OSError:  # somebody took it away
            return []
        return [site for site in map(self._site, folders) if site is not None]

    def find(self, address: str) -> Found | Redirect | Broken | None:
        """Map the path of an address to what is served there; None is not found.

        Dotfiles, ``..``, empty parts, links, and what no manifest lists do not exist.
        """
        parts = address.strip("/").split("/") if address.strip("/") else []
        if address.startswith("//") or any(not _is_plain(part) for part in parts):
            return None
        folder = address.endswith("/") or not parts
        name = "/".join([*parts, INDEX]) if folder else "/".join(parts)
        found = self._file(name)
        if found is None and not folder and self._file(f"{name}/{INDEX}") is not None:
            return Redirect()
        return found

    def _file(self, name: str) -> Found | Broken | None:
        site, inner = self._owner(name)
        if isinstance(site, Broken):
            return site
        fresh = self._fresh().get(name)
        policy = site.policy if site is not None else SITE_POLICY
        if isinstance(fresh, bytes):
            return Found(name=name, policy=policy, path=self.root / name, info=None, body=fresh)
        if fresh is None and site is not None and inner != FILE_NAME and inner not in site.files:
            return None
        if fresh is None and site is None and self._holds_sites() and name != INDEX:
            return None
        path = fresh if fresh is not None else self.root / name
        info = _plain_file(path, self.root if fresh is None else path.parent)
        return Found(name=name, policy=policy, path=path, info=info) if info is not None else None

    def _owner(self, name: str) -> tuple[Site | Broken | None, str]:
        """The site that a file belongs to, and its name in there."""
        whole = self._site(self.root)
        if whole is not None:
            return whole, name
        first, _, rest = name.partition("/")
        return (self._site(self.root / first), rest) if rest else (None, name)

    def _holds_sites(self) -> bool:
        """Whether this is a folder of sites; looked up again when something was put into it or taken out."""
        try:
            changed = self.root.stat().st_mtime_ns
        except OSError:
            return False
        if self._listed is None or self._listed[0] != changed:
            self._listed = (changed, bool(self.sites()))
        return self._listed[1]

    def _site(self, folder: Path) -> Site | Broken | None:
        """Read a site's manifest, once for as long as it does not change."""
        path = folder / FILE_NAME
        try:
            changed = path.stat().st_mtime_ns
        except (OSError, ValueError):
            if not path.is_symlink():  # one that leads nowhere is a manifest that cannot be read
                return None
            changed = 0
        if folder not in self._read or self._read[folder][0] != changed:
            site: Site | Broken | None
            try:
                site = read_site(folder)
            except PreviewError as error:
                site = Broken(folder=folder, why=f"{error.message}; {error.hint}")
            self._read[folder] = (changed, site)
        return self._read[folder][1]


def read_site(folder: Path) -> Site | None:
    """Read the manifest.json of a site; None where the folder holds none, or one of something else.

    Raises:
        PreviewError: it is a site's, or may have been one's, and cannot be read.
    """
    path = folder / FILE_NAME
    if not os.path.lexists(path):
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record and not OWN_KEYS & set(record.keys()):
            return None
        return Site(
            folder=folder,
            page=str(record["page"]),
            generator=str(record["generator"]),
            policy=str(record.get("policy", SITE_POLICY)),
            files={entry["path"]: parse(FileEntry, entry) for entry in record["files"]},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = str(error) if isinstance(error, OSError | json.JSONDecodeError) else repr(error)
        raise PreviewError(
            f"{path} cannot be read, so nothing of its folder is served: {why}",
            hint="build the site again: webgpu-demo build",
        ) from error


def check_folder(directory: Path) -> None:
    """Make sure that there is something to look at.

    Raises:
        PreviewError: no folder, or one without a page.
    """
    if not directory.is_dir():
        raise PreviewError(
            f"there is no folder {directory}", hint="build a site first: webgpu-demo build camera-caption"
        )
    if not (directory / INDEX).is_file() and not Catalog(directory).sites():
        raise PreviewError(f"{directory} holds no {INDEX}", hint="give the folder that `webgpu-demo build` made")


def _is_plain(part: str) -> bool:
    return bool(part) and not part.startswith(".") and not set(part) & set("\\\0:")


def _plain_file(path: Path, root: Path) -> os.stat_result | None:
    """Facts of a regular file to which no link leads; None of everything else."""
    try:
        if path.resolve(strict=True) != root.resolve() / path.relative_to(root):
            return None
        info = path.stat()
    except (OSError, ValueError):
        return None
    return info if stat.S_ISREG(info.st_mode) else None
