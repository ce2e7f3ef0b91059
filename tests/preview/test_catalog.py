"""What may be served: the manifest's files, and nothing that lies beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from builder.errors import PreviewError
from builder.preview import preview
from builder.preview.catalog import check_folder
from tests.preview.conftest import MakeSite, Serve, write_site


def test_a_file_that_no_manifest_lists_is_not_found(make_site: MakeSite, serve: Serve) -> None:
    site = make_site()
    for name in ("notes.txt", "app/secret.js", "models/m/onnx/model.onnx.bak"):
        (site / name).write_text("mine")
    client = serve(site)
    assert client.get("/app/main.js").status_code == 200
    assert client.get("/manifest.json").json()["page"] == "p"
    for name in ("notes.txt", "app/secret.js", "models/m/onnx/model.onnx.bak", "app/", "app"):
        assert client.get(f"/{name}").status_code == 404


def test_a_listed_file_that_became_a_link_is_not_found(make_site: MakeSite, serve: Serve, tmp_path: Path) -> None:
    site = make_site()
    (tmp_path / "elsewhere.js").write_text("secret")
    (site / "app/main.js").unlink()
    (site / "app/main.js").symlink_to(tmp_path / "elsewhere.js")
    assert serve(site).get("/app/main.js").status_code == 404


def test_a_folder_reached_through_a_link_is_not_found(make_site: MakeSite, serve: Serve, tmp_path: Path) -> None:
    site = make_site()
    (site / "app").rename(tmp_path / "moved")
    (site / "app").symlink_to(tmp_path / "moved")
    assert serve(site).get("/app/main.js").status_code == 404


def test_a_site_that_is_built_again_is_served_as_its_new_manifest_says(make_site: MakeSite, serve: Serve) -> None:
    client = serve(make_site())
    assert client.get("/new.js").status_code == 404
    make_site(files={"new.js": "export {};"})
    assert client.get("/new.js").status_code == 200


def test_a_folder_of_sites_serves_its_index_and_the_files_of_each(tmp_path: Path, serve: Serve) -> None:
    for name in ("one", "two"):
        write_site(tmp_path / name)
    (tmp_path / "index.html").write_text("both")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "two/notes.txt").write_text("mine")
    client = serve(tmp_path)
    assert client.get("/").text == "both"
    assert client.get("/one/app/main.js").status_code == client.get("/two/").status_code == 200
    assert client.get("/one").headers["location"] == "/one/"
    for name in ("notes.txt", "two/notes.txt", "three/", "one/app/"):
        assert client.get(f"/{name}").status_code == 404


def test_a_manifest_cannot_list_what_lies_outside(make_site: MakeSite, serve: Serve, tmp_path: Path) -> None:
    site = make_site()
    (tmp_path / "secret.txt").write_text("secret")
    record = json.loads((site / "manifest.json").read_text())
    record["files"].append({"path": "../secret.txt", "size_bytes": 6, "sha256": ""})
    record["files"].append({"path": ".env", "size_bytes": 6, "sha256": ""})
    (site / ".env").write_text("secret")
    (site / "manifest.json").write_text(json.dumps(record))
    client = serve(site)
    assert client.get("/..%2fsecret.txt").status_code == 404
    assert client.get("/.env").status_code == 404


def test_a_folder_without_a_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PreviewError, match=r"holds no index\.html"):
        preview(tmp_path, open_browser=False)
    with pytest.raises(PreviewError, match="there is no folder"):
        preview(tmp_path / "missing", open_browser=False)
    (tmp_path / "manifest.json").write_text('{"family": "fastvlm"}')
    with pytest.raises(PreviewError, match=r"holds no index\.html"):
        check_folder(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "{}", "[]", "[" * 60_000, '{"page": "p"}', '{"page": "p", "generator": "g", "files": [{"path": "a"}]}'],
    ids=["empty", "cut", "nothing", "list", "deep", "no-files", "no-sizes"],
)
def test_a_manifest_that_cannot_be_read_closes_its_folder_and_says_so(
    make_site: MakeSite, serve: Serve, text: str
) -> None:
    site = make_site()
    (site / "notes.txt").write_text("mine")
    client = serve(site, tools=True)
    assert client.get("/").status_code == 200
    good = (site / "manifest.json").read_text()
    (site / "manifest.json").write_text(text)
    for name in ("", "index.html", "notes.txt", "app/main.js", "manifest.json", "missing"):
        answer = client.get(f"/{name}")
        assert answer.status_code == 500
        assert f"{site / 'manifest.json'} cannot be read, so nothing of its folder is served" in answer.text
    html = client.get("/_preview/").text
    assert "build the site again: webgpu-demo build" in html
    assert 'href="/"' not in html, "there is nothing to open"
    (check,) = client.get("/_preview/state.json").json()["pages"][0]["checks"]
    assert (check["name"], check["ok"]) == ("The site's manifest can be read", False)
    (site / "manifest.json").write_text(good)
    assert client.get("/").status_code == 200


def test_a_manifest_that_is_a_link_to_nothing_closes_its_folder(make_site: MakeSite, serve: Serve) -> None:
    site = make_site()
    (site / "manifest.json").unlink()
    (site / "manifest.json").symlink_to(site / "gone.json")
    assert serve(site).get("/app/main.js").status_code == 500


def test_one_broken_site_of_several_is_closed_and_the_others_are_served(tmp_path: Path, serve: Serve) -> None:
    for name in ("one", "two"):
        write_site(tmp_path / name)
    (tmp_path / "index.html").write_text("both")
    (tmp_path / "notes.txt").write_text("mine")
    client = serve(tmp_path, tools=True)
    (tmp_path / "two/manifest.json").write_text("{")
    assert client.get("/").text == "both"
    assert client.get("/one/app/main.js").status_code == 200
    assert client.get("/two", follow_redirects=True).status_code == client.get("/two/app/main.js").status_code == 500
    assert client.get("/notes.txt").status_code == 404
    assert [page["slug"] for page in client.get("/_preview/state.json").json()["pages"]] == ["p", "two"]


def test_the_manifest_of_something_else_closes_nothing(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "index.html").write_text("an app")
    (tmp_path / "manifest.json").write_text('{"name": "an app", "icons": []}')
    assert serve(tmp_path).get("/").text == "an app"


def test_a_site_put_into_a_plain_folder_makes_it_a_folder_of_sites(tmp_path: Path, serve: Serve) -> None:
    (tmp_path / "index.html").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    client = serve(tmp_path)
    assert client.get("/notes.txt").status_code == 200
    write_site(tmp_path / "site")
    assert client.get("/notes.txt").status_code == 404


@pytest.mark.parametrize("built", [True, False])
def test_a_folder_that_is_gone_is_not_found_and_the_landing_page_says_so(
    make_site: MakeSite, serve: Serve, built: bool
) -> None:
    site = make_site()
    if not built:
        (site / "manifest.json").unlink()
    client = serve(site, tools=True)
    assert client.get("/").status_code == 200
    shutil.rmtree(site)
    assert client.get("/").status_code == client.get("/app/main.js").status_code == 404
    assert f"{site} is gone" in client.get("/_preview/").text
