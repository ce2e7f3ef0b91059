"""What may be served: the manifest's files, and nothing that lies beside them."""

from __future__ import annotations

import json
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
