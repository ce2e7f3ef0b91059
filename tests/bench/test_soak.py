"""Benches that need models and pages as they are shipped, or a browser for minutes: make soak."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.bench import bench, index
from builder.bench._browser import open_chromium
from builder.bench._camera import camera_flags, write_camera
from builder.bench._contract import OURS
from builder.bench.caption import Contestant, visit_twice
from builder.bench.page import MOST_KILOBYTES
from builder.bench.peers import minimal
from builder.manifest import read_manifest
from builder.site import build

pytestmark = pytest.mark.soak


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "webgpu-demo"


@pytest.mark.browser
def test_pages_weigh_little_before_the_runtime(own_cache: Path) -> None:
    (result,) = bench(["page"], against=[])
    assert (own_cache / "bench/sites/camera-caption/index.html").is_file()
    weights = [measure for measure in result.measures if measure.unit == "kB"]
    assert len(weights) == 2
    assert all(5 < measure.median <= MOST_KILOBYTES for measure in weights)


def test_growth_measures_every_kind_of_work_at_1_4_and_16_times(own_cache: Path) -> None:
    (result,) = bench(["growth"])
    assert (own_cache / "bench/models").is_dir()
    commands = ("export", "quantize", "verify")
    assert {case: len(measures) for case, measures in result.by_case().items()} == dict.fromkeys(
        (
            "tokens of a prompt",
            "positions before one token",
            "photos",
            "parameters, one token",
            "photos indexed by the command",
            *(f"parameters, {command}" for command in commands),
        ),
        3,
    )
    photos = [measure.median for measure in result.by_case()["photos"]]
    assert photos[0] < photos[1] < photos[2]


@pytest.mark.browser
def test_both_caption_pages_caption_on_the_first_visit_and_on_the_second(
    quantized_models: dict[str, Path], tmp_path: Path
) -> None:
    model = quantized_models["scenes-vlm"]
    manifest = read_manifest(model)
    build("camera-caption", model=model, out=tmp_path / "site")
    # What the build of onnxruntime runs that transformers.js takes by itself.
    dtypes = {"decoder_model_merged": "q4", "embed_tokens": "fp32", "vision_encoder": "q4"}
    plain = minimal.make_site(model, manifest.name, dtypes, manifest.prompts[0].text, 12, tmp_path / "work")
    contestants = [
        Contestant(name=OURS, site=tmp_path / "site", query="device=wasm&autostart=1&source=camera&gate=0"),
        Contestant(name=minimal.PEER.name, site=plain.path, query=plain.query),
    ]
    camera = tmp_path / "camera.y4m"
    write_camera(camera)
    with open_chromium(camera_flags(camera)) as browser:
        for contestant in contestants:
            for visit in visit_twice(browser, contestant, 2):
                assert 0 < visit.first_words_s < visit.first_caption_s
                assert len(visit.first_token_ms) >= 2 and all(wait > 0 for wait in visit.first_token_ms)
                assert visit.per_minute > 0 and visit.processor_s > 0


@pytest.mark.browser
def test_photos_are_indexed_in_the_page_in_python_and_by_the_bare_model(
    quantized_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "PHOTOS", 6)
    monkeypatch.setattr(index, "PAGE_PHOTOS", 6)
    model = quantized_models["scenes-clip"]
    album = index._album(tmp_path / "album")
    assert len(list(album.iterdir())) == 6
    site, bare = index._sites(tmp_path, model)
    assert index._index(album, model, tmp_path / "out.index") > 0
    with open_chromium() as browser:
        assert index.page_rate(browser, site, sorted(album.iterdir())) > 0
        assert index._bare(browser, bare, model) > 0
