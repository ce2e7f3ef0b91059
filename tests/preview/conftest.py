"""Sites to preview: small ones made by hand, with a manifest that lists their files as `build` writes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest

from builder.manifest import file_entry
from builder.policy import site_policy
from builder.preview import running_server
from builder.versions import GENERATOR

PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta http-equiv="Content-Security-Policy" content="{policy}">
  <title>A &amp; B</title>
</head>
<body>page</body>
</html>
"""
SCRIPT = "export const answer = 42; // " + "x" * 4000

MakeSite = Callable[..., Path]
Serve = Callable[..., httpx.Client]


def write_site(root: Path, *, connect: tuple[str, ...] = (), files: dict[str, str | bytes] | None = None) -> Path:
    """Write a site and its manifest; ``connect`` are the origins that its page may ask."""
    policy = site_policy(connect)
    texts: dict[str, str | bytes] = {
        "index.html": PAGE.format(policy=policy.replace("'", "&#39;")),
        "app/main.js": SCRIPT,
        "app/pages/p/worker.js": "postMessage('gpu' in navigator);",
        "models/m/onnx/model.onnx": bytes(range(256)) * 4096,
        **(files or {}),
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    record: dict[str, Any] = {"format": 1, "page": "p", "generator": GENERATOR, "policy": policy}
    record["files"] = [asdict(file_entry(root, name)) for name in sorted(texts)]
    (root / "manifest.json").write_text(json.dumps(record))
    return root


@pytest.fixture
def make_site(tmp_path: Path) -> MakeSite:
    def make(name: str = "site", **options: Any) -> Path:
        return write_site(tmp_path / name, **options)

    return make


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a folder until the end of the test; returns a client of the server."""
    with ExitStack() as stack:

        def start(directory: Path, **options: Any) -> httpx.Client:
            address = stack.enter_context(running_server(directory, **options))
            return stack.enter_context(httpx.Client(base_url=address, trust_env=False, timeout=30))

        yield start
