"""Files of the Hub on loopback, the folders that they lie in, and how their contents are sent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.hub.faults import Fault

LFS = {".safetensors", ".onnx", ".bin", ".pt", ".onnx_data"}
CHUNK = 16_384


@dataclass(frozen=True, kw_only=True)
class File:
    path: str
    content: Path
    size: int
    sha256: str
    blob_id: str
    xet_hash: str | None = None
    is_large: bool | None = None

    @property
    def lfs(self) -> bool:
        return Path(self.path).suffix in LFS if self.is_large is None else self.is_large

    def json(self) -> dict[str, object]:
        """The file as the tree endpoint lists it."""
        large = {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": 130}} if self.lfs else {}
        xet = {"xetHash": self.xet_hash} if self.xet_hash else {}
        return {"type": "file", "path": self.path, "size": self.size, "oid": self.blob_id, **large, **xet}

    def sibling(self) -> dict[str, object]:
        """The file as the model's own endpoint lists it."""
        large = {"lfs": {"sha256": self.sha256, "size": self.size, "pointerSize": 130}} if self.lfs else {}
        return {"rfilename": self.path, "size": self.size, "blobId": self.blob_id, **large}


@dataclass(kw_only=True)
class Repository:
    """A repository that only tests write to: one local folder for each branch."""

    branches: dict[str, Path]
    gated: bool = False
    private: bool = False

    def find(self, revision: str) -> tuple[str, dict[str, File]] | None:
        """Commit and files of a branch or commit."""
        for branch, folder in self.branches.items():
            files = {path: file_of(folder, path) for path in paths_of(folder)}
            listed = "\n".join(f"{path} {file.sha256}" for path, file in files.items())
            commit = hashlib.sha1(listed.encode()).hexdigest()
            if revision in (branch, commit):
                return commit, files
        return None


def paths_of(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]


def file_of(folder: Path, path: str) -> File:
    data = (folder / path).read_bytes()
    return File(path=path, content=folder / path, size=len(data), sha256=sha256(data), blob_id=blob_id(data))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def refusal(status: int, *, code: str | None = None, message: str | None = None) -> Response:
    headers = {"x-error-code": code, "x-error-message": message}
    return Response(status_code=status, headers={key: value for key, value in headers.items() if value})


def send_content(request: Request, file: File, fault: Fault | None, headers: dict[str, str]) -> Response:
    """Answer with the file, from where a Range asks for it, as far as a fault lets it through."""
    data = file.content.read_bytes()
    if fault is not None and fault.corrupt:
        data = data[:-1] + bytes([data[-1] ^ 1])
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    start = int(wanted[1]) if wanted else 0
    stop = min(int(wanted[2]) + 1, len(data)) if wanted and wanted[2] else len(data)
    headers = {**headers, "content-length": str(stop - start), "accept-ranges": "bytes"}
    if wanted:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    if request.method == "HEAD":
        return Response(headers=headers)
    end = stop if fault is None or fault.cut_at is None else min(stop, max(start, fault.cut_at))

    async def body() -> AsyncIterator[bytes]:
        for position in range(start, end, CHUNK):
            yield data[position : min(position + CHUNK, end)]
        if end < stop:
            raise ConnectionAbortedError("cut off by the test")

    return StreamingResponse(body(), status_code=206 if wanted else 200, headers=headers)
