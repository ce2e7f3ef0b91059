"""The page that a tutorial would have: camera on the main thread, transformers.js in a worker, nothing else.

What it leaves out is what a page here adds: a plan of what to load for a device, checksums, downloads that go on,
offline use, recovery, languages, words for screen readers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from builder.bench.peers._contract import Peer
from builder.errors import BenchError
from builder.folders import new_folder
from builder.paths import browser_runtime

PEER = Peer(
    name="minimal-page", summary="a page of 100 lines with transformers.js, and a web model made as published ones are"
)
PAGE = Path(__file__).with_name("minimal_page")
RUNTIME = ("transformers.min.js", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
"""What transformers.js takes by itself, for WebGPU and WASM alike; only a page that asks gets the smaller build."""


@dataclass(frozen=True, kw_only=True)
class MinimalSite:
    """A folder to serve, and what stands behind the question mark of its address."""

    path: Path
    query: str


def make_site(
    model: Path, name: str, dtypes: Mapping[str, str], prompt: str, tokens: int, work: Path, *, device: str = "wasm"
) -> MinimalSite:
    """Put the page beside a captioner's web model, under the name ``name``.

    Raises:
        BenchError: the folder cannot be written.
    """
    site = work / "sites" / f"{PEER.name}-{name}"
    with new_folder(site, error=BenchError) as part:
        shutil.copytree(PAGE, part, dirs_exist_ok=True)
        shutil.copytree(model, part / "models" / name)
        (part / "runtime").mkdir()
        for file in RUNTIME:
            shutil.copy(browser_runtime() / file, part / "runtime")
    asked = {"model": name, "dtype": json.dumps(dict(dtypes)), "prompt": prompt, "tokens": str(tokens)}
    return MinimalSite(path=site, query=urlencode({**asked, "device": device}))
