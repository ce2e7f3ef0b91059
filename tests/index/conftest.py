"""Albums of real photographs, the few that Python packages ship, in folders, formats and states that albums have."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from sklearn.datasets import load_sample_image

from builder.album import Facts, Photo
from builder.album.vectors import encode

SPACE = "5a" * 32
RunNode = Callable[..., str]


@cache
def photographs() -> dict[str, Image.Image]:
    """Name → photograph."""
    return {
        "astronaut": Image.fromarray(skimage.data.astronaut()),
        "cat": Image.fromarray(skimage.data.chelsea()),
        "china": Image.fromarray(load_sample_image("china.jpg")),
        "coffee": Image.fromarray(skimage.data.coffee()),
        "flower": Image.fromarray(load_sample_image("flower.jpg")),
    }


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Five photographs in three folders and five formats, with endings as cameras and people write them."""
    root = tmp_path / "album"
    (root / "2023" / "summer holiday").mkdir(parents=True)
    kinds = ("IMG_0001.JPG", "2023/cat.Png", "2023/summer holiday/china.webp", "2023/coffee.avif", "flower.GIF")
    for name, picture in zip(kinds, photographs().values(), strict=True):
        picture.save(root / name)
    return root


def made_up(count: int, dimensions: int = 64, *, thumbnails: bool = False) -> tuple[Facts, list[Photo]]:
    """Photos with seeded vectors and all there is to know of them."""
    rng = np.random.default_rng(count)
    codes, scales = encode(rng.standard_normal((count, dimensions)))
    photos = [
        Photo(
            name=f"{2000 + row // 50}/été {row // 10 % 5}/IMG_{row:04}.JPG",
            size_bytes=1000 + row,
            modified_s=1_600_000_000 + row,
            date_ms=1.6e12 + 1000 * row if row % 7 else float("nan"),
            codes=codes[row],
            scale=float(scales[row]),
            place=(47.5 - row / 10, -8.25 + row / 10) if row % 3 else None,
            fingerprint=(row * 0x9E3779B97F4A7C15) % 2**64 if row % 5 else 0,
            thumbnail=(lambda row=row: b"RIFF" + bytes([row % 256]) * row) if thumbnails and row % 2 else None,
        )
        for row in range(count)
    ]
    return Facts(space=SPACE, model="made up, für Menschen", dimensions=dimensions), photos


@pytest.fixture(scope="session")
def run_node(node: str) -> RunNode:
    """Run a script of this folder in Node with the page's own modules; what it prints."""

    def run(script: str, *arguments: str | Path) -> str:
        path = Path(__file__).with_name(script)
        done = subprocess.run([node, path, *arguments], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
