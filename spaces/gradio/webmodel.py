"""A web model, as the page has it: its folder, or its files fetched from a repository at one commit.

Start with `find_model`. manifest.json says which files there are and which dtype each component has on the "wasm" tier,
the one made for processors; no other file is fetched or opened.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnxruntime as ort

MANIFEST = "manifest.json"
FORMAT = 1
TIER = "wasm"
CAPTIONER = ("vision_encoder", "embed_tokens", "decoder_model_merged")
SEARCHER = ("vision_model", "text_model")
"""A dual encoder's combined `model` repeats its towers and is left where it is."""
COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
CHUNK_BYTES = 1 << 20


class ModelError(Exception):
    """The model is missing, incomplete or not what its manifest says; the message says what to do."""


class Component:
    """One ONNX file in onnxruntime, on the processor."""

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base class but Exception
            raise ModelError(f"{path.name} does not load: {error}") from error
        self.inputs = {i.name: i for i in self._session.get_inputs()}
        self._outputs = [o.name for o in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name; feeds that the graph does not take are left out."""
        known = {name: value for name, value in feeds.items() if name in self.inputs}
        return dict(zip(self._outputs, self._session.run(None, known), strict=True))

    def empty_cache(self) -> dict[str, np.ndarray]:
        """A key-value cache of length 0, in the type that the graph declares."""
        types = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        return {
            name: np.zeros((1, int(i.shape[1]), 0, int(i.shape[3])), types[i.type])
            for name, i in self.inputs.items()
            if name.startswith("past_key_values.")
        }


@dataclass(frozen=True, kw_only=True)
class WebModel:
    """A folder whose manifest has been read and whose files are there."""

    folder: Path
    manifest: Mapping[str, Any]
    revision: str | None = None

    @property
    def name(self) -> str:
        return str(self.manifest["name"])

    @property
    def is_captioner(self) -> bool:
        return bool(self.manifest["task"] == "image-text-to-text")

    @cached_property
    def dtypes(self) -> dict[str, str]:
        """component → dtype, of the components that are run here."""
        return choose_dtypes(self.manifest)

    def open(self, component: str) -> Component:
        return Component(self.folder / self.manifest["components"][component][self.dtypes[component]]["path"])

    def read(self, name: str) -> dict[str, Any]:
        """A JSON object of the folder, or {} where there is no such file."""
        path = self.folder / name
        if not path.is_file():
            return {}
        value = json.loads(path.read_text(encoding="utf-8"))
        return value if isinstance(value, dict) else {}


def find_model(environment: Mapping[str, str]) -> WebModel:
    """Take the folder MODEL_DIR, or fetch MODEL_REPO at the commit MODEL_REVISION.

    Raises:
        ModelError: neither is given, or the model is not complete.
    """
    if folder := environment.get("MODEL_DIR"):
        model = WebModel(folder=Path(folder).resolve(), manifest=_read_manifest(Path(folder) / MANIFEST))
        wrong = [why for entry in wanted_files(model.manifest) if (why := _look(model.folder, entry))]
        if wrong:
            raise ModelError(f"{folder} is not complete: {'; '.join(wrong)}")
        return model
    repository, revision = environment.get("MODEL_REPO", ""), environment.get("MODEL_REVISION", "")
    if not repository:
        raise ModelError("there is no model: set MODEL_DIR to a web model folder, or MODEL_REPO and MODEL_REVISION")
    if not REPOSITORY.fullmatch(repository):
        raise ModelError(f"MODEL_REPO is no owner/name: {repository!r}")
    if not COMMIT.fullmatch(revision):
        raise ModelError(f"MODEL_REVISION must be a commit of 40 hexadecimal digits, not {revision!r}")
    return _fetch(repository, revision, environment)


def choose_dtypes(manifest: Mapping[str, Any]) -> dict[str, str]:
    """component → dtype: what the manifest gives processors, else fp32.

    Raises:
        ModelError: a component is missing in both.
    """
    tier = manifest.get("tiers", {}).get(TIER, {})
    dtypes = {}
    for component in CAPTIONER if manifest["task"] == "image-text-to-text" else SEARCHER:
        variants = manifest["components"].get(component, {})
        dtype = next((d for d in (tier.get(component), "fp32") if d in variants), None)
        if dtype is None:
            raise ModelError(f"{manifest['name']} has no {component} for a processor: run `webgpu-demo verify` on it")
        dtypes[component] = dtype
    return dtypes


def wanted_files(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Entries (path, size_bytes, sha256) of the files that are opened here.

    Raises:
        ModelError: one of them would lie outside the folder.
    """
    entries = [entry for entry in manifest["files"] if entry["path"].endswith(".json")]
    for component, dtype in choose_dtypes(manifest).items():
        variant = manifest["components"][component][dtype]
        entries += [variant, *variant.get("data", ())]
    for entry in entries:
        path = entry["path"]
        if not path or path.startswith("/") or "\\" in path or ".." in PurePosixPath(path).parts:
            raise ModelError(f"{manifest['name']} lists a file outside itself, {path!r}: do not use this model")
    return entries


def _fetch(repository: str, revision: str, environment: Mapping[str, str]) -> WebModel:
    """Download what is not there yet; every file is compared with the manifest's checksum."""
    from huggingface_hub import hf_hub_download

    home = environment.get("MODEL_CACHE") or Path.home() / ".cache" / "webgpu-demo-fallback"
    folder = Path(home) / f"{repository.replace('/', '--')}--{revision}"

    def download(path: str) -> Path:
        # Into a folder, not into the cache of links: onnxruntime refuses external data behind a link.
        try:
            return Path(hf_hub_download(repository, path, revision=revision, local_dir=folder))
        except Exception as error:  # the Hub's, the network's and the disk's errors share no other base class
            raise ModelError(f"{path} of {repository} cannot be fetched: {_first_line(error)}") from error

    manifest = _read_manifest(download(MANIFEST))
    for entry in wanted_files(manifest):
        path = folder / entry["path"]
        if _look(folder, entry) or _sha256(path) != entry["sha256"]:
            path.unlink(missing_ok=True)
            if _sha256(download(entry["path"])) != entry["sha256"]:
                raise ModelError(f"{entry['path']} of {repository} is not what its manifest says")
    return WebModel(folder=folder, manifest=manifest, revision=revision)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found = manifest["format"], manifest["name"], manifest["task"], manifest["components"], manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is no manifest of a web model: {error}") from error
    if found[0] != FORMAT:
        raise ModelError(f"{path} has format {found[0]!r}, this app reads {FORMAT}: export the model again")
    return dict(manifest)


def _look(folder: Path, entry: Mapping[str, Any]) -> str:
    path = folder / entry["path"]
    if not path.is_file():
        return f"{entry['path']} is missing"
    size = path.stat().st_size
    return f"{entry['path']} has {size} bytes instead of {entry['size_bytes']}" if size != entry["size_bytes"] else ""


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
