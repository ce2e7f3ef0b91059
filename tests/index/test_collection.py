"""A published collection: an index goes with a site whose model made it, and the page may show the photos."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.album import AlbumIndex, vector_space
from builder.embedded import model_dir
from builder.errors import BuilderError, ModelError
from builder.index import index
from builder.manifest import read_manifest
from builder.publishing import publish
from builder.site import build
from builder.site.assets import site_manifest

EditManifest = Callable[[Path, Callable[[dict[str, object]], None]], None]
RunCli = Callable[..., object]


@pytest.fixture
def indexed(album: Path, tmp_path: Path) -> Path:
    index(album, out=tmp_path / "museum.index")
    return tmp_path / "museum.index"


def config_of(site: Path) -> dict[str, object]:
    html = (site / "index.html").read_text(encoding="utf-8")
    found = re.search(r'id="page-config">(.*?)</script>', html, re.DOTALL)
    assert found
    config: dict[str, object] = json.loads(found[1])
    return config


def policy_of(site: Path) -> str:
    return str(json.loads((site / "manifest.json").read_text(encoding="utf-8"))["policy"])


def test_site_carries_the_index_and_may_show_the_photos(indexed: Path, tmp_path: Path) -> None:
    address = "https://museum.example/photos"
    site = build("photo-search", out=tmp_path / "site", index=indexed, photos_url=address).path
    assert (site / "collection" / "album.index").read_bytes() == indexed.read_bytes()
    assert config_of(site)["collection"] == {
        "index": "collection/album.index",
        "photos_url": f"{address}/",
        "photos": 5,
    }
    policy = policy_of(site)
    assert "img-src 'self' blob: data: https://museum.example;" in policy
    assert "connect-src 'self';" in policy, "photos are shown, never read"
    assert policy.replace("'", "&#39;") in (site / "index.html").read_text(encoding="utf-8")
    space = json.loads((site / "models" / "scenes-clip" / "manifest.json").read_text())["vector_space"]
    assert space == AlbumIndex(indexed).facts.space


def test_photos_in_the_site_itself_need_no_other_origin(indexed: Path, tmp_path: Path) -> None:
    site = build("photo-search", out=tmp_path / "site", index=indexed, photos_url="photos").path
    collection = config_of(site)["collection"]
    assert isinstance(collection, dict) and collection["photos_url"] == "photos/"
    assert "img-src 'self' blob: data:;" in policy_of(site)
    plain = build("photo-search", out=tmp_path / "plain", index=indexed).path
    collection = config_of(plain)["collection"]
    assert isinstance(collection, dict) and collection["photos_url"] is None


def test_published_site_keeps_its_collection(indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build("photo-search", out=tmp_path / "site", index=indexed, photos_url="https://museum.example/photos")
    monkeypatch.chdir(tmp_path)
    for page in ("site", None):  # and so does the next run, which need not be told
        publish(page, folder=Path("public"))
        assert (tmp_path / "public" / "collection" / "album.index").read_bytes() == indexed.read_bytes()
        assert config_of(tmp_path / "public") == config_of(tmp_path / "site")
        assert policy_of(tmp_path / "public") == policy_of(tmp_path / "site")


@pytest.mark.parametrize(
    ("page", "photos_url", "why"),
    [
        ("camera-caption", None, "shows no collection"),
        ("photo-search", "http://museum.example/", "no address for a page"),
        ("photo-search", "//museum.example/", "no address for a page"),
        ("photo-search", "javascript:alert(1)", "no address for a page"),
    ],
)
def test_collection_that_cannot_be_shown_is_refused(
    page: str, photos_url: str | None, why: str, indexed: Path, tmp_path: Path
) -> None:
    with pytest.raises(BuilderError, match=why):
        build(page, out=tmp_path / "site", index=indexed, photos_url=photos_url)
    assert not (tmp_path / "site").exists()


def test_index_without_anything_to_show_is_refused(album: Path, indexed: Path, tmp_path: Path) -> None:
    index(album, out=indexed, thumbnails=False)
    with pytest.raises(BuilderError, match="nothing to show"):
        build("photo-search", out=tmp_path / "site", index=indexed)
    with pytest.raises(BuilderError, match="of an index"):
        build("photo-search", out=tmp_path / "site", photos_url="https://museum.example/")


def test_index_of_another_model_is_refused_with_the_command_that_helps(
    album: Path, tmp_path: Path, edit_manifest: EditManifest
) -> None:
    model = shutil.copytree(model_dir("scenes-clip"), tmp_path / "model")
    edit_manifest(model, lambda raw: raw.update(image={**raw["image"], "resample": "lanczos"}))  # type: ignore[dict-item]
    index(album, out=tmp_path / "a.index", model=model)
    with pytest.raises(BuilderError, match="made with another model") as raised:
        build("photo-search", out=tmp_path / "site", index=tmp_path / "a.index")
    assert "webgpu-demo index" in raised.value.hint
    assert build("photo-search", out=tmp_path / "site", model=model, index=tmp_path / "a.index").path.is_dir()


def test_vector_space_is_that_of_the_model_whatever_dtype_runs() -> None:
    plain = read_manifest(model_dir("scenes-clip"))
    smaller = {
        name: {**variants, "q4": replace(variants["fp32"], sha256="4" * 64)}
        for name, variants in plain.components.items()
    }
    tiers = {tier: dict.fromkeys(dtypes, "q4") for tier, dtypes in plain.tiers.items()}
    whole = replace(plain, components=smaller, tiers=tiers)
    cut = site_manifest(whole)
    assert set(cut.components["vision_model"]) == {"q4"}
    assert vector_space(whole) == vector_space(plain) == vector_space(cut) == cut.vector_space
    bicubic = replace(plain, image=replace(plain.image, resample="bicubic"))
    other = replace(plain, files=tuple(replace(f, sha256="0" * 64) if "preproc" in f.path else f for f in plain.files))
    assert len({vector_space(manifest) for manifest in (plain, bicubic, other)}) == 3
    with pytest.raises(ModelError):
        vector_space(read_manifest(model_dir("scenes-vlm")))
