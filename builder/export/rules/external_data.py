"""Weights beside the graphs: names, places, and how many files the config promises.

transformers.js hands onnxruntime the files `<file>.onnx_data`, `<file>.onnx_data_1`, ... by exactly these names, and
as many as the config says. Source: src/utils/model-loader.js.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._graphs import External
from builder.export.rules._model import Graph, WebModel, as_object
from builder.export.rules._tables import tables

KEY = "config.json transformers.js_config.use_external_data_format"
DATA_NAME = re.compile(r".*\.onnx[_.]data(_\d+)?|.*\.data")


def _externals(model: WebModel) -> Iterator[tuple[Graph, str, External]]:
    for graph, facts in model.read_graphs():
        for weight in facts.weights:
            if weight.external is not None:
                yield graph, weight.name, weight.external


def _places(model: WebModel) -> Iterator[tuple[Graph, str]]:
    """Each graph with each of its locations, once."""
    yield from dict.fromkeys((graph, external.location) for graph, _, external in _externals(model))


def _is_plain(location: str) -> bool:
    return bool(location) and not any(mark in location for mark in "/\\:\0") and location not in (".", "..")


def _is_chunk(graph: Graph, location: str) -> bool:
    return re.fullmatch(re.escape(graph.name) + r"_data(_[1-9]\d*)?", location) is not None


@rule(
    "TJS301",
    Severity.ERROR,
    "external data lie in the folder of their graph",
    fix="save the graph again with a plain file name as location",
)
def locations_stay_inside(model: WebModel) -> Iterator[Hit]:
    for graph, location in _places(model):
        if not _is_plain(location):
            yield Hit(where=graph.where, message=f"its weights lie at {location!r}, which is no plain file name")


@rule(
    "TJS302",
    Severity.ERROR,
    "files of external data are named <file>.onnx_data, <file>.onnx_data_1, ...",
    fix="rename the file, and write the new name into the graph's locations",
)
def locations_are_chunks(model: WebModel) -> Iterator[Hit]:
    for graph, location in _places(model):
        if _is_plain(location) and not _is_chunk(graph, location):
            message = f"its weights lie in {location!r}; transformers.js fetches {graph.name + '_data'!r}"
            yield Hit(where=graph.where, message=message)


@rule(
    "TJS303",
    Severity.ERROR,
    "files of external data are there",
    fix="copy the file beside its graph",
)
def chunks_are_there(model: WebModel) -> Iterator[Hit]:
    for graph, location in _places(model):
        path = f"onnx/{location}"
        if _is_plain(location) and not model.is_file(path) and path not in model.entries:
            yield Hit(where=path, message=f"is missing: weights of {graph.name} lie in it")


@rule(
    "TJS304",
    Severity.ERROR,
    "external data hold what the graph looks for in them",
    fix="copy the file again: it is cut off, or belongs to another export",
)
def ranges_fit(model: WebModel) -> Iterator[Hit]:
    told: set[str] = set()
    for graph, name, external in _externals(model):
        path = f"onnx/{external.location}"
        if not _is_plain(external.location) or not model.is_file(path) or model.is_lfs_pointer(path) or path in told:
            continue
        size, length = model.size_bytes(path), external.length or 0
        if external.offset < 0 or length < 0 or external.offset + length > size:
            told.add(path)
            message = f"has {size} bytes; {name} of {graph.name} is at {external.offset} and takes {length}"
            yield Hit(where=path, message=message)


def _promised(model: WebModel, graph: Graph) -> int:
    """How many files transformers.js fetches for a graph: on every device, or where only some say it, on those."""
    devices = as_object(model.js_config.get("device_config")).values()
    holders = [model.js_config, *(as_object(device) for device in devices)]
    return max(_count(holder.get("use_external_data_format"), graph) for holder in holders)


def _count(value: object, graph: Graph) -> int:
    """The number for one graph (resolveExternalDataFormat)."""
    if isinstance(value, Mapping):
        value = value.get(graph.name, value.get(graph.session))
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)  # as JavaScript's unary plus
    return int(value) if isinstance(value, (bool, int)) else 0


@rule(
    "TJS305",
    Severity.ERROR,
    "use_external_data_format says how many files of external data each graph has",
    fix='state it by full file names, as in {"decoder_model_merged_q4.onnx": 2}',
)
def counts_agree(model: WebModel) -> Iterator[Hit]:
    for graph, facts in model.read_graphs():
        places = {weight.external.location for weight in facts.weights if weight.external}
        chunks = {place for place in places if _is_chunk(graph, place)}
        promised = _promised(model, graph)
        if graph.session is None or places != chunks or promised > tables().max_external_chunks:
            continue  # other rules are about these
        if promised == len(chunks):
            continue
        what = f"{promised} file{'' if promised == 1 else 's'}" if promised else "none"
        held = f"its weights lie in {len(chunks)}" if chunks else "its weights lie in the graph itself"
        yield Hit(where=KEY, message=f"makes transformers.js fetch {what} for {graph.name}; {held}")


@rule(
    "TJS306",
    Severity.ERROR,
    f"a graph has no more than {tables().max_external_chunks} files of external data",
    fix="save the graph with larger files of external data",
)
def chunks_are_few(model: WebModel) -> Iterator[Hit]:
    for graph in model.graphs:
        if _promised(model, graph) > tables().max_external_chunks:
            yield Hit(where=KEY, message=f"{_promised(model, graph)} files for {graph.name} are more than it accepts")


@rule(
    "TJS307",
    Severity.WARNING,
    "every file of external data belongs to a graph",
    fix="delete the file",
)
def chunks_are_used(model: WebModel) -> Iterator[Hit]:
    used = {f"onnx/{location}" for _, location in _places(model)}
    broken = any(model.facts(graph) is None for graph in model.graphs)
    for entry in model.entries:
        if DATA_NAME.fullmatch(entry) and entry not in used and model.is_file(entry) and not broken:
            yield Hit(where=entry, message="no graph has weights in it: it is published for nothing")


@rule(
    "TJS308",
    Severity.WARNING,
    "keys of use_external_data_format are ONNX files or sessions",
    fix="use the full name of the file in onnx/",
)
def keys_are_files(model: WebModel) -> Iterator[Hit]:
    value = model.js_config.get("use_external_data_format")
    if value is not None and not isinstance(value, (Mapping, bool, int)):
        yield Hit(where=KEY, message=f"is {value!r}: neither true, a number, nor an object")
    known = {*model.graph_names, *model.sessions}
    for key, count in value.items() if isinstance(value, Mapping) else ():
        if not isinstance(count, (bool, int)):
            yield Hit(where=f"{KEY}.{key}", message=f"is {count!r}, no number of files")
        elif key not in known and model.sessions:
            yield Hit(where=f"{KEY}.{key}", message="is neither an ONNX file nor a session")
