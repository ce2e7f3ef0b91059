"""ONNX files: readable, of a version that onnxruntime-web opens, with the inputs and outputs that are fed and read."""

from __future__ import annotations

from collections.abc import Iterator

from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._graphs import GraphFacts, UnreadableGraphError
from builder.export.rules._model import PARSE_LIMIT_BYTES, Graph, WebModel
from builder.export.rules._signatures import TYPES, Signature, signature
from builder.export.rules._tables import MAX_IR_VERSION, MAX_OPSET, OPERATOR_DOMAINS

FLOAT_FEATURES = frozenset({"pixel_values", "inputs_embeds", "image_features"})


def _judged(model: WebModel) -> Iterator[tuple[Graph, GraphFacts, Signature]]:
    for graph, facts in model.read_graphs():
        contract = signature(model, graph.session or "")
        if contract is not None:
            yield graph, facts, contract


@rule("TJS401", Severity.ERROR, "ONNX files can be read", fix="export or download the file again")
def graphs_are_readable(model: WebModel) -> Iterator[Hit]:
    for graph in model.graphs:
        read = model.reading(graph)
        if isinstance(read, UnreadableGraphError) and graph.size_bytes <= PARSE_LIMIT_BYTES:
            yield Hit(where=graph.where, message=str(read))


@rule("TJS402", Severity.ERROR, "every node's inputs are made by something", fix="export the graph again")
def graphs_are_whole(model: WebModel) -> Iterator[Hit]:
    for graph, facts in model.read_graphs():
        if facts.loose:
            more = f" and {len(facts.loose) - 1} more" if len(facts.loose) > 1 else ""
            yield Hit(where=graph.where, message=f"{facts.loose[0]!r}{more} is read, but nothing makes it")


@rule(
    "TJS403",
    Severity.ERROR,
    f"opset is at most {MAX_OPSET} and IR version at most {MAX_IR_VERSION}",
    fix="export with a lower opset, or convert with onnx.version_converter",
)
def versions_are_supported(model: WebModel) -> Iterator[Hit]:
    for graph, facts in model.read_graphs():
        if facts.opset > MAX_OPSET or facts.ir_version > MAX_IR_VERSION:
            message = f"has opset {facts.opset} and IR version {facts.ir_version}, newer than onnxruntime-web opens"
            yield Hit(where=graph.where, message=message)


@rule(
    "TJS404",
    Severity.ERROR,
    "operators are in onnxruntime-web's sets",
    fix="export without custom operators, and do not save a graph that onnxruntime optimised for one CPU",
)
def operators_are_known(model: WebModel) -> Iterator[Hit]:
    for graph, facts in model.read_graphs():
        if unknown := sorted(facts.domains - OPERATOR_DOMAINS):
            yield Hit(where=graph.where, message=f"uses operators of {', '.join(unknown)}, which onnxruntime-web lacks")


@rule("TJS405", Severity.ERROR, "a session takes what it is there for", fix="export with this input name")
def inputs_are_there(model: WebModel) -> Iterator[Hit]:
    for graph, facts, contract in _judged(model):
        for name in contract.inputs:
            if facts.input(name) is None:
                held = ", ".join(port.name for port in facts.inputs if not port.name.startswith("past"))
                yield Hit(where=graph.where, message=f"has no input {name!r} (it has {held or 'none'})")


@rule("TJS406", Severity.ERROR, "a session gives what transformers.js reads", fix="export with this output name")
def outputs_are_there(model: WebModel) -> Iterator[Hit]:
    for graph, facts, contract in _judged(model):
        for name in contract.outputs:
            if facts.output(name) is None:
                held = ", ".join(port.name for port in facts.outputs if not port.name.startswith("present"))
                yield Hit(where=graph.where, message=f"has no output {name!r} (it has {held or 'none'})")


@rule(
    "TJS407",
    Severity.ERROR,
    "a session takes nothing that transformers.js does not feed",
    fix="export without this input, or make it a constant",
)
def inputs_are_fed(model: WebModel) -> Iterator[Hit]:
    for graph, facts, contract in _judged(model):
        misnamed = any(facts.input(name) is None for name in contract.inputs)  # TJS405 says which
        for port in () if misnamed else facts.inputs:
            if contract.fed is not None and port.name not in contract.fed and not port.name.startswith("past"):
                yield Hit(where=f"{graph.where} {port.name}", message="is never fed: 'Missing the following inputs'")


@rule("TJS408", Severity.ERROR, "inputs have the type that JavaScript feeds", fix="export the input with this type")
def types_agree(model: WebModel) -> Iterator[Hit]:
    for graph, facts in model.read_graphs():
        for port in facts.inputs:
            expected = TYPES.get(port.name, port.type)
            if port.type != expected and not (port.name in FLOAT_FEATURES and port.type == "float16"):
                yield Hit(where=f"{graph.where} {port.name}", message=f"is {port.type}; {expected} is fed")


@rule(
    "TJS409",
    Severity.ERROR,
    "inputs and outputs have the rank that JavaScript feeds and reads",
    fix="export the input or output with this many axes",
)
def ranks_agree(model: WebModel) -> Iterator[Hit]:
    for graph, facts, contract in _judged(model):
        for port in (*facts.inputs, *facts.outputs):
            rank = contract.ranks.get(port.name)
            if rank is not None and port.rank is not None and port.rank != rank:
                yield Hit(where=f"{graph.where} {port.name}", message=f"has {port.rank} axes, not {rank} ({port})")


@rule(
    "TJS410",
    Severity.ERROR,
    "pictures, features and embeddings are float32 in every dtype",
    fix="keep inputs and outputs when converting: convert_float_to_float16(..., keep_io_types=[...])",
)
def features_are_float32(model: WebModel) -> Iterator[Hit]:
    for graph, facts in model.read_graphs():
        for port in (*facts.inputs, *facts.outputs):
            if port.name in FLOAT_FEATURES and port.type == "float16":
                message = "is float16; JavaScript feeds float32 and copies rows of features as float32"
                yield Hit(where=f"{graph.where} {port.name}", message=message)


def _width(model: WebModel, session: str, name: str) -> dict[str, int]:
    found = {}
    for graph, facts in model.read_graphs(session):
        port = facts.output(name) or facts.input(name)
        width = port.axis(-1) if port else None
        if isinstance(width, int):
            found[graph.where] = width
    return found


@rule(
    "TJS411",
    Severity.ERROR,
    "text embeddings, picture features and decoder are equally wide",
    fix="export all components from one checkpoint, with the projector in the vision encoder",
)
def widths_agree(model: WebModel) -> Iterator[Hit]:
    if model.kind != "ImageTextToText":
        return
    wanted = _width(model, "decoder_model_merged", "inputs_embeds")
    for width in sorted(set(wanted.values()))[:1]:
        others = {
            **_width(model, "embed_tokens", "inputs_embeds"),
            **_width(model, "vision_encoder", "image_features"),
            **wanted,
        }
        for where, found in others.items():
            if found != width:
                yield Hit(where=where, message=f"is {found} wide, the decoder's inputs_embeds {width}")


@rule(
    "TJS412",
    Severity.WARNING,
    "a decoder gives the logits of the last position only, or can be asked to",
    fix="declare an int64 scalar input num_logits_to_keep, or cut the head to the last position",
)
def logits_are_few(model: WebModel) -> Iterator[Hit]:
    for graph, facts in model.read_graphs(*model.cache_sessions) if model.cache_sessions else ():
        logits = facts.output("logits")
        if logits and facts.input("num_logits_to_keep") is None and logits.axis(1) != 1 and logits.rank == 3:
            message = f"gives logits for the whole prompt ({logits}): hundreds of megabytes where prompts are long"
            yield Hit(where=graph.where, message=message)


@rule(
    "TJS413",
    Severity.ERROR,
    "texts may have any length where they are generated",
    fix="export with this axis dynamic",
)
def lengths_are_free(model: WebModel) -> Iterator[Hit]:
    if model.kind != "ImageTextToText":
        return
    for graph, facts in model.read_graphs("embed_tokens", "decoder_model_merged"):
        for name in ("input_ids", "inputs_embeds", "attention_mask"):
            port = facts.input(name)
            if port is not None and isinstance(port.axis(1), int):
                message = f"has a fixed length of {port.axis(1)}: prompts and single tokens are both fed"
                yield Hit(where=f"{graph.where} {name}", message=message)


@rule(
    "TJS414",
    Severity.INFO,
    "texts of a contrastive model may have any length",
    fix="export with the sequence axis dynamic, or tell pages to pad: {padding: 'max_length', max_length: ...}",
)
def texts_are_padded(model: WebModel) -> Iterator[Hit]:
    for graph, facts in model.read_sessions("text_model", "model") if model.model_type == "clip" else ():
        port = facts.input("input_ids")
        if port is not None and isinstance(port.axis(1), int):
            message = f"has a fixed length of {port.axis(1)}: the zero-shot pipeline pads only to the longest text"
            yield Hit(where=f"{graph.where} input_ids", message=message)


@rule(
    "TJS415",
    Severity.INFO,
    "sessions take any number of pictures or texts",
    fix="export with the first axis dynamic",
)
def batches_are_free(model: WebModel) -> Iterator[Hit]:
    for graph, facts in model.read_sessions():
        for port in facts.inputs:
            if port.name in ("pixel_values", "input_ids", "inputs_embeds") and isinstance(port.axis(0), int):
                yield Hit(
                    where=f"{graph.where} {port.name}", message=f"takes exactly {port.axis(0)} at a time ({port})"
                )
