"""A Hub on loopback: the part of the Hub's HTTP protocol that huggingface_hub speaks when it reads models.

Start with `running_hub`. Repositories are local folders, one per branch. Files that the Hub would keep in LFS are
redirected to another origin ("localhost" instead of "127.0.0.1"), as the Hub does with its CDN: a redirect within one
origin would be followed, and then lack X-Repo-Commit. `Hub.break_next` makes answers fail. What huggingface_hub asks
for was read from its source (2.4.0): model_info, list_repo_tree, list_repo_refs, hf_hub_download.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

LFS = {".safetensors", ".onnx", ".bin", ".pt", ".onnx_data"}
API = re.compile(
    r"/api/models/(?P<repo>[^/]+(/(?!tree/|revision/|refs$|xet-read-token/)[^/]+)?)(/(?P<what>tree|revision|refs|xet-read-token)(/(?P<revision>[^/]+))?)?"
)
RESOLVE = re.compile(r"/(?P<repo>[^/]+(/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
CHUNK = 16_384


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    token: str | None
    range: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(kw_only=True)
class Fault:
    """What happens to requests in whose "GET /path" ``pattern`` is found.

    They get an answer of ``status``, none for ``hang_s``, a body that ends after byte ``cut_at`` of the file, or one
    whose last byte is wrong. ``times`` None is always.
    """

    pattern: str
    times: int | None = None
    status: int | None = None
    message: str | None = None
    hang_s: float = 0
    cut_at: int | None = None
    corrupt: bool = False


@dataclass(frozen=True, kw_only=True)
class File:
    path: str
    content: Path
    size: int
    sha256: str
    blob_id: str
    xet_hash: str | None = None

    @property
    def lfs(self) -> bool:
        return Path(self.path).suffix in LFS

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
    branches: dict[str, Path]
    gated: bool = False
    private: bool = False

    def find(self, revision: str) -> tuple[str, dict[str, File]] | None:
        """Commit and files of a branch or commit."""
        for branch, folder in self.branches.items():
            files = {path: _file(folder, path) for path in _paths(folder)}
            listed = "\n".join(f"{path} {file.sha256}" for path, file in files.items())
            commit = hashlib.sha1(listed.encode()).hexdigest()
            if revision in (branch, commit):
                return commit, files
        return None


@dataclass(kw_only=True)
class Hub:
    """The state of the server, which tests read and change while it runs.

    ``readers`` maps a valid token to the gated and private repositories that it opens. ``sizes`` and ``renamed`` are
    lies about files, by path: a size, another path. ``cas`` is the folder of the Xet storage, ``xet_hashes`` its name
    for a file's SHA-256.
    """

    address: str = ""
    cdn: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    readers: dict[str, frozenset[str]] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    cas: Path | None = None
    xet_hashes: dict[str, str] = field(default_factory=dict)

    def add(self, repo: str, folder: Path, *, branch: str = "main", gated: bool = False, private: bool = False) -> None:
        """Publish a folder as a branch of a repository."""
        known = self.repositories.get(repo)
        branches = {**(known.branches if known else {}), branch: folder}
        self.repositories[repo] = Repository(branches=branches, gated=gated, private=private)

    def store_in_xet(self, folder: Path, cas: Path) -> None:
        """Put a folder's large files into Xet storage, from where they are then fetched instead of from the CDN.

        hf_xet takes a folder for the storage's address (xet-core's ``local://``), so that its real client is at work.
        """
        import hf_xet

        cas.mkdir()
        self.cas = cas
        for path in _paths(folder):
            file = _file(folder, path)
            if file.lfs:
                with hf_xet.XetSession().new_upload_commit(endpoint=f"local://{cas}") as commit:
                    handle = commit.start_upload_file(str(file.content))
                self.xet_hashes[file.sha256] = handle.result().xet_info.hash

    def break_next(self, fault: Fault) -> None:
        self.faults.append(fault)

    def fetched(self) -> list[str]:
        """Paths of the files whose contents were asked for, in order."""
        return [unquote(seen.path.rpartition("/")[2]) for seen in self.requests if _is_content(seen)]

    def fault(self, seen: Seen) -> Fault | None:
        for fault in self.faults:
            if fault.times != 0 and re.search(fault.pattern, str(seen)):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        response = await self._answer(Request(scope))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ") or None
        seen = Seen(method=request.method, path=request.url.path, token=token, range=request.headers.get("range"))
        self.requests.append(seen)
        fault = self.fault(seen)
        if fault is not None:
            await asyncio.sleep(fault.hang_s)
            if fault.status is not None:
                headers = {"x-error-message": fault.message} if fault.message else {}
                return PlainTextResponse("fault", status_code=fault.status, headers=headers)
        if token is not None and token not in self.readers:
            return _refusal(401, message="Invalid credentials in Authorization header")
        raw = request.scope["raw_path"].decode()
        if found := re.fullmatch(r"/cdn/(?P<repo>.+)/(?P<commit>[0-9a-f]{40})/(?P<path>.+)", request.url.path):
            assert token is None, "the token must not leave the Hub's own origin"
            commit_files = self.repositories[found["repo"]].find(found["commit"])
            assert commit_files is not None
            return _content(request, commit_files[1][found["path"]], fault, {})
        if found := RESOLVE.fullmatch(raw):
            return self._resolve(request, found, token, fault)
        if found := API.fullmatch(raw):
            return self._describe(found, token)
        return _refusal(404)

    def _open(self, repo: str, token: str | None) -> Repository | Response:
        repository = self.repositories.get(repo)
        if repository is None or (repository.private and not self._may_read(repo, token)):
            return _refusal(401 if token is None else 404, code="RepoNotFound", message="Repository not found")
        return repository

    def _may_read(self, repo: str, token: str | None) -> bool:
        return token is not None and repo in self.readers.get(token, ())

    def _describe(self, found: re.Match[str], token: str | None) -> Response:
        repository = self._open(found["repo"], token)
        if isinstance(repository, Response):
            return repository
        if found["what"] == "xet-read-token":
            headers = {"x-xet-cas-url": f"local://{self.cas}", "x-xet-access-token": "xet"}
            return Response(headers={**headers, "x-xet-token-expiration": str(2**40)})
        if found["what"] == "refs":
            refs = [
                {"name": branch, "ref": f"refs/heads/{branch}", "targetCommit": (repository.find(branch) or ("",))[0]}
                for branch in repository.branches
            ]
            return JSONResponse({"branches": refs, "converts": [], "tags": []})
        at = repository.find(unquote(found["revision"] or "main"))
        if at is None:
            return _refusal(404, code="RevisionNotFound", message="Invalid rev id")
        commit, files = at
        told = [
            replace(
                file,
                path=self.renamed.get(path, path),
                size=self.sizes.get(path, file.size),
                xet_hash=self.xet_hashes.get(file.sha256),
            )
            for path, file in files.items()
        ]
        if found["what"] == "tree":
            return JSONResponse([file.json() for file in told])
        siblings = [file.sibling() for file in told]
        gated = "manual" if repository.gated else False
        return JSONResponse({"id": found["repo"], "sha": commit, "gated": gated, "siblings": siblings})

    def _resolve(self, request: Request, found: re.Match[str], token: str | None, fault: Fault | None) -> Response:
        repo = found["repo"]
        repository = self._open(repo, token)
        if isinstance(repository, Response):
            return repository
        if repository.gated and not self._may_read(repo, token):
            return _refusal(401 if token is None else 403, code="GatedRepo", message=f"Access to {repo} is restricted")
        at = repository.find(unquote(found["revision"]))
        if at is None:
            return _refusal(404, code="RevisionNotFound")
        commit, files = at
        file = files.get(unquote(found["path"]))
        if file is None:
            return _refusal(404, code="EntryNotFound")
        headers = {"x-repo-commit": commit, "etag": f'"{file.blob_id}"'}
        if not file.lfs:
            return _content(request, file, fault, headers)
        headers |= {
            "x-linked-etag": f'"{file.sha256}"',
            "x-linked-size": str(file.size),
            "location": f"{self.cdn}/cdn/{repo}/{commit}/{file.path}",
        }
        return Response(status_code=302, headers=headers)


def _is_content(seen: Seen) -> bool:
    return seen.method == "GET" and ("/resolve/" in seen.path or seen.path.startswith("/cdn/"))


def _paths(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]


def _file(folder: Path, path: str) -> File:
    data = (folder / path).read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return File(path=path, content=folder / path, size=len(data), sha256=hashlib.sha256(data).hexdigest(), blob_id=blob)


def _refusal(status: int, *, code: str | None = None, message: str | None = None) -> Response:
    headers = {"x-error-code": code, "x-error-message": message}
    return Response(status_code=status, headers={key: value for key, value in headers.items() if value})


def _content(request: Request, file: File, fault: Fault | None, headers: dict[str, str]) -> Response:
    """Answer with the file, from where a Range asks for it, as far as a fault lets it through."""
    data = file.content.read_bytes()
    if fault is not None and fault.corrupt:
        data = data[:-1] + bytes([data[-1] ^ 1])
    wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    start = int(wanted[1]) if wanted else 0
    headers = {**headers, "content-length": str(len(data) - start), "accept-ranges": "bytes"}
    if wanted:
        headers["content-range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
    if request.method == "HEAD":
        return Response(headers=headers)
    end = len(data) if fault is None or fault.cut_at is None else max(start, fault.cut_at)

    async def body() -> AsyncIterator[bytes]:
        for position in range(start, end, CHUNK):
            yield data[position : min(position + CHUNK, end)]
        if end < len(data):
            raise ConnectionAbortedError("cut off by the test")

    return StreamingResponse(body(), status_code=206 if wanted else 200, headers=headers)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve an empty Hub on a free port of loopback as long as the block runs."""
    hub = Hub()
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
            await super().startup(sockets)  # type: ignore[arg-type]
            started.set()

    config = uvicorn.Config(hub, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    server = Server(config)
    with config.bind_socket() as listener:
        port = listener.getsockname()[1]
        hub.address, hub.cdn = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="hub", daemon=True)
        thread.start()
        try:
            assert started.wait(timeout=30), "the Hub on loopback did not start"
            yield hub
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join(timeout=30)
