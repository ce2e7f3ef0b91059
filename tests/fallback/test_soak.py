"""Five hundred requests of five hundred visitors leave the app as large as it was."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.fallback.conftest import App, as_bytes, inline

WARM_UP = 150
REQUESTS = 500
ALLOWED_BYTES = 15_000_000
"""Of pictures alone 500 requests carry more than twice as much: an app that kept them would show it."""


def noisy(seed: int) -> bytes:
    """A picture that does not shrink: its PNG has about 80 KB."""
    return as_bytes(Image.fromarray(np.random.default_rng(seed).integers(0, 256, (160, 160, 3), np.uint8)))


def settled(app: App) -> int:
    """The least of some measurements of the memory: what is freed in a moment does not count."""
    sizes = []
    for _ in range(5):
        app.is_alive()
        sizes.append(app.process.memory_info().rss)
    return min(sizes)


def grown(app: App, ask: Callable[[int], dict[str, Any]]) -> int:
    for number in range(WARM_UP):
        assert "data" in ask(number)
    before = settled(app)
    sent = 0
    for number in range(WARM_UP, WARM_UP + REQUESTS):
        answer = ask(number)
        assert "data" in answer, answer
        sent += len(base64.b64encode(noisy(number)))
    assert sent > 2 * ALLOWED_BYTES
    return settled(app) - before


@pytest.mark.soak
def test_captioner_stays_as_large_as_it_was_over_five_hundred_requests(caption_app: App) -> None:
    more = grown(
        caption_app, lambda number: caption_app.raw(1, [inline(noisy(number)), "Describe the picture.", 6, []])
    )
    print(f"captioner: {more / 1e6:+.1f} MB over {REQUESTS} requests, {settled(caption_app) / 1e6:.0f} MB in all")
    assert more < ALLOWED_BYTES
    assert not [path for path in caption_app.uploads.rglob("*") if path.is_file()]


@pytest.mark.soak
def test_dual_encoder_stays_as_large_as_it_was_over_five_hundred_requests(search_app: App) -> None:
    more = grown(search_app, lambda number: search_app.raw(1, [inline(noisy(number))]))
    print(f"dual encoder: {more / 1e6:+.1f} MB over {REQUESTS} requests, {settled(search_app) / 1e6:.0f} MB in all")
    assert more < ALLOWED_BYTES
