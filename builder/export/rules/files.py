"""Files that must be there, readable, and real. Source: the list of what transformers.js asks for, src/utils/hub.js."""

from __future__ import annotations

from collections.abc import Iterator

from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._model import LFS_HEADER, WebModel
from builder.export.rules._tables import IMAGE_TEXT, tables

READ_BY_TRANSFORMERS_JS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
)


def _takes(model: WebModel, name: str) -> bool:
    return any(facts.input(name) is not None for _, facts in model.read_graphs())


@rule("TJS001", Severity.ERROR, "config.json is there", fix="copy config.json of the checkpoint into the folder")
def config_is_there(model: WebModel) -> Iterator[Hit]:
    if "config.json" not in model.entries:
        yield Hit(where="config.json", message="is missing: transformers.js cannot tell what kind of model this is")


@rule(
    "TJS002",
    Severity.ERROR,
    "a model that reads text has tokenizer.json and tokenizer_config.json",
    fix="save the fast tokenizer: AutoTokenizer.from_pretrained(CHECKPOINT).save_pretrained(DIR)",
)
def tokenizer_is_there(model: WebModel) -> Iterator[Hit]:
    if model.kind in IMAGE_TEXT or _takes(model, "input_ids"):
        for name in ("tokenizer.json", "tokenizer_config.json"):
            if name not in model.entries:
                yield Hit(where=name, message="is missing: AutoTokenizer loads both files or nothing")


@rule(
    "TJS003",
    Severity.ERROR,
    "a model that reads pictures has preprocessor_config.json",
    fix="write preprocessor_config.json; newer Transformers keep its contents in processor_config.json",
)
def preprocessor_is_there(model: WebModel) -> Iterator[Hit]:
    name = "preprocessor_config.json"
    if name not in model.entries and (model.kind in IMAGE_TEXT or _takes(model, "pixel_values")):
        yield Hit(where=name, message="is missing: AutoProcessor and AutoImageProcessor read it first")


@rule(
    "TJS004",
    Severity.ERROR,
    "processor_config.json is there where the processor's class reads it",
    fix="copy processor_config.json of the checkpoint into the folder",
)
def processor_config_is_there(model: WebModel) -> Iterator[Hit]:
    name = "processor_config.json"
    if name not in model.entries and model.processor_class in tables().processors_reading_processor_config:
        yield Hit(where=name, message=f"is missing, and {model.processor_class} does not load without it")


@rule(
    "TJS005",
    Severity.ERROR,
    "JSON files are UTF-8 and hold one object",
    fix="mend the file in an editor, or save it again as UTF-8",
)
def json_is_readable(model: WebModel) -> Iterator[Hit]:
    for name in READ_BY_TRANSFORMERS_JS:
        model.json(name)
        if name in model.problems:
            yield Hit(where=name, message=model.problems[name])


@rule(
    "TJS006",
    Severity.ERROR,
    "nothing in the folder is a link",
    fix="replace the link by a copy of what it points to",
)
def nothing_is_a_link(model: WebModel) -> Iterator[Hit]:
    for entry in model.entries:
        if (model.root / entry).is_symlink():
            yield Hit(where=entry, message="is a symbolic link: uploads and static hosts drop it or leave the folder")


@rule(
    "TJS007",
    Severity.ERROR,
    "large files are there themselves, not their Git LFS pointers",
    fix="git lfs pull",
)
def nothing_is_a_pointer(model: WebModel) -> Iterator[Hit]:
    for entry in model.entries:
        if model.is_lfs_pointer(entry):
            start = LFS_HEADER.decode()
            yield Hit(where=entry, message=f"is a Git LFS pointer ({start!r}), not the file: clone with git-lfs")


@rule(
    "TJS008",
    Severity.WARNING,
    "ONNX files lie directly in onnx/",
    fix="move the file into onnx/, or pass `subfolder` to from_pretrained",
)
def graphs_lie_in_onnx(model: WebModel) -> Iterator[Hit]:
    for entry in model.entries:
        if entry.endswith(".onnx") and (not entry.startswith("onnx/") or entry.count("/") > 1):
            yield Hit(where=entry, message="lies outside onnx/, where transformers.js looks unless told otherwise")
