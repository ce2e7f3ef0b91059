"""The landing page, its checks, the frame of the view as a Space, and the count of what left this machine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
import yaml
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Message

from builder.preview import Modes
from builder.preview.access import Access, Recorder, Visit
from builder.preview.server import application
from builder.preview.space import other_origin
from tests.conftest import MakeModel
from tests.preview.conftest import MakeSite, Serve, write_site


def checks(client: httpx.Client) -> dict[str, str]:
    """Name → why not, of the first page's failed checks."""
    page = client.get("/_preview/state.json").json()["pages"][0]
    return {check["name"]: check["why"] for check in page["checks"] if not check["ok"]}


def test_a_site_as_it_was_built_passes_all_checks(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site(), tools=True)
    assert checks(client) == {}
    html = client.get("/_preview/").text
    assert "A &amp; B" in html
    assert 'data-ok="false"' not in html
    assert 'href="/_preview/as/no-webgpu/"' in html


def test_a_file_that_changed_after_the_build_is_named(make_site: MakeSite, serve: Serve) -> None:
    site = make_site()
    client = serve(site, tools=True)
    assert checks(client) == {}
    text = (site / "app/main.js").read_bytes()
    (site / "app/main.js").write_bytes(text.replace(b"42", b"43"))
    (site / "notes.txt").write_text("mine")
    failed = checks(client)
    assert "app/main.js" in failed["All 4 files are as they were built"]
    assert "notes.txt" in failed["Nothing else lies in the folder"]
    (site / "app/main.js").write_bytes(text)
    (site / "notes.txt").unlink()
    assert checks(client) == {}


def test_a_page_with_another_policy_than_its_manifest_is_named(make_site: MakeSite, serve: Serve) -> None:
    site = make_site()
    record = json.loads((site / "manifest.json").read_text())
    record |= {"policy": "default-src *", "generator": "webgpu-demo-builder 0.0.1"}
    (site / "manifest.json").write_text(json.dumps(record))
    assert set(checks(serve(site, tools=True))) == {
        "The page's policy is the one in its manifest",
        "Only this origin is asked for anything",
        "Built by webgpu-demo-builder 0.1.0",
    }


def test_models_are_listed_with_what_each_kind_of_device_downloads(
    tmp_path: Path, make_model: MakeModel, serve: Serve
) -> None:
    model = make_model()
    text = (model / "manifest.json").read_text()
    site = write_site(tmp_path / "site", files={"models/tiny/manifest.json": text})
    client = serve(site, tools=True)
    (listed,) = client.get("/_preview/state.json").json()["pages"][0]["models"]
    assert listed["name"] == json.loads(text)["name"]
    assert {tier["name"] for tier in listed["tiers"]} == {"webgpu", "wasm"}
    assert all(tier["size_bytes"] > 0 for tier in listed["tiers"])
    assert "WebGPU with 16-bit floats" in next(why for name, why in checks(client).items() if "every kind" in name)
    (site / "models/tiny/manifest.json").write_text("{")
    assert "The model's manifest can be read" in checks(client)


def test_a_folder_that_was_not_built_says_so(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "index.html").write_text("<head><title>Mine</title></head>")
    assert list(checks(serve(tmp_path, tools=True))) == ["The folder was built by webgpu-demo"]


def report(client: httpx.Client, *urls: str, refused: bool = False, origin: str | None = None) -> httpx.Response:
    body = {"page": "/", "requests": [{"url": url, "refused": refused} for url in urls]}
    own = str(client.base_url).rstrip("/")
    return client.post("/_preview/report", json=body, headers={"origin": origin or own})


def test_requests_to_other_machines_are_counted_as_the_page_reports_them(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site(), tools=True)
    assert client.get("/_preview/count.json").json()["summary"] == "requests that left this machine: 0"
    report(client, "https://cdn.example/a.js?token=1", "https://cdn.example/a.js", "http://localhost:7860/api")
    report(client, "https://tracker.example/", refused=True)
    counted = client.get("/_preview/count.json").json()
    assert counted["outside"] == {"https://cdn.example/a.js": 2}
    assert counted["refused"] == {"https://tracker.example/": 1}
    assert counted["summary"] == "requests that left this machine: 2 (1 more were refused by their policy)"


def test_a_report_of_another_site_is_not_taken(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site(), tools=True)
    assert report(client, "https://cdn.example/", origin="https://evil.example").status_code == 403
    assert client.post("/_preview/report", content=b"[]").status_code == 400
    assert client.post("/_preview/report", content=b"x" * 100_000).status_code == 413
    assert client.get("/_preview/report").status_code == 405
    assert client.get("/_preview/count.json").json()["outside"] == {}


BROKEN = "http://[::1"


@pytest.mark.parametrize(
    ("body", "origin", "status"),
    [
        (b"[" * 60_000, None, 400),
        (b"\xff", None, 400),
        (b"null", None, 400),
        (b'{"page": "/", "requests": [{"url": 1}]}', None, 400),
        (b'{"page": "/", "requests": 3}', None, 400),
        (b'{"page": "/", "requests": []}', BROKEN, 403),
        (json.dumps({"page": "/", "requests": [{"url": BROKEN, "refused": False}]}).encode(), None, 204),
    ],
)
def test_a_malformed_report_is_refused_and_counts_nothing(
    make_site: MakeSite, serve: Serve, body: bytes, origin: str | None, status: int
) -> None:
    client = serve(make_site(), tools=True)
    headers = {"origin": origin or str(client.base_url).rstrip("/")}
    assert client.post("/_preview/report", content=body, headers=headers).status_code == status
    counted = client.get("/_preview/count.json").json()
    assert (counted["outside"], counted["refused"]) == ({}, {})


def test_the_log_has_a_line_for_each_visit_and_no_control_characters() -> None:
    lines: list[str] = []
    access = Access(names=("127.0.0.1",), on_line=lines.append)
    access.note(Visit(method="GET", address="/a", status=206, size_bytes=1500, took_s=0.002, span="bytes=0-1499"))
    access.note_outside("https://a.example/x?q=1", page="/", refused=False)
    access.note_outside("data:text/plain,x", page="/", refused=False)
    access.note_outside("https://me:secret@b.example/\x9b2J\x07", page="/\x1b]0;title\x07\r", refused=True)
    assert lines == [
        "206 GET /a bytes=0-1499 1.5 kB 2 ms",
        "LEFT THIS MACHINE: https://a.example/x, asked for by /",
        r"refused by its policy: https://b.example/\x9b2J\x07, asked for by /\x1b]0;title\x07\r",
    ]


def test_what_a_request_has_of_control_characters_does_not_reach_the_terminal() -> None:
    lines: list[str] = []
    app = Recorder(PlainTextResponse("here", 206), Access(on_line=lines.append))
    TestClient(app).get("/a%1b%5b2J?%7f", headers={"range": b"bytes=\x9b2J"})
    (line,) = lines
    assert line.startswith(r"206 GET /a\x1b[2J?")
    assert line.isprintable()


def test_a_page_that_leaves_in_the_middle_of_its_report_is_no_failure(make_site: MakeSite) -> None:
    async def leave() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    lines: list[str] = []
    sent: list[Message] = []
    access = Access(on_line=lines.append)
    app = application(make_site(), names=["a"], access=access, modes=Modes(), live=None, tools=True)
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/_preview/report", "query_string": b""}
    asyncio.run(app({**scope, "headers": [(b"host", b"a")]}, leave, send))
    assert (lines, sent[0]["status"]) == ([], 400)


def test_the_view_as_space_frames_this_server_by_its_other_name(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site(), tools=True)
    port = client.base_url.port
    html = client.get("/_preview/space?page=%22%3E%3Cscript%3E&as=no-webgpu")
    assert f'src="http://localhost:{port}/_preview/as/no-webgpu,space/%22%3E%3Cscript%3E"' in html.text
    assert f"frame-src 'self' http://localhost:{port}" in html.headers["content-security-policy"]
    assert "camera; " in html.text
    assert 'sandbox="allow-downloads ' in html.text
    other = client.get("/_preview/space", headers={"host": f"localhost:{port}"}).text
    assert f'src="http://127.0.0.1:{port}/_preview/as/space/"' in other


def test_another_name_on_a_lan_is_the_local_name_and_back() -> None:
    names = ["127.0.0.1", "localhost", "192.168.1.5", "desk.local"]
    assert other_origin("https", "192.168.1.5", 8000, names) == "https://desk.local:8000"
    assert other_origin("https", "desk.local", 8000, names) == "https://192.168.1.5:8000"
    assert other_origin("http", "127.0.0.1", 8000, names) == "http://localhost:8000"


def test_the_headers_are_the_very_ones_that_the_space_will_send() -> None:
    from builder.preview.headers import DEFAULTS
    from builder.publish.static_space import render_readme

    texts = dict.fromkeys(("title", "summary", "space", "address", "page", "model", "endpoint"), "a")
    card = render_readme(**texts, model_repo=None, license=None, server=None, isolated=True, has_picture=False)
    sent = yaml.safe_load(card.content().decode().split("---")[1])["custom_headers"]
    assert sent
    assert sent == {name: DEFAULTS[name] for name in sent}
