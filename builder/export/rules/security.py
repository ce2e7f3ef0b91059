"""What has no place in a folder that others load: code, and files that run code when they are opened."""

from __future__ import annotations

from collections.abc import Iterator

from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._model import WebModel
from builder.export.rules.files import READ_BY_TRANSFORMERS_JS

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""A zip archive, as torch.save writes it, and the pickle protocols 2 to 5."""
OTHER_WEIGHTS = (".safetensors", ".gguf", ".h5", ".msgpack", ".tflite")


@rule("TJS901", Severity.ERROR, "there are no pickles", fix="delete the file; transformers.js does not read it")
def no_pickles(model: WebModel) -> Iterator[Hit]:
    for entry in model.entries:
        if entry.lower().endswith(PICKLES):
            yield Hit(where=entry, message="is a pickle: opening it runs code")
        elif entry.lower().endswith(".bin") and model.is_file(entry):
            with (model.root / entry).open("rb") as file:
                pickled = file.read(4).startswith(PICKLE_STARTS)
            message = "is a pickle: opening it runs code" if pickled else "may be taken for a pickle by its name"
            yield Hit(where=entry, message=message, severity=None if pickled else Severity.WARNING)


@rule("TJS902", Severity.WARNING, "there is no Python", fix="delete the file; a browser has no use for it")
def no_python(model: WebModel) -> Iterator[Hit]:
    for entry in model.entries:
        if entry.endswith((".py", ".pyc", ".so", ".dll")):
            yield Hit(where=entry, message="is code: with trust_remote_code, Python libraries run what they find here")


@rule("TJS903", Severity.WARNING, "no config asks for remote code", fix="delete auto_map from the file")
def no_remote_code(model: WebModel) -> Iterator[Hit]:
    for name in READ_BY_TRANSFORMERS_JS:
        if "auto_map" in model.json(name):
            yield Hit(where=f"{name} auto_map", message="names Python files to run instead of a library's own classes")


@rule(
    "TJS904",
    Severity.WARNING,
    "weights are there once, as ONNX",
    fix="delete the file; the checkpoint's own repository is the place for it",
)
def no_other_weights(model: WebModel) -> Iterator[Hit]:
    for entry in model.entries:
        if entry.lower().endswith(OTHER_WEIGHTS):
            yield Hit(where=entry, message="holds weights that no browser loads")
