"""Which files a session loads: names, dtypes, and what transformers.js takes when nothing is said.

Source: src/models/session_config.js, selectDtype in src/utils/dtypes.js.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from builder.errors import did_you_mean
from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._model import WebModel, split_graph_name
from builder.export.rules._tables import TOWERS, tables

DTYPE = "config.json transformers.js_config.dtype"


def default_dtypes(model: WebModel, device_default: str = "fp32") -> dict[str, str]:
    """session → dtype that loads when the page names none: the config's, else the device's."""
    stated = model.js_config.get("dtype")
    known = tables().dtype_suffixes
    chosen = {s: stated.get(s) if isinstance(stated, Mapping) else stated for s in model.sessions}
    return {s: dtype if isinstance(dtype, str) and dtype in known else device_default for s, dtype in chosen.items()}


def shared_dtypes(model: WebModel) -> list[str]:
    """The dtypes that every session has."""
    held = [set(model.of_session(session)) for session in model.sessions]
    common = set.intersection(*held) if held else set()
    return [dtype for dtype in tables().dtype_suffixes if dtype in common]


def _states_defaults(model: WebModel) -> bool:
    stated = model.config.get("transformers.js_config")
    return bool(model.js_config.get("dtype")) or (stated is not None and not isinstance(stated, Mapping))


def _incomplete(model: WebModel) -> bool:
    return not model.sessions or any(not model.of_session(session) for session in model.sessions)


@rule(
    "TJS201",
    Severity.ERROR,
    "every session of the model's class has a file in onnx/",
    fix="export the missing component",
)
def sessions_have_files(model: WebModel) -> Iterator[Hit]:
    for session in model.sessions:
        if not any(split_graph_name(name, model.sessions)[0] == session for name in model.graph_names):
            yield Hit(where=f"onnx/{session}.onnx", message=f"is missing, in every dtype: {model.model_class} loads it")


@rule(
    "TJS202",
    Severity.WARNING,
    "an ONNX file's name is a session and the suffix of a dtype",
    fix="rename the file, or delete it",
)
def files_are_loadable(model: WebModel) -> Iterator[Hit]:
    for graph in model.graphs:
        if graph.session is None and model.sessions:
            names = [f"{s}{suffix}.onnx" for s in model.sessions for suffix in tables().dtype_suffixes.values()]
            hint = did_you_mean(graph.name, names)
            yield Hit(
                where=graph.where,
                message=f"no session of {model.model_class} loads a file of this name",
                fix=f"rename or delete it; {hint}" if len(hint) < 80 else None,
            )


@rule(
    "TJS203",
    Severity.WARNING,
    "some one dtype is there for every session, or the config names one for each",
    fix="add the missing dtype, or name the dtypes in transformers.js_config.dtype",
)
def dtypes_are_consistent(model: WebModel) -> Iterator[Hit]:
    if _incomplete(model) or shared_dtypes(model) or isinstance(model.js_config.get("dtype"), Mapping):
        return
    held = "; ".join(f"{session}: {', '.join(model.of_session(session))}" for session in model.sessions)
    yield Hit(
        where="onnx/", message=f"no dtype is there for all sessions, so a page has to know them one by one ({held})"
    )


@rule(
    "TJS204",
    Severity.WARNING,
    "the model loads on WebGPU when a page names no dtype",
    fix="name the dtypes in transformers.js_config.dtype, or add the fp32 files",
)
def default_is_there(model: WebModel) -> Iterator[Hit]:
    if _incomplete(model) or not shared_dtypes(model) or _states_defaults(model):
        return
    for session, dtype in default_dtypes(model).items():
        if dtype not in model.of_session(session):
            yield Hit(where=f"onnx/{session}.onnx", message="is missing: it is what loads when a page names no dtype")


@rule(
    "TJS205",
    Severity.INFO,
    "the model loads on WASM when a page names no dtype",
    fix="name the dtypes in transformers.js_config.dtype, or add q8 files (_quantized)",
)
def wasm_default_is_there(model: WebModel) -> Iterator[Hit]:
    if _incomplete(model) or not shared_dtypes(model) or _states_defaults(model):
        return
    missing = [s for s in model.sessions if "q8" not in model.of_session(s)]
    if missing and not any(default_is_there(model)):
        message = f"without WebGPU, q8 loads when a page names no dtype; it is missing for {', '.join(missing)}"
        yield Hit(where="onnx/", message=message)


@rule(
    "TJS206",
    Severity.WARNING,
    "transformers.js_config.dtype names dtypes that exist",
    fix=f"use one of {', '.join(tables().dtype_suffixes)}",
)
def dtype_names_are_known(model: WebModel) -> Iterator[Hit]:
    stated = model.js_config.get("dtype")
    values = stated if isinstance(stated, Mapping) else {} if stated is None else {"": stated}
    for key, dtype in values.items():
        if not isinstance(dtype, str) or dtype not in {*tables().dtype_suffixes, "auto"}:
            place = f"{DTYPE}.{key}" if key else DTYPE
            yield Hit(where=place, message=f"{dtype!r} is no dtype; it is passed over and the device's default loads")


@rule(
    "TJS207",
    Severity.WARNING,
    "transformers.js_config.dtype names sessions by their files",
    fix="use the names of the files in onnx/ without suffix",
)
def dtype_keys_are_sessions(model: WebModel) -> Iterator[Hit]:
    stated = model.js_config.get("dtype")
    if not isinstance(stated, Mapping) or not model.sessions:
        return
    allowed = {*model.sessions, *TOWERS.get(model.model_type, ()), "model"}
    for key in stated:
        if key not in allowed:
            yield Hit(
                where=f"{DTYPE}.{key}",
                message=f"is no session of {model.model_class}, so it says nothing",
                fix=did_you_mean(key, model.sessions),
            )


@rule(
    "TJS208",
    Severity.ERROR,
    "the files that transformers.js_config.dtype names are there",
    fix="name a dtype that is there, or add the file",
)
def named_files_are_there(model: WebModel) -> Iterator[Hit]:
    stated = model.js_config.get("dtype")
    for session in model.sessions:
        dtype = stated.get(session) if isinstance(stated, Mapping) else stated
        held = model.of_session(session)
        if isinstance(dtype, str) and dtype in tables().dtype_suffixes and held and dtype not in held:
            name = f"{session}{tables().dtype_suffixes[dtype]}.onnx"
            yield Hit(
                where=f"{DTYPE}.{session}", message=f"is {dtype!r}, but onnx/{name} is missing ({', '.join(held)})"
            )


@rule(
    "TJS209",
    Severity.ERROR,
    "a default for every session, where there is one for some",
    fix="name a dtype for each session",
)
def defaults_are_complete(model: WebModel) -> Iterator[Hit]:
    stated = model.js_config.get("dtype")
    if not isinstance(stated, Mapping):
        return
    for session in model.sessions:
        held = model.of_session(session)
        if session not in stated and held and "fp32" not in held:
            message = f"says nothing of {session}, whose fp32 file is missing: loading without a dtype fails"
            yield Hit(where=DTYPE, message=message)


@rule(
    "TJS210",
    Severity.INFO,
    "towers of a contrastive model come with the model of both",
    fix="export the combined graph as onnx/model.onnx",
)
def both_towers_are_joined(model: WebModel) -> Iterator[Hit]:
    towers = TOWERS.get(model.model_type, ())
    if "vision_model" in towers and model.sessions == towers and not _incomplete(model):
        message = "is missing: the zero-shot-image-classification pipeline and AutoModel load both towers in one graph"
        yield Hit(where="onnx/model.onnx", message=message)
