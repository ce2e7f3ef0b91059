"""Benches that need the embedded models as their pages ship them, which takes minutes to make: make soak."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.bench import bench
from builder.bench.page import MOST_KILOBYTES

pytestmark = pytest.mark.soak


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "webgpu-demo"


@pytest.mark.browser
def test_pages_weigh_little_before_the_runtime(own_cache: Path) -> None:
    (result,) = bench(["page"])
    assert (own_cache / "bench/sites/camera-caption/index.html").is_file()
    weights = [measure for measure in result.measures if measure.unit == "kB"]
    assert len(weights) == 2
    assert all(5 < measure.median <= MOST_KILOBYTES for measure in weights)


def test_growth_measures_every_kind_of_work_at_1_4_and_16_times(own_cache: Path) -> None:
    (result,) = bench(["growth"])
    assert (own_cache / "bench/models").is_dir()
    assert {case: len(measures) for case, measures in result.by_case().items()} == {
        "tokens of a prompt": 3,
        "positions before one token": 3,
        "photos": 3,
    }
    photos = [measure.median for measure in result.by_case()["photos"]]
    assert photos[0] < photos[1] < photos[2]
