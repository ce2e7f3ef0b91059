"""Repositories that clients write to: commits of named contents, kept by their SHA-256."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests.hub.cards import problems
from tests.hub.contents import LFS, File, blob_id, sha256

LARGE = 10_000_000
GIT_ATTRIBUTES = b"*.onnx filter=lfs diff=lfs merge=lfs -text\n"
NEW_SPACE = b"---\ntitle: New\nemoji: \xf0\x9f\x90\xb3\ncolorFrom: gray\ncolorTo: gray\nsdk: %s\n---\n"


class RefusedError(Exception):
    """A commit that is not taken; the reason as the Hub would say it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(kw_only=True)
class Store:
    """All contents, as files named by their SHA-256."""

    root: Path

    def __contains__(self, name: str) -> bool:
        return (self.root / name).is_file()

    def add(self, data: bytes) -> str:
        name = sha256(data)
        (self.root / name).write_bytes(data)
        return name

    def path(self, name: str) -> Path:
        return self.root / name


@dataclass(frozen=True, kw_only=True)
class Written:
    """One commit: path → file; ``title`` is its message."""

    oid: str
    title: str
    files: dict[str, File]


@dataclass(kw_only=True)
class WrittenRepository:
    """``kind`` is "model" or "space", ``sdk`` and ``hardware`` those of a Space; ``variables`` are public there."""

    id: str
    kind: str
    store: Store
    private: bool = False
    gated: bool = False
    sdk: str | None = None
    hardware: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    commits: list[Written] = field(default_factory=list)

    def __post_init__(self) -> None:
        first = {".gitattributes": GIT_ATTRIBUTES}
        if self.kind == "space":
            first["README.md"] = NEW_SPACE % str(self.sdk).encode()
        self._append("initial commit", {path: self._small(path, data) for path, data in first.items()})

    @property
    def head(self) -> Written:
        return self.commits[-1]

    def find(self, revision: str) -> tuple[str, dict[str, File]] | None:
        """Commit and files of a branch or commit."""
        if revision == "main":
            return self.head.oid, self.head.files
        return next(((c.oid, c.files) for c in self.commits if c.oid == revision), None)

    def mode(self, path: str, size: int, sample: bytes) -> str:
        """Whether a file is sent apart: what is binary or long, as the Hub decides it for git's sake."""
        is_large = Path(path).suffix in LFS or size > LARGE or b"\0" in sample
        return "lfs" if is_large and size > 0 else "regular"

    def remote_oid(self, path: str, mode: str) -> str | None:
        file = self.head.files.get(path)
        return None if file is None else file.sha256 if mode == "lfs" else file.blob_id

    def commit(self, payload: bytes, fetch_large: Callable[[str], str | None]) -> Written:
        """Apply what a client sends as one commit, or nothing of it.

        ``fetch_large`` makes sure that a large file is in the store and gives its Xet hash.

        Raises:
            RefusedError: a stale parent, a path that is none, a file that never arrived, something unknown.
        """
        lines = [json.loads(line) for line in payload.splitlines() if line.strip()]
        if not lines or lines[0]["key"] != "header" or not lines[0]["value"].get("summary"):
            raise RefusedError(400, "The first line must be a header with a summary")
        parent = lines[0]["value"].get("parentCommit")
        if parent is not None and parent != self.head.oid:
            raise RefusedError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(self.head.files)
        for line in lines[1:]:
            self._apply(files, line["key"], line["value"], fetch_large)
        return self._append(lines[0]["value"]["summary"], files)

    def _apply(
        self, files: dict[str, File], key: str, value: dict[str, str], fetch_large: Callable[[str], str | None]
    ) -> None:
        path = value["path"]
        check_path(path)
        if key == "file":
            try:
                data = base64.b64decode(value["content"], validate=True)
            except binascii.Error as error:
                raise RefusedError(400, f"{path} is no base64") from error
            if len(data) > LARGE:
                raise RefusedError(400, f"{path} is larger than 10 MB and must be sent as LFS")
            if self.mode(path, len(data), data[:512]) == "lfs":
                raise RefusedError(400, f"{path} is a binary file and must be sent as LFS")
            if path == "README.md" and (errors := problems(data.decode("utf-8", "replace"), self.kind)[0]):
                raise RefusedError(400, f"Invalid metadata in README.md: {errors[0]}")
            files[path] = self._small(path, data)
        elif key == "lfsFile":
            xet_hash = fetch_large(value["oid"])
            if value["oid"] not in self.store:
                raise RefusedError(400, f"LFS pointer of {path} points to a file that does not exist")
            content = self.store.path(value["oid"])
            size = content.stat().st_size
            if "size" in value and int(value["size"]) != size:
                raise RefusedError(400, f"{path} has another size than its pointer says")
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{value['oid']}\nsize {size}\n".encode()
            files[path] = File(
                path=path,
                content=content,
                size=size,
                sha256=value["oid"],
                blob_id=blob_id(pointer),
                xet_hash=xet_hash,
                is_large=True,
            )
        elif key == "deletedFile":
            if files.pop(path, None) is None:
                raise RefusedError(404, f"A file with this name doesn't exist: {path}")
        elif key == "deletedFolder":
            inside = [name for name in files if name.startswith(path.rstrip("/") + "/")]
            if not inside:
                raise RefusedError(404, f"A folder with this name doesn't exist: {path}")
            for name in inside:
                del files[name]
        else:
            raise RefusedError(400, f"Unknown operation {key}")

    def _small(self, path: str, data: bytes) -> File:
        content = self.store.path(self.store.add(data))
        digest = content.name
        return File(path=path, content=content, size=len(data), sha256=digest, blob_id=blob_id(data), is_large=False)

    def _append(self, title: str, files: dict[str, File]) -> Written:
        listed = json.dumps([self.id, len(self.commits), title, sorted((p, f.sha256) for p, f in files.items())])
        self.commits.append(Written(oid=hashlib.sha1(listed.encode()).hexdigest(), title=title, files=files))
        return self.head


def check_path(path: str) -> None:
    """Refuse what git or the Hub would.

    Raises:
        RefusedError: the path leads out, is absolute, or belongs to git.
    """
    parts = PurePosixPath(path).parts
    if not path or path.startswith("/") or ".." in parts or ".git" in parts or "\\" in path or "//" in path:
        raise RefusedError(400, f"Invalid path: {path}")
