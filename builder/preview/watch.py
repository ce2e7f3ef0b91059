"""--watch: sees that a source changed, has the site made fresh, and tells every open page to load itself again.

Start with `Live`. What a site is made of is the business of whoever gives the `Source` (builder/live.py for pages of
web_template/): it names what to watch and returns what takes the place of files of the site. When it fails, the error
goes to the pages as a `Problem`, the last good files stay, and the server goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from watchfiles.main import FileChange

DEBOUNCE_MS = 120
STEP_MS = 20
LOOK_EVERY_MS = 1000
LINES_AROUND = 3
KEEP_ALIVE_S = 1.0


class Source(Protocol):
    """What one site is made of, or several."""

    @property
    def folders(self) -> Sequence[Path]:
        """Folders of sources, watched with all that is in them, and single files."""

    @property
    def sites(self) -> Sequence[Path]:
        """The folders of sites, watched themselves: `webgpu-demo build` may make them anew."""

    def fresh(self) -> Mapping[str, bytes | Path]:
        """Return name → what takes the place of that file of what is served; any exception is a `Problem`."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a site cannot be made, for the overlay; ``excerpt`` is (line number, text) around ``line``."""

    title: str
    message: str
    file: str = ""
    line: int | None = None
    excerpt: tuple[tuple[int, str], ...] = ()


def describe(error: BaseException, folders: Sequence[Path]) -> Problem:
    """Say what went wrong, and where in the sources."""
    place: tuple[Path, int] | None = None
    inner: BaseException | None = error
    while inner is not None:
        place = _place(inner, folders) or place
        inner = inner.__cause__
    title = type(error.__cause__ or error).__name__
    message = getattr(error, "message", None) or str(error)
    if place is None:
        return Problem(title=title, message=message)
    return Problem(title=title, message=message, file=str(place[0]), line=place[1], excerpt=_excerpt(*place))


def _place(error: BaseException, folders: Sequence[Path]) -> tuple[Path, int] | None:
    """The file and line that a syntax error names, or the deepest frame of a template; Jinja2 puts such frames in."""
    named = (getattr(error, "filename", None), getattr(error, "lineno", None))
    frames = [named] if isinstance(named[0], str) else []
    frames += [(frame.filename, frame.lineno) for frame in reversed(traceback.extract_tb(error.__traceback__))]
    for filename, line in frames:
        if line is not None and _is_below(Path(str(filename)), folders):
            return Path(str(filename)), line
    return None


def _is_below(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders) and path.suffix != ".py"


def _excerpt(path: Path, line: int) -> tuple[tuple[int, str], ...]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    first = max(1, line - LINES_AROUND)
    return tuple(enumerate(lines[first - 1 : line + LINES_AROUND], first))


class Live:
    """The state of a watched site, and the pages that listen."""

    def __init__(self, source: Source, *, on_line: Callable[[str], None] | None = None) -> None:
        self.version = 1
        self.problem: Problem | None = None
        self._source = source
        self._files: Mapping[str, bytes | Path] = {}
        self._listeners: set[asyncio.Queue[str]] = set()
        self._on_line = on_line
        self._closing = False
        self._seen: dict[Path, tuple[int, int]] = {}
        self._one_at_a_time = asyncio.Lock()

    def files(self) -> Mapping[str, bytes | Path]:
        """What takes the place of files of the site."""
        return self._files

    async def run(self) -> None:
        """Watch until cancelled. The system's messages wake it; a look each second catches what they leave out."""
        await self._refresh()
        while True:
            stopped = asyncio.Event()
            places = self._source.folders
            folders = [place for place in places if place.is_dir()]
            # A file is seen through its folder: editors put another in its place, and a watch would stay with the old.
            around = {place.parent for place in places if not place.is_dir()}
            around |= {folder for site in self._source.sites for folder in (site, site.parent)}
            await asyncio.gather(
                self._follow(folders, stopped, recursive=True),
                self._follow(sorted(folder for folder in around if folder.is_dir()), stopped),
            )
            while not _all_there(self._source):  # for the instant in which a new build takes its place
                await asyncio.sleep(0.05)

    async def _follow(self, folders: Sequence[Path], stopped: asyncio.Event, *, recursive: bool = False) -> None:
        """Follow until a site's folder is another: a watch stays with the folder that it was set on."""
        inodes = [_inode(site) for site in self._source.sites]
        async for _ in _changes(folders, stopped, recursive=recursive):
            await self._refresh()
            if [_inode(site) for site in self._source.sites] != inodes:
                stopped.set()

    async def _refresh(self) -> None:
        """Make the site fresh if anything that it is made of has changed."""
        async with self._one_at_a_time:
            seen = await asyncio.to_thread(_fingerprint, self._source)
            changed = sorted({path for path, _ in seen.items() ^ self._seen.items()})
            if not changed or not _all_there(self._source):
                return
            first, self._seen = not self._seen, seen
            try:
                files = await asyncio.to_thread(self._source.fresh)
            except Exception as error:  # whatever a template raises is shown in the page, and mended in the editor
                self.problem = describe(error, self._source.folders)
                where = f" ({self.problem.file}, line {self.problem.line})" if self.problem.file else ""
                self._say(f"cannot make the page: {self.problem.message}{where}")
                self._tell(_event("problem", asdict(self.problem)))
                return
            self.problem = None
            self._files = files
            if not first:
                self.version += 1
                self._say(f"changed: {', '.join(path.name for path in changed[:5])}")
                self._tell(_event("reload", {"version": self.version}))

    async def events(self) -> AsyncIterator[str]:
        """What one page hears, as server-sent events, first of all the state of now; ends when the server does."""
        heard: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.add(heard)
        try:
            yield "retry: 500\n" + _event("hello", {"version": self.version})
            if self.problem is not None:
                yield _event("problem", asdict(self.problem))
            while not self._closing:
                try:
                    yield await asyncio.wait_for(heard.get(), KEEP_ALIVE_S)
                except TimeoutError:
                    yield ": still here\n\n"  # so that a page that left is noticed
        finally:
            self._listeners.discard(heard)

    def close(self) -> None:
        """Let every page go."""
        self._closing = True
        self._tell("")

    def _tell(self, text: str) -> None:
        for listener in self._listeners:
            listener.put_nowait(text)

    def _say(self, line: str) -> None:
        if self._on_line is not None:
            self._on_line(line)


def _changes(folders: Sequence[Path], stopped: asyncio.Event, *, recursive: bool) -> AsyncIterator[set[FileChange]]:
    from watchfiles import awatch

    return awatch(
        *folders,
        watch_filter=lambda _, path: _is_wanted(Path(path)),
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        stop_event=stopped,
        rust_timeout=LOOK_EVERY_MS,
        yield_on_timeout=True,
        recursive=recursive,
        ignore_permission_denied=True,
    )


def _fingerprint(source: Source) -> dict[Path, tuple[int, int]]:
    """Path → time of change and size of all that the sites are made of, their own manifests among it."""
    found: dict[Path, tuple[int, int]] = {}
    records = (site / name for site in source.sites for name in ("manifest.json", "index.html"))
    for place in (*source.folders, *records):
        for path in place.rglob("*") if place.is_dir() else (place,):
            with contextlib.suppress(OSError):  # gone since it was listed
                info = path.stat()
                if stat.S_ISREG(info.st_mode) and _is_wanted(path):
                    found[path] = (info.st_mtime_ns, info.st_size)
    return found


def _all_there(source: Source) -> bool:
    return all(site.is_dir() for site in source.sites)


def _inode(folder: Path) -> int | None:
    with contextlib.suppress(OSError):
        return folder.stat().st_ino
    return None


def _is_wanted(path: Path) -> bool:
    """Editors leave swap files and backups beside what they save."""
    return not path.name.startswith((".", "#")) and not path.name.endswith(("~", ".swp", ".tmp", ".part"))


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
