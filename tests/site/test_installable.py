"""What makes a site installable and tells its versions apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from builder.errors import SiteError
from builder.site import build

MakeModel = Callable[..., Path]


def version(site: Path) -> str:
    return str(json.loads((site / "manifest.json").read_text())["version"])


def test_web_manifest_names_icons_that_are_there_at_their_size(make_model: MakeModel, tmp_path: Path) -> None:
    site = build("camera-caption", model=make_model(), out=tmp_path / "site", title="Mine").path
    manifest = json.loads((site / "app.webmanifest").read_text())
    assert (manifest["name"], manifest["display"], manifest["start_url"]) == ("Mine", "standalone", "./")
    assert {icon.get("purpose", "any") for icon in manifest["icons"]} == {"any", "maskable"}
    for icon in manifest["icons"]:
        path = site / icon["src"]
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert f"{picture.width}x{picture.height}" == icon["sizes"]
                assert picture.convert("RGB").getpixel((0, 0)) == (0, 0x66, 0xCC), "a mask may cut off a corner"
        else:
            assert path.read_text().startswith("<svg")


def test_version_changes_with_any_file_and_with_nothing_else(make_model: MakeModel, tmp_path: Path) -> None:
    model = make_model()
    first = build("camera-caption", model=model, out=tmp_path / "a").path
    again = build("camera-caption", model=model, out=tmp_path / "b").path
    titled = build("camera-caption", model=model, out=tmp_path / "c", title="Other").path
    assert version(first) == version(again) != version(titled)


def test_model_url_leaves_the_weights_out_and_goes_into_the_policy(make_model: MakeModel, tmp_path: Path) -> None:
    site = build("camera-caption", model=make_model(), out=tmp_path / "a", model_url="https://models.example/tiny").path
    assert not list(site.rglob("*.onnx"))
    assert '"root": "https://models.example/tiny/"' in (site / "index.html").read_text()
    assert "https://models.example" in json.loads((site / "manifest.json").read_text())["policy"]


@pytest.mark.parametrize("address", ["http://models.example/", "models/tiny", "https://user:secret@models.example/"])
def test_address_that_no_page_could_use_is_refused(address: str, make_model: MakeModel, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="is no address for a page") as caught:
        build("camera-caption", model=make_model(), out=tmp_path / "a", server=address)
    assert "secret" not in caught.value.message
    assert not (tmp_path / "a").exists()
