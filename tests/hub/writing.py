"""The part of the Hub's protocol that changes things: repositories, commits, large files, variables, stages.

What huggingface_hub asks for was read from its source (2.4.0): whoami, create_repo, create_commit, delete_repo,
add_space_variable, get_space_runtime. LFS is git-lfs' batch API with "basic" and "multipart" transfers.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.hub import cards, xet
from tests.hub.accounts import Account
from tests.hub.contents import refusal, sha256
from tests.hub.written import RefusedError, WrittenRepository

if TYPE_CHECKING:
    from tests.hub.server import Hub

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
WRITE = re.compile(
    r"/api/(?P<kind>models|spaces)/(?P<repo>[^/]+/[^/]+)/(?P<what>preupload|commit|xet-write-token|variables|runtime)"
    r"(/(?P<revision>[^/]+))?"
)
BATCH = re.compile(r"/(?P<space>spaces/)?(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
LFS = re.compile(r"/lfs/(?P<oid>[0-9a-f]{64})(/(?P<part>\d+|complete|verify))?")
ZERO = "zero-a10g"


async def answer(hub: Hub, request: Request, account: Account | None) -> Response | None:
    """The answer to a request that is one of these; None to others."""
    path, method = request.url.path, request.method
    if path == "/api/agent-harnesses":
        return refusal(404)
    if found := LFS.fullmatch(path):
        return await _large(hub, request, found["oid"], found["part"])
    if path == "/api/validate-yaml":
        asked = await request.json()
        errors, warnings = cards.problems(asked["content"], asked["repoType"])
        body = {"errors": [{"message": e} for e in errors], "warnings": [{"message": w} for w in warnings]}
        return JSONResponse(body, status_code=400 if errors else 200)
    if path == "/api/whoami-v2":
        if account is None:
            return refusal(401, message="Invalid credentials in Authorization header")
        return JSONResponse(account.json())
    if path in ("/api/repos/create", "/api/repos/delete"):
        if account is None:
            return refusal(401, message="Invalid username or password.")
        asked = await request.json()
        change = _create if path.endswith("create") else _delete
        return change(hub, account, asked)
    if found := BATCH.fullmatch(path):
        repository = _writable(hub, account, "space" if found["space"] else "model", found["repo"])
        return repository if isinstance(repository, Response) else await _batch(hub, request)
    if found := WRITE.fullmatch(request.scope["raw_path"].decode()):
        kind = found["kind"].removesuffix("s")
        if method == "GET" and found["what"] in ("runtime", "variables"):
            written = hub.written.get((kind, found["repo"]))
            if written is None:
                return refusal(404, code="RepoNotFound", message="Repository not found")
            return _runtime(written) if found["what"] == "runtime" else _variables(written)
        repository = _writable(hub, account, kind, found["repo"])
        return repository if isinstance(repository, Response) else await _write(hub, request, repository, found)
    return None


def _writable(hub: Hub, account: Account | None, kind: str, repo: str) -> WrittenRepository | Response:
    if account is None:
        return refusal(401, message="Invalid username or password.")
    repository = hub.written.get((kind, repo))
    if repository is None:
        return refusal(404, code="RepoNotFound", message="Repository not found")
    if not account.may_write(repo.partition("/")[0]):
        return _forbidden(repo.partition("/")[0])
    return repository


def _forbidden(owner: str) -> Response:
    return refusal(403, message=f"You don't have the rights to write to the namespace {owner}")


def _create(hub: Hub, account: Account, asked: dict[str, object]) -> Response:
    owner, name = str(asked.get("organization") or account.name), str(asked["name"])
    kind, repo = str(asked.get("type") or "model"), f"{owner}/{name}"
    if not NAME.fullmatch(name) or "--" in name or ".." in name:
        return refusal(400, message=f"Invalid repo name: {name}")
    if not account.may_write(owner):
        return _forbidden(owner)
    url = f"{hub.address}/{'spaces/' if kind == 'space' else ''}{repo}"
    if (kind, repo) in hub.written:
        return JSONResponse({"error": f"You already created this {kind} repo", "url": url}, status_code=409)
    sdk, hardware = asked.get("sdk"), asked.get("hardware")
    if kind == "space" and sdk not in ("static", "gradio", "docker"):
        return refusal(400, message='"sdk" is required')
    if kind == "space" and sdk != "static":
        taken = sum(1 for other in hub.written.values() if other.hardware == ZERO)
        if hardware == ZERO and taken >= account.zero_spaces:
            return refusal(403, message="You have reached your limit of ZeroGPU Spaces")
        if hardware != ZERO and not account.paid:
            message = (
                "Static Spaces are free for everyone, but hosting Gradio and Docker Spaces on free cpu-basic "
                "requires a PRO subscription"
            )
            return refusal(402, message=message)
    repository = WrittenRepository(
        id=repo,
        kind=kind,
        store=hub.store,
        private=asked.get("visibility") == "private",
        sdk=str(sdk) if sdk else None,
        hardware=str(hardware) if hardware else None,
    )
    for variable in asked.get("variables") or ():  # type: ignore[attr-defined]
        repository.variables[variable["key"]] = variable["value"]
    hub.written[kind, repo] = repository
    if kind == "space":
        hub.assign_host(repository)
    return JSONResponse({"url": url, "name": repo, "id": "1"})


def _delete(hub: Hub, account: Account, asked: dict[str, object]) -> Response:
    owner = str(asked.get("organization") or account.name)
    key = (str(asked.get("type") or "model"), f"{owner}/{asked['name']}")
    if key not in hub.written:
        return refusal(404, code="RepoNotFound", message="Repository not found")
    if not account.may_write(owner):
        return _forbidden(owner)
    del hub.written[key]
    return Response("OK")


async def _write(hub: Hub, request: Request, repository: WrittenRepository, found: re.Match[str]) -> Response:
    what = found["what"]
    if what == "xet-write-token":
        return hub.xet_token()
    if what == "variables":
        asked = await request.json()
        if request.method == "DELETE":
            repository.variables.pop(asked["key"], None)
        else:
            repository.variables[asked["key"]] = asked["value"]
        return _variables(repository)
    if unquote(found["revision"] or "") != "main":
        return refusal(404, code="RevisionNotFound", message="Invalid rev id")
    try:
        if what == "preupload":
            return JSONResponse({"files": [_mode(repository, file) for file in (await request.json())["files"]]})
        payload = await request.body()
        if hub.before_commit is not None:
            act, hub.before_commit = hub.before_commit, None
            act()
        done = repository.commit(payload, lambda oid: _fetch_large(hub, oid))
    except RefusedError as refused:
        code = "EntryNotFound" if refused.status == 404 else None
        return refusal(refused.status, code=code, message=str(refused))
    url = f"{hub.address}/{'spaces/' if repository.kind == 'space' else ''}{repository.id}/commit/{done.oid}"
    if repository.kind == "space" and not repository.stages:
        repository.stages = list(hub.first_stages or ["BUILDING", "RUNNING"])
    return JSONResponse({"success": True, "commitOid": done.oid, "commitUrl": url, "hookOutput": ""})


def _mode(repository: WrittenRepository, asked: dict[str, str | int]) -> dict[str, object]:
    import base64

    from tests.hub.written import check_path

    path, size = str(asked["path"]), int(asked["size"])
    check_path(path)
    mode = repository.mode(path, size, base64.b64decode(str(asked["sample"])))
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": repository.remote_oid(path, mode)}


def _fetch_large(hub: Hub, oid: str) -> str | None:
    """Bring a file from Xet storage into the store, if it is there; gives its Xet hash."""
    if hub.cas is None:
        return None
    known = xet.known_files(hub.cas).get(oid)
    if known is None:
        return None
    if oid not in hub.store:
        part = hub.store.path(f".{oid}.part")
        xet.fetch(hub.cas, *known, part)
        assert sha256(part.read_bytes()) == oid, "the Xet storage gave other bytes than were asked for"
        part.rename(hub.store.path(oid))
    return known[0]


async def _batch(hub: Hub, request: Request) -> Response:
    asked = await request.json()
    if asked["operation"] != "upload" or asked.get("hash_algo") != "sha256":
        return refusal(422, message="only uploads by sha256")
    objects = []
    for wanted in asked["objects"]:
        oid, size = wanted["oid"], wanted["size"]
        entry: dict[str, object] = {"oid": oid, "size": size}
        if oid not in hub.store:
            upload: dict[str, object] = {"href": f"{hub.cdn}/lfs/{oid}"}
            if hub.part_bytes and size > hub.part_bytes:
                parts = range(1, -(-size // hub.part_bytes) + 1)
                urls = {str(number): f"{hub.cdn}/lfs/{oid}/{number}" for number in parts}
                upload = {
                    "href": f"{hub.address}/lfs/{oid}/complete",
                    "header": {"chunk_size": str(hub.part_bytes), **urls},
                }
            entry["actions"] = {"upload": upload, "verify": {"href": f"{hub.address}/lfs/{oid}/verify"}}
        objects.append(entry)
    return JSONResponse({"transfer": "basic", "objects": objects})


async def _large(hub: Hub, request: Request, oid: str, part: str | None) -> Response:
    """What storage answers: the bytes themselves, one part of them, "that was all", or "have they arrived?"."""
    if part == "verify":
        return Response(status_code=200 if oid in hub.store else 404)
    if part == "complete":
        order = [entry["partNumber"] for entry in (await request.json())["parts"]]
        data = b"".join(hub.parts.get((oid, number), b"") for number in order)
    else:
        assert "authorization" not in request.headers, "the token must not leave the Hub's own origin"
        data = await request.body()
        if part is not None:
            hub.parts[oid, int(part)] = data
            return Response(headers={"etag": f'"{sha256(data)}"'})
    if sha256(data) != oid:
        return refusal(400, message="the bytes are not what they were announced as")
    hub.store.add(data)
    return Response(json.dumps({}))


def _runtime(repository: WrittenRepository) -> Response:
    """The stage, which moves on each time that it is asked for; the last one stays."""
    files = repository.head.files
    if repository.sdk == "static" and "index.html" not in files:
        stage = "NO_APP_FILE"
    elif len(repository.stages) > 1:
        stage = repository.stages.pop(0)
    else:
        stage = repository.stages[0] if repository.stages else "RUNNING"
    hardware = {"current": repository.hardware, "requested": repository.hardware}
    more = {"errorMessage": "the build failed"} if stage == "BUILD_ERROR" else {}
    return JSONResponse({"stage": stage, "hardware": hardware, "storage": None, "replicas": {"requested": 1}, **more})


def _variables(repository: WrittenRepository) -> Response:
    at = "2026-01-01T00:00:00.000Z"
    return JSONResponse({name: {"value": value, "updatedAt": at} for name, value in repository.variables.items()})
