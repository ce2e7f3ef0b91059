"""A folder that `docker build` makes a container of: the app, its requirements, the model, a Dockerfile.

Start with `write_container`. Of the model only those files go in that the app opens: the dtypes of the tier for
processors, or fp32 where there is none.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from builder.errors import FallbackError, ModelError
from builder.folders import check_room, new_folder
from builder.manifest import FILE_NAME, FileEntry, Manifest, file_sha256, read_manifest
from builder.paths import spaces

TIER = "wasm"
FIRST_LINE = "# Written by `webgpu-demo fallback`"
PORT = 7860
"""Where Docker Spaces expect an app, too."""
DOCKERFILE = """\
{first_line}: the server behind a page, with the model {name}.
#
#   docker build -t {tag} .
#   docker run --rm -p {port}:{port} {tag}

FROM python:3.12-slim

RUN useradd --create-home --uid 1000 app
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY app/ .
COPY model/ model/

ENV MODEL_DIR=/app/model
ENV GRADIO_SERVER_NAME=0.0.0.0
ENV GRADIO_SERVER_PORT={port}
ENV GRADIO_TEMP_DIR=/tmp/uploads
ENV GRADIO_ANALYTICS_ENABLED=False

USER app
EXPOSE {port}
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s CMD ["python", "/app/healthy.py"]
CMD ["python", "/app/app.py"]
"""
HEALTHY = """\
\"\"\"Exit with 0 where the app answers.\"\"\"

import os
import urllib.request

address = f"http://127.0.0.1:{os.environ['GRADIO_SERVER_PORT']}/gradio_api/run/health"
request = urllib.request.Request(address, data=b'{"data": []}', headers={"content-type": "application/json"})
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=8)
"""


@dataclass(frozen=True, kw_only=True)
class Container:
    """A written folder, and the two commands that build and run it."""

    path: Path
    model: str
    size_bytes: int
    commands: tuple[str, ...]


def write_container(model_dir: Path, out: Path) -> Container:
    """Write the folder ``out`` whole or not at all; one that this wrote before is replaced.

    Raises:
        ModelError: the folder is no web model, or damaged.
        FallbackError: ``out`` is something else already, or cannot be written.
    """
    manifest = read_manifest(model_dir)
    if out.exists() and not _is_ours(out):
        raise FallbackError(f"{out} exists and is no container's folder", hint="give a folder that is not there yet")
    entries = served_files(manifest)
    _check_there(model_dir, entries)
    check_room(out, sum(entry.size_bytes for entry in entries), error=FallbackError)
    tag = re.sub(r"[^a-z0-9._-]+", "-", manifest.name.lower()).strip("-._") + "-fallback"
    program = spaces() / "gradio"
    with new_folder(out, error=FallbackError) as folder:
        (folder / "app").mkdir()
        for source in sorted(program.glob("*.py")):
            shutil.copyfile(source, folder / "app" / source.name)
        (folder / "app" / "healthy.py").write_text(HEALTHY, encoding="utf-8")
        shutil.copyfile(program / "requirements.txt", folder / "requirements.txt")
        for entry in entries:
            _copy(model_dir, entry, folder / "model")
        shutil.copyfile(model_dir / FILE_NAME, folder / "model" / FILE_NAME)
        text = DOCKERFILE.format(first_line=FIRST_LINE, name=_one_line(manifest.name), tag=tag, port=PORT)
        (folder / "Dockerfile").write_text(text, encoding="utf-8")
    return Container(
        path=out,
        model=manifest.name,
        size_bytes=sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        commands=(f"docker build -t {tag} {out}", f"docker run --rm -p {PORT}:{PORT} {tag}"),
    )


def served_files(manifest: Manifest) -> list[FileEntry]:
    """The model's files that the app opens.

    Raises:
        ModelError: a component has neither the tier's dtype nor fp32.
    """
    captioner = ("vision_encoder", "embed_tokens", "decoder_model_merged")
    needed = captioner if manifest.task == "image-text-to-text" else ("vision_model", "text_model")
    tier = manifest.tiers.get(TIER, {})
    entries = [entry for entry in manifest.files if entry.path.endswith(".json")]
    for component in needed:
        variants = manifest.components.get(component, {})
        dtype = next((d for d in (tier.get(component), "fp32") if d in variants), None)
        if dtype is None:
            raise ModelError(f"{manifest.name} has no {component} for a processor", hint="run `webgpu-demo verify`")
        variant = variants[dtype]
        entries.append(FileEntry(path=variant.path, size_bytes=variant.size_bytes, sha256=variant.sha256))
        entries += variant.data
    return entries


def _check_there(model_dir: Path, entries: list[FileEntry]) -> None:
    missing = [entry.path for entry in entries if not (model_dir / entry.path).is_file()]
    if missing:
        raise ModelError(f"{model_dir} lacks {', '.join(missing)}", hint="export or download the model again")


def _copy(model_dir: Path, entry: FileEntry, target: Path) -> None:
    path = target / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model_dir / entry.path, path)
    if file_sha256(path) != entry.sha256:
        raise ModelError(
            f"{model_dir / entry.path} is corrupt: its checksum is not the recorded one",
            hint="export or download the model again",
        )


def _is_ours(out: Path) -> bool:
    """Whether a folder may be replaced: it is empty, or has a Dockerfile of this command."""
    if not out.is_dir():
        return False
    if not any(out.iterdir()):
        return True
    path = out / "Dockerfile"
    return path.is_file() and path.read_text(encoding="utf-8", errors="replace").startswith(FIRST_LINE)


def _one_line(text: str) -> str:
    return " ".join(text.split())
