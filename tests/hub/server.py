"""A Hub on loopback: the Hub's HTTP protocol as huggingface_hub speaks it.

Start with `running_hub`. Reading is here, writing in writing.py; contents.py has repositories that are local folders,
one per branch, written.py those that clients make, hosts.py the addresses of static Spaces. Files that the Hub would
keep in LFS are redirected to another origin ("localhost" instead of "127.0.0.1"), as the Hub does with its CDN: a
redirect within one origin would be followed, and then lack X-Repo-Commit. `Hub.break_next` makes answers fail. What
huggingface_hub asks for was read from its source (2.4.0): repo_info, list_repo_tree, list_repo_refs, hf_hub_download.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qs, unquote

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tests.hub import hosts, writing
from tests.hub.accounts import Account
from tests.hub.contents import File, Repository, file_of, paths_of, refusal, send_content
from tests.hub.faults import Fault, Seen, Weather
from tests.hub.written import Store, WrittenRepository

__all__ = ["Account", "Fault", "File", "Hub", "Repository", "Seen", "running_hub"]

API = re.compile(
    r"/api/(?P<kind>models|spaces)/(?P<repo>[^/]+(/(?!tree/|revision/|refs$|xet-read-token/|paths-info/)[^/]+)?)"
    r"(/(?P<what>tree|revision|refs|xet-read-token|paths-info)(/(?P<revision>[^/]+))?)?"
)
RESOLVE = re.compile(r"/(?P<space>spaces/)?(?P<repo>[^/]+(/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
CDN = re.compile(r"/cdn/(?P<space>spaces/)?(?P<repo>.+)/(?P<commit>[0-9a-f]{40})/(?P<path>.+)")
PAGE_FILES = 50
"""How many files of a tree come in one answer: fewer than a site has."""
HOSTS = 4
"""How many Spaces can have an address of their own."""


@dataclass(kw_only=True)
class Hub:
    """The state of the server, which tests read and change while it runs.

    ``readers`` maps a valid token to the gated and private repositories that it opens. ``sizes`` and ``renamed`` are
    lies about files, by path: a size, another path; ``counted`` is how many numbers it says that safetensors hold.
    ``cas`` is the folder of the Xet storage, ``xet_hashes`` its name for a file's SHA-256. ``accounts`` maps a valid
    token to who may write with it, ``written`` kind and id to what was written, ``store`` keeps its contents;
    ``part_bytes`` is the length from which uploads come in parts. ``ports`` are free addresses for Spaces, ``pages``
    what was asked of them. ``first_stages`` are those that a Space goes through after its first commit, and
    ``before_commit`` is called once, just before the next commit is looked at. ``weather`` makes requests fail at
    random. ``bare`` are repositories that have no first commit of the Hub's.
    """

    store: Store

    address: str = ""
    cdn: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    readers: dict[str, frozenset[str]] = field(default_factory=dict)
    requests: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    counted: int | None = None
    cas: Path | None = None
    xet_hashes: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    written: dict[tuple[str, str], WrittenRepository] = field(default_factory=dict)
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    part_bytes: int | None = None
    ports: list[int] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    first_stages: list[str] | None = None
    before_commit: Callable[[], None] | None = None
    weather: Weather | None = None
    bare: set[str] = field(default_factory=set)
    spaces: dict[int, str] = field(default_factory=dict)

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
        for path in paths_of(folder):
            file = file_of(folder, path)
            if file.lfs:
                with hf_xet.XetSession().new_upload_commit(endpoint=f"local://{cas}") as commit:
                    handle = commit.start_upload_file(str(file.content))
                self.xet_hashes[file.sha256] = handle.result().xet_info.hash

    def create(self, kind: str, repo: str, *, sdk: str | None = None) -> None:
        """Make a repository as somebody else."""
        made = WrittenRepository(id=repo, kind=kind, store=self.store, sdk=sdk)
        self.written[kind, repo] = made
        if kind == "space":
            self.assign_host(made)

    def write(self, kind: str, repo: str, files: dict[str, bytes]) -> None:
        """Commit small files as somebody else."""
        lines: list[dict[str, object]] = [{"key": "header", "value": {"summary": "by hand"}}]
        for path, data in files.items():
            content = base64.b64encode(data).decode()
            lines.append({"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}})
        payload = "\n".join(json.dumps(line) for line in lines).encode()
        self.written[kind, repo].commit(payload, lambda oid: None)

    def break_next(self, fault: Fault) -> None:
        self.faults.append(fault)

    def fetched(self) -> list[str]:
        """Paths of the files whose contents were asked for, in order."""
        return [unquote(seen.path.rpartition("/")[2]) for seen in self.requests if _is_content(seen)]

    def fault(self, seen: Seen) -> Fault | None:
        for fault in self.faults:
            if fault.times != 0 and re.search(fault.pattern, str(seen)):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return self.weather.next() if self.weather is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        space = self.spaces.get(scope["server"][1])
        if space is not None and ("space", space) in self.written:
            response = self._open_page(self.written["space", space], Request(scope, receive))
        else:
            response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    def assign_host(self, repository: WrittenRepository) -> None:
        """Give a Space the next free address; one that was made before under the same name gets its own again."""
        if repository.id not in self.spaces.values():
            self.spaces[self.ports.pop(0)] = repository.id

    def host(self, space: str) -> str:
        """The address of a Space."""
        return next(f"http://127.0.0.1:{port}" for port, name in self.spaces.items() if name == space)

    def xet_token(self) -> Response:
        """Where the Xet storage is, in headers for Python and as JSON for hf_xet itself."""
        if self.cas is None:
            return refusal(404, message="Xet is not enabled")
        url, until = f"local://{self.cas}", 2**40
        headers = {"x-xet-cas-url": url, "x-xet-access-token": "xet", "x-xet-token-expiration": str(until)}
        return JSONResponse({"accessToken": "xet", "exp": until, "casUrl": url}, headers=headers)

    async def _answer(self, request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ") or None
        seen = Seen(method=request.method, path=request.url.path, token=token, range=request.headers.get("range"))
        self.requests.append(seen)
        fault = self.fault(seen)
        if fault is not None:
            await asyncio.sleep(fault.hang_s)
            failed = fault.answer()
            if failed is not None and not fault.late:
                return failed
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_readable_by_pages(request))
        if token is not None and token not in self.readers and token not in self.accounts:
            return refusal(401, message="Invalid credentials in Authorization header")
        answer = await writing.answer(self, request, self.accounts.get(token or ""))
        if answer is None:
            answer = await self._read(request, token, fault)
        return failed if fault is not None and failed is not None else answer

    async def _read(self, request: Request, token: str | None, fault: Fault | None) -> Response:
        raw = request.scope["raw_path"].decode()
        if found := CDN.fullmatch(request.url.path):
            assert token is None, "the token must not leave the Hub's own origin"
            repository = self._find(found["repo"], "space" if found["space"] else "model")
            assert repository is not None
            at = repository.find(found["commit"])
            assert at is not None
            return send_content(request, at[1][found["path"]], fault, {"access-control-allow-origin": "*"})
        if found := RESOLVE.fullmatch(raw):
            return self._resolve(request, found, token, fault)
        if found := API.fullmatch(raw):
            body = (await request.body()).decode()
            asked = set(parse_qs(body)["paths"]) if found["what"] == "paths-info" else None
            return self._describe(found, token, asked, int(request.query_params.get("cursor", 0)))
        return refusal(404)

    def _open_page(self, space: WrittenRepository, request: Request) -> Response:
        """The address of a Space; a private one opens to who may read it, and is no Space to anybody else."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ") or None
        self.pages.append(f"{request.method} {request.url}")
        if space.private and not self._may_read(space.id, token):
            return refusal(404)
        return hosts.serve(space, request)

    def _find(self, repo: str, kind: str) -> Repository | WrittenRepository | None:
        return self.written.get((kind, repo)) or (self.repositories.get(repo) if kind == "model" else None)

    def _open(self, repo: str, kind: str, token: str | None) -> Repository | WrittenRepository | Response:
        repository = self._find(repo, kind)
        if repository is None or (repository.private and not self._may_read(repo, token)):
            return refusal(401 if token is None else 404, code="RepoNotFound", message="Repository not found")
        return repository

    def _may_read(self, repo: str, token: str | None) -> bool:
        account = self.accounts.get(token or "")
        own = account is not None and repo.partition("/")[0] in (account.name, *account.orgs)
        return own or (token is not None and repo in self.readers.get(token, ()))

    def _describe(self, found: re.Match[str], token: str | None, asked: set[str] | None, cursor: int) -> Response:
        repository = self._open(found["repo"], found["kind"].removesuffix("s"), token)
        if isinstance(repository, Response):
            return repository
        if found["what"] == "xet-read-token":
            return self.xet_token()
        if found["what"] == "refs" and isinstance(repository, Repository):
            refs = [
                {"name": branch, "ref": f"refs/heads/{branch}", "targetCommit": (repository.find(branch) or ("",))[0]}
                for branch in repository.branches
            ]
            return JSONResponse({"branches": refs, "converts": [], "tags": []})
        at = repository.find(unquote(found["revision"] or "main"))
        if at is None:
            return refusal(404, code="RevisionNotFound", message="Invalid rev id")
        commit, files = at
        told = [
            replace(
                file,
                path=self.renamed.get(path, path),
                size=self.sizes.get(path, file.size),
                xet_hash=file.xet_hash or self.xet_hashes.get(file.sha256),
            )
            for path, file in files.items()
            if asked is None or path in asked
        ]
        if found["what"] == "tree":
            last = cursor + PAGE_FILES
            more = f'<{self.address}{found[0]}?recursive=true&expand=false&cursor={last}>; rel="next"'
            headers = {"link": more} if last < len(told) else {}
            return JSONResponse([file.json() for file in told[cursor:last]], headers=headers)
        if found["what"] == "paths-info":
            return JSONResponse([file.json() for file in told])
        siblings = [file.sibling() for file in told]
        gated = "manual" if repository.gated else False
        about = {"id": found["repo"], "sha": commit, "gated": gated, "siblings": siblings}
        if self.counted is not None:
            about["safetensors"] = {"parameters": {"BF16": self.counted}, "total": self.counted}
        if isinstance(repository, WrittenRepository):
            if repository.id in self.bare and len(repository.commits) == 1:
                about["sha"] = None
            about["private"] = repository.private
            if repository.kind == "space":
                about |= {"sdk": repository.sdk, "host": self.host(repository.id)}
        return JSONResponse(about)

    def _resolve(self, request: Request, found: re.Match[str], token: str | None, fault: Fault | None) -> Response:
        repo, prefix = found["repo"], found["space"] or ""
        repository = self._open(repo, "space" if prefix else "model", token)
        if isinstance(repository, Response):
            return repository
        if repository.gated and not self._may_read(repo, token):
            return refusal(401 if token is None else 403, code="GatedRepo", message=f"Access to {repo} is restricted")
        at = repository.find(unquote(found["revision"]))
        if at is None:
            return refusal(404, code="RevisionNotFound")
        commit, files = at
        file = files.get(unquote(found["path"]))
        if file is None:
            return refusal(404, code="EntryNotFound")
        headers = {"x-repo-commit": commit, "etag": f'"{file.blob_id}"', **_readable_by_pages(request)}
        if not file.lfs:
            return send_content(request, file, fault, headers)
        headers |= {
            "x-linked-etag": f'"{file.sha256}"',
            "x-linked-size": str(file.size),
            "location": f"{self.cdn}/cdn/{prefix}{repo}/{commit}/{file.path}",
        }
        if file.xet_hash and self.cas is not None:
            api = f"{self.address}/api/{'spaces' if prefix else 'models'}/{repo}/xet-read-token/{commit}"
            headers |= {"x-xet-hash": file.xet_hash, "x-xet-refresh-route": api}
        return Response(status_code=302, headers=headers)


def _readable_by_pages(request: Request) -> dict[str, str]:
    """The Hub lets pages of any origin read."""
    origin = request.headers.get("origin")
    if origin is None:
        return {}
    exposed = "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,ETag,Link,Accept-Ranges,Content-Range"
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-headers": "range, if-none-match",
        "access-control-expose-headers": exposed,
        "vary": "Origin",
    }


def _is_content(seen: Seen) -> bool:
    return seen.method == "GET" and ("/resolve/" in seen.path or seen.path.startswith("/cdn/"))


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve an empty Hub on a free port of loopback, and its Spaces on others, as long as the block runs."""
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
            await super().startup(sockets)  # type: ignore[arg-type]
            started.set()

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hub-", ignore_cleanup_errors=True))
        hub = Hub(store=Store(root=Path(folder)))
        config = uvicorn.Config(hub, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
        server = Server(config)
        listeners = [stack.enter_context(config.bind_socket()) for _ in range(1 + HOSTS)]
        port, *hub.ports = (listener.getsockname()[1] for listener in listeners)
        hub.address, hub.cdn = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": listeners}, name="hub", daemon=True)
        thread.start()
        try:
            assert started.wait(timeout=30), "the Hub on loopback did not start"
            yield hub
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join(timeout=30)
