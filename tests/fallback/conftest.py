"""The app in a process of its own, once for each of the two embedded models, and its modules in this one."""

from __future__ import annotations

import base64
import io
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from gradio_client import Client
from PIL import Image

from builder.embedded import model_dir
from builder.embedded.painting import render
from builder.embedded.samples import video_scenes
from builder.embedded.scenes import DESCRIBE
from builder.fallback import running_app
from builder.manifest import read_manifest
from builder.tasks import pixel_values, read_tokenizer, write_answers

SPACE = Path(__file__).parents[2] / "spaces" / "gradio"
PIXELS = 320


@dataclass(frozen=True, kw_only=True)
class App:
    """A running app; ``uploads`` is where it keeps what is sent to it."""

    address: str
    process: psutil.Process
    uploads: Path

    @cached_property
    def client(self) -> Client:
        return Client(self.address, verbose=False)

    def endpoints(self) -> set[str]:
        info = httpx.get(f"{self.address}gradio_api/info", timeout=60).json()
        assert info["unnamed_endpoints"] == {}
        return set(info["named_endpoints"])

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return httpx.post(f"{self.address}gradio_api/{path}", json=body, timeout=60, **options)

    def raw(self, number: int, data: list[Any]) -> dict[str, Any]:
        """Call an endpoint by hand: gradio_client would open the paths among ``data`` itself, and upload them."""
        session = secrets.token_hex(6)
        joined = self.post("queue/join", {"data": data, "fn_index": number, "session_hash": session})
        if joined.status_code != 200:
            return {"error": joined.json()["detail"], "status": joined.status_code}
        address = f"{self.address}gradio_api/queue/data"
        with httpx.stream("GET", address, params={"session_hash": session}, timeout=60) as events:
            for line in events.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if message.get("msg") == "process_completed":
                    return dict(message["output"])
        raise AssertionError("the stream ended without an answer")

    def is_alive(self) -> bool:
        return bool(self.post("run/health", {"data": []}).json()["data"][0]["status"] == "ok")


def running(name: str) -> Iterator[App]:
    with running_app(model_dir(name), port=0) as (address, process):
        found = psutil.Process(process.pid)
        yield App(address=address, process=found, uploads=Path(found.environ()["GRADIO_TEMP_DIR"]))


@pytest.fixture(scope="package")
def caption_app() -> Iterator[App]:
    yield from running("scenes-vlm")


@pytest.fixture(scope="package")
def search_app() -> Iterator[App]:
    yield from running("scenes-clip")


@pytest.fixture(scope="session")
def pictures() -> list[Image.Image]:
    """Scenes that the embedded models know."""
    return [render(scene, PIXELS) for scene in video_scenes()[:4]]


@pytest.fixture(scope="session")
def captions(pictures: list[Image.Image]) -> list[str]:
    """What the same graphs, run by builder/tasks.py, write about the pictures."""
    return answers(pictures, DESCRIBE)


def answers(pictures: list[Image.Image], question: str) -> list[str]:
    model = model_dir("scenes-vlm")
    manifest = read_manifest(model)
    plain = dict.fromkeys(manifest.components, "fp32")
    written = write_answers(
        model, manifest, plain, pixel_values(model, manifest, pictures), [[question]] * len(pictures)
    )
    tokenizer = read_tokenizer(model)
    return [tokenizer.decode(row[0]).strip() for row in written]


def as_bytes(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def inline(data: bytes, kind: str = "image/png") -> dict[str, Any]:
    """A picture inside the request, as the static page sends it."""
    url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return {"path": None, "url": url, "meta": {"_type": "gradio.FileData"}}


def stored(path: str, **more: Any) -> dict[str, Any]:
    """A picture that is said to lie somewhere."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


@pytest.fixture(scope="session")
def space_module() -> Iterator[Callable[[str], Any]]:
    """Import a module of the app, which stands beside it and not in a package, under its own name."""
    import importlib

    names = {path.stem for path in SPACE.glob("*.py")}
    sys.path.insert(0, str(SPACE))
    yield importlib.import_module
    sys.path.remove(str(SPACE))
    for name in names:
        sys.modules.pop(name, None)
