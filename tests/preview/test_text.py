"""Text is compressed and kept by its contents; what is large goes as it is."""

from __future__ import annotations

import httpx
import pytest

from tests.preview.conftest import SCRIPT, MakeSite, Serve


def test_text_is_compressed_for_who_accepts_it(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site())
    plain = client.get("/app/main.js", headers={"accept-encoding": "identity"})
    packed = client.get("/app/main.js", headers={"accept-encoding": "gzip"})
    refused = client.get("/app/main.js", headers={"accept-encoding": "gzip;q=0"})
    assert (plain.text, packed.text) == (SCRIPT, SCRIPT)
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in [*plain.headers, *refused.headers]
    assert int(packed.headers["content-length"]) < len(SCRIPT) / 10
    assert "accept-encoding" in packed.headers["vary"]
    assert packed.headers["etag"] != plain.headers["etag"]


def test_what_is_no_text_is_never_compressed(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site(files={"a.wasm": bytes(5000), "b.png": bytes(5000), "c.webm": bytes(5000)}))
    for name in ("a.wasm", "b.png", "c.webm", "models/m/onnx/model.onnx"):
        assert "content-encoding" not in client.get(name, headers={"accept-encoding": "gzip, br"}).headers


def test_a_range_of_text_is_of_the_text_itself(make_site: MakeSite, serve: Serve) -> None:
    answer = serve(make_site()).get("/app/main.js", headers={"accept-encoding": "gzip", "range": "bytes=0-5"})
    assert (answer.status_code, answer.content, answer.headers.get("content-encoding")) == (206, b"export", None)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_unchanged_text_is_not_sent_twice(make_site: MakeSite, serve: Serve, encoding: str) -> None:
    client = serve(make_site())
    headers = {"accept-encoding": encoding}
    etag = client.get("/app/main.js", headers=headers).headers["etag"]
    assert etag.startswith('"')
    again = client.get("/app/main.js", headers=headers | {"if-none-match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    make_site(files={"app/main.js": SCRIPT})  # written again, the same
    assert client.get("/app/main.js", headers=headers | {"if-none-match": etag}).status_code == 304
    make_site(files={"app/main.js": SCRIPT.replace("42", "43")})
    assert client.get("/app/main.js", headers=headers | {"if-none-match": etag}).status_code == 200


def test_head_of_text_says_what_get_would(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site())
    for encoding in ("gzip", "identity"):
        got, head = (client.request(m, "/app/main.js", headers={"accept-encoding": encoding}) for m in ("GET", "HEAD"))
        assert head.content == b""
        for name in ("content-length", "etag", "content-type", "vary"):
            assert head.headers[name] == got.headers[name]


def test_names_with_a_digest_are_kept_for_ever_and_others_asked_for_again(make_site: MakeSite, serve: Serve) -> None:
    names = {"app/main.0123abcd.js": True, "app/style-0123456789abcdef.css": True, "app/deadline.js": False}
    client = serve(make_site(files=dict.fromkeys(names, "x")))
    for name, immutable in names.items():
        assert ("immutable" in client.get(name).headers["cache-control"]) is immutable
    for name in ("", "app/main.js", "models/m/onnx/model.onnx", "missing.js"):
        assert client.get(name).headers["cache-control"] == "no-cache"


def test_a_site_has_the_policy_of_its_manifest_as_a_header(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site(connect=("https://huggingface.co",)))
    for name in ("", "app/main.js", "models/m/onnx/model.onnx"):
        assert "connect-src 'self' https://huggingface.co;" in client.get(name).headers["content-security-policy"]


def test_without_tools_nothing_is_added_to_any_file(make_site: MakeSite, serve: Serve) -> None:
    site = make_site()
    client: httpx.Client = serve(site)
    for name in ("index.html", "app/pages/p/worker.js"):
        answer = client.get(name, headers={"sec-fetch-dest": "worker"})
        assert answer.content == (site / name).read_bytes()
    assert client.get("/_preview/").status_code == 404
