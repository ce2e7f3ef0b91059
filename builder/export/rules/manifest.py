"""manifest.json, where there is one: it must tell the truth about the folder."""

from __future__ import annotations

from collections.abc import Iterator

from builder.errors import ModelError
from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._model import WebModel
from builder.manifest import FILE_NAME, FileEntry, Manifest, file_sha256, read_manifest

VERIFY = "webgpu-demo verify DIR"


def _manifest(model: WebModel) -> Manifest | None:
    if not model.is_file(FILE_NAME):
        return None
    try:
        return read_manifest(model.root)
    except ModelError:
        return None  # TJS911 says so


def _listed(manifest: Manifest) -> dict[str, FileEntry]:
    return {entry.path: entry for entry in manifest.model_files()}


@rule("TJS911", Severity.ERROR, "manifest.json can be read", fix=VERIFY)
def manifest_is_readable(model: WebModel) -> Iterator[Hit]:
    if model.is_file(FILE_NAME):
        try:
            read_manifest(model.root)
        except ModelError as error:
            yield Hit(where=FILE_NAME, message=error.message, fix=error.hint)


@rule("TJS912", Severity.ERROR, "files are what manifest.json says", fix=VERIFY)
def files_are_as_listed(model: WebModel) -> Iterator[Hit]:
    manifest = _manifest(model)
    for path, entry in _listed(manifest).items() if manifest else ():
        if path not in model.entries:
            yield Hit(where=path, message="is listed in manifest.json and not there")
        elif model.is_file(path) and not model.is_lfs_pointer(path):
            if model.size_bytes(path) != entry.size_bytes:
                message = f"has {model.size_bytes(path)} bytes, manifest.json says {entry.size_bytes}"
                yield Hit(where=path, message=message)
            elif not model.is_stand_in(path) and file_sha256(model.root / path) != entry.sha256:
                yield Hit(where=path, message="has another SHA-256 than manifest.json says")


@rule("TJS913", Severity.WARNING, "manifest.json lists every ONNX file", fix=VERIFY)
def graphs_are_listed(model: WebModel) -> Iterator[Hit]:
    manifest = _manifest(model)
    listed = _listed(manifest) if manifest else {}
    for graph in model.graphs if manifest else ():
        if graph.where not in listed:
            yield Hit(where=graph.where, message="is not in manifest.json: pages and uploads pass it over")
