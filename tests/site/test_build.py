"""build writes a complete site or nothing, and takes nothing that it should not."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.embedded import NAMES
from builder.errors import BuilderError, ModelError, SiteError
from builder.paths import web_template
from builder.site import build
from builder.site.comments import without_comments
from builder.site.page import all_pages

MakeModel = Callable[..., Path]
EditManifest = Callable[[Path, Callable[[dict[str, object]], None]], None]
ReadTree = Callable[[Path], dict[str, bytes]]
PAGES = all_pages(web_template())


def config_of(site: Path) -> dict[str, object]:
    found = re.search(
        r'<script type="application/json" id="page-config">(.*?)</script>', (site / "index.html").read_text(), re.DOTALL
    )
    assert found
    config = json.loads(found[1])
    assert isinstance(config, dict)
    return config


@pytest.mark.parametrize("slug", PAGES)
def test_build_of_every_page_lists_exactly_its_files(slug: str, make_model: MakeModel, tmp_path: Path) -> None:
    site = build(slug, model=make_model(task=PAGES[slug].task), out=tmp_path / "site")
    record = json.loads((site.path / "manifest.json").read_text())
    assert (record["format"], record["page"]) == (1, slug)
    assert record["generator"].startswith("webgpu-demo-builder ")
    on_disk = {p.relative_to(site.path).as_posix() for p in site.path.rglob("*") if p.is_file()} - {"manifest.json"}
    assert {entry["path"] for entry in record["files"]} == on_disk
    for entry in record["files"]:
        content = (site.path / entry["path"]).read_bytes()
        assert (entry["size_bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert site.size_bytes == sum(entry["size_bytes"] for entry in record["files"])
    assert {"index.html", "app/shared/style.css", f"app/pages/{slug}/main.js", f"app/pages/{slug}/worker.js"} <= on_disk
    assert {"runtime/transformers.min.js", "runtime/ort-wasm-simd-threaded.wasm"} <= on_disk
    assert "runtime/THIRD_PARTY_LICENSES.md" in on_disk
    shared = {Path(name).stem for name in on_disk if name.startswith("app/shared/")}
    assert {"zh", "keep-folder", "server", "language"} <= shared, "what is imported later is missing"
    assert ("vectors" in shared, "announcer" in shared) == (slug == "photo-search", slug == "camera-caption")
    assert not [name for name in on_disk if name.endswith((".d.ts", ".html", "page.json")) and name != "index.html"]


@pytest.mark.parametrize("slug", PAGES)
def test_build_copies_scripts_line_for_line_without_comments(slug: str, make_model: MakeModel, tmp_path: Path) -> None:
    site = build(slug, model=make_model(task=PAGES[slug].task), out=tmp_path / "site")
    scripts = list((site.path / "app").rglob("*.js"))
    assert scripts
    for script in scripts:
        source = (web_template() / script.relative_to(site.path / "app")).read_text(encoding="utf-8")
        copied = script.read_text(encoding="utf-8")
        assert copied == without_comments(source)
        for before, after in zip(source.split("\n"), copied.split("\n"), strict=True):
            assert after == "" or before.endswith(after.lstrip())


def test_build_twice_gives_identical_folders(make_model: MakeModel, tmp_path: Path, read_tree: ReadTree) -> None:
    model = make_model()
    first, second = (build("camera-caption", model=model, out=tmp_path / name).path for name in ("a", "b"))
    assert read_tree(first) == read_tree(second)


def test_build_takes_only_the_dtypes_of_tiers(make_model: MakeModel, tmp_path: Path) -> None:
    site = build("camera-caption", model=make_model(), out=tmp_path / "site").path / "models" / "tiny-vlm"
    assert {p.name for p in (site / "onnx").iterdir()} == {"vision_encoder_q4.onnx", "vision_encoder_quantized.onnx"}
    assert set(json.loads((site / "manifest.json").read_text())["components"]["vision_encoder"]) == {"q4", "q8"}


def test_build_writes_the_config_that_the_page_reads(make_model: MakeModel, tmp_path: Path) -> None:
    title = 'Tom & "Jerry" </script><script>alert(1)</script>'
    site = build("camera-caption", model=make_model(), out=tmp_path / "site", title=title).path
    assert config_of(site) == {
        "format": 1,
        "page": "camera-caption",
        "title": title,
        "lang": "en",
        "model": {"name": "tiny-vlm", "root": "models/", "manifest": "models/tiny-vlm/manifest.json"},
        "runtime": {"transformers": "runtime/transformers.min.js", "ort": "runtime/"},
        "server": None,
        "sample": None,
        "collection": None,
        "sentences": None,
    }
    html = (site / "index.html").read_text()
    assert "<script>alert" not in html
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html
    assert not re.search(r"\{\{|\{%", html), "a template variable was left over"


def test_every_address_in_the_html_exists_in_the_site(make_model: MakeModel, tmp_path: Path) -> None:
    site = build("camera-caption", model=make_model(), out=tmp_path / "site").path
    addresses = re.findall(r'(?:src|href)="([^"#]*)"', (site / "index.html").read_text())
    local = [address for address in addresses if not address.startswith("data:")]
    assert local
    assert [address for address in local if not (site / address).is_file()] == []


@pytest.mark.parametrize("page", sorted(PAGES))
def test_build_without_a_model_takes_the_embedded_one_with_its_sample(page: str, tmp_path: Path) -> None:
    site = build(page, out=tmp_path / "site")
    assert site.model in NAMES
    sample = config_of(site.path)["sample"]
    assert isinstance(sample, dict)
    (path,) = sample.values()
    assert (site.path / path).is_file()
    if path.endswith(".json"):
        photos = json.loads((site.path / path).read_text())["photos"]
        assert photos
        assert all((site.path / photo["path"]).is_file() for photo in photos)


def test_build_of_a_page_with_a_typo_names_the_page(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="there is no page 'camera-captoin'") as caught:
        build("camera-captoin", out=tmp_path / "site")
    assert caught.value.hint == "did you mean 'camera-caption'?"


def test_build_with_a_model_of_another_task_names_the_page_that_fits(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model("tiny-clip", "zero-shot-image-classification")
    with pytest.raises(SiteError, match="needs a model for image-text-to-text") as caught:
        build("camera-caption", model=model, out=tmp_path / "site")
    assert caught.value.hint == "build photo-search with it"


def test_build_with_a_misspelt_model_names_the_model(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="there is no model 'scenes-vml'") as caught:
        build("camera-caption", model="scenes-vml", out=tmp_path / "site")
    assert "did you mean 'scenes-vlm'?" in caught.value.hint


def test_build_with_a_folder_that_is_no_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(ModelError, match="is no web model"):
        build("camera-caption", model=tmp_path / "photos", out=tmp_path / "site")


def test_build_reports_all_problems_at_once_and_writes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "diary.txt").write_text("dear diary")
    with pytest.raises(BuilderError) as caught:
        build("camera-captoin", model="scenes-vml", out=target)
    message = caught.value.message
    assert message.startswith("3 problems")
    assert all(part in message for part in ("camera-captoin", "scenes-vml", "was not made by webgpu-demo"))
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "diary.txt"]


def test_build_into_a_folder_of_somebody_else_leaves_it_alone(make_model: MakeModel, tmp_path: Path) -> None:
    target = tmp_path / "site"
    target.mkdir()
    (target / "index.html").write_text("my page")
    with pytest.raises(SiteError, match="was not made by webgpu-demo"):
        build("camera-caption", model=make_model(), out=target)
    assert [p.name for p in target.iterdir()] == ["index.html"]


def test_build_over_a_model_folder_leaves_it_alone(make_model: MakeModel, tmp_path: Path, read_tree: ReadTree) -> None:
    model = make_model()
    before = read_tree(model)
    with pytest.raises(SiteError, match="was not made by webgpu-demo"):
        build("camera-caption", model=model, out=model)
    assert read_tree(model) == before


def test_build_over_a_file_leaves_it_alone(make_model: MakeModel, tmp_path: Path) -> None:
    target = tmp_path / "site"
    target.write_text("a file")
    with pytest.raises(SiteError, match="is a file"):
        build("camera-caption", model=make_model(), out=target)
    assert target.read_text() == "a file"


def test_build_over_an_own_site_replaces_it(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    target = tmp_path / "site"
    build("camera-caption", model=model, out=target, title="old")
    (target / ".DS_Store").write_bytes(b"a file manager was here")
    build("camera-caption", model=model, out=target, title="new")
    assert config_of(target)["title"] == "new"
    assert {p.name for p in tmp_path.iterdir()} == {"tiny-vlm", "site"}


def test_build_over_an_own_site_with_a_file_of_the_user_keeps_it(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    target = tmp_path / "site"
    build("camera-caption", model=model, out=target)
    (target / "CNAME").write_text("demo.example")
    with pytest.raises(SiteError, match="would be lost: CNAME"):
        build("camera-caption", model=model, out=target)
    assert (target / "CNAME").read_text() == "demo.example"


def test_build_into_an_empty_folder_works(make_model: MakeModel, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    assert (build("camera-caption", model=make_model(), out=tmp_path / "site").path / "index.html").is_file()


def test_build_with_a_corrupt_model_file_names_it_and_writes_nothing(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    path = model / "onnx" / "vision_encoder_q4.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ModelError, match=r"vision_encoder_q4\.onnx is corrupt"):
        build("camera-caption", model=model, out=tmp_path / "site")
    assert {p.name for p in tmp_path.iterdir()} == {"tiny-vlm"}


def test_build_with_missing_and_shortened_model_files_names_both(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    (model / "config.json").unlink()
    (model / "onnx" / "vision_encoder_q4.onnx").write_bytes(b"short")
    with pytest.raises(ModelError, match=r"config\.json is missing; onnx/vision_encoder_q4\.onnx has 5 bytes"):
        build("camera-caption", model=model, out=tmp_path / "site")


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/hosts", "a/../../secret.txt", "..\\secret.txt"])
def test_build_with_a_manifest_that_points_outside_refuses(
    path: str, make_model: MakeModel, edit_manifest: EditManifest, tmp_path: Path
) -> None:
    model = make_model()
    entry = {"path": path, "size_bytes": 1, "sha256": ""}
    edit_manifest(model, lambda raw: raw.update(files=[entry]))
    with pytest.raises(ModelError, match="outside itself"):
        build("camera-caption", model=model, out=tmp_path / "site")


def test_build_with_a_model_that_links_to_other_files_refuses(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    (model / "config.json").rename(tmp_path / "secret.txt")
    (model / "config.json").symlink_to("../secret.txt")
    with pytest.raises(ModelError, match=r"config\.json is a link"):
        build("camera-caption", model=model, out=tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a b"])
def test_build_with_an_unsafe_model_name_refuses(
    name: str, make_model: MakeModel, edit_manifest: EditManifest, tmp_path: Path
) -> None:
    model = make_model()
    edit_manifest(model, lambda raw: raw.update(name=name))
    with pytest.raises(ModelError, match="is no name for a folder"):
        build("camera-caption", model=model, out=tmp_path / "site")


def test_build_with_a_model_without_tiers_asks_for_verify(
    make_model: MakeModel, edit_manifest: EditManifest, tmp_path: Path
) -> None:
    model = make_model()
    edit_manifest(model, lambda raw: raw.update(tiers={}))
    with pytest.raises(ModelError) as caught:
        build("camera-caption", model=model, out=tmp_path / "site")
    assert "webgpu-demo verify" in caught.value.hint


def test_build_into_a_read_only_folder_says_so(make_model: MakeModel, read_only_folder: Path) -> None:
    with pytest.raises(SiteError, match="cannot be written"):
        build("camera-caption", model=make_model(), out=read_only_folder / "site")


def test_build_of_a_page_that_no_server_can_help_refuses_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = replace(PAGES["photo-search"], server=False)  # all pages that come along can
    monkeypatch.setattr("builder.site.find_page", lambda name, template: page)
    with pytest.raises(SiteError, match="photo-search cannot work with a server"):
        build("photo-search", server="https://somebody-search.hf.space", out=tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("option", ["model_url", "server"])
def test_build_lets_no_address_write_into_the_policy(option: str, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=f"{option} is no address"):
        build("camera-caption", out=tmp_path / "site", **{option: "https://x.example; script-src 'unsafe-inline'/m"})
    with pytest.raises(SiteError, match="a redirect's origin is no address"):
        build("camera-caption", out=tmp_path / "site", origins=["https://a *"])
    assert list(tmp_path.iterdir()) == []


def test_build_with_an_empty_title_refuses(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="the title is empty"):
        build("camera-caption", out=tmp_path / "site", title=" ")
