"""How many rows a picture takes: the processor writes so many image tokens, the vision encoder must give as many.

transformers.js refuses any difference: "Number of tokens and features do not match". Source: processing_llava.js,
processing_idefics3.js, default_merge_input_ids_with_features.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from builder.errors import VerifyError
from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._graphs import GraphFacts
from builder.export.rules._model import Graph, WebModel, as_int, as_object
from builder.export.rules._tables import IDEFICS_LIKE, LLAVA_LIKE
from builder.export.rules.processors import output_size

RUN_LIMIT_BYTES = 1_500_000_000
"""A larger vision encoder is not run to count its rows: it would take too much memory and time for a check."""


def picture_size(model: WebModel) -> tuple[int, int] | None:
    """Height and width of the picture that the vision encoder is fed, where it is always the same."""
    if model.model_type in IDEFICS_LIKE:
        edge = as_int(as_object(model.preprocessor.get("max_image_size")).get("longest_edge"))
        return (edge, edge) if edge else None
    height, width = output_size(model.preprocessor)
    return (height, width) if height and width else None


def expected_rows(model: WebModel) -> int | None:
    """Image tokens that the processor writes for one picture (one tile, for idefics3)."""
    config = model.json("processor_config.json")
    if model.model_type in IDEFICS_LIKE:
        return as_int(config.get("image_seq_len"))
    size, patch = picture_size(model), as_int(config.get("patch_size"))
    additional = as_int(config.get("num_additional_image_tokens"))
    if model.processor_class != "LlavaProcessor" or size is None or not patch or patch < 1 or additional is None:
        return None
    return (size[0] // patch) * (size[1] // patch) + additional


def declared_rows(facts: GraphFacts) -> int | None:
    """Rows per picture as the graph states them, or None."""
    port = facts.output("image_features")
    rows = port.axis(1) if port is not None and port.rank == 3 else None
    return rows if isinstance(rows, int) else None


def _judged(model: WebModel) -> list[tuple[Graph, GraphFacts]]:
    if model.model_type not in LLAVA_LIKE | IDEFICS_LIKE:
        return []
    return [(graph, facts) for graph, facts in model.read_graphs("vision_encoder") if facts.output("image_features")]


def _to_run(model: WebModel) -> Graph | None:
    """The smallest vision encoder, where none says how many rows it gives and it can be run."""
    judged = _judged(model)
    if not judged or expected_rows(model) is None or any(declared_rows(facts) for _, facts in judged):
        return None
    smallest, facts = min(judged, key=lambda pair: model.total_bytes(pair[0]))
    places = {weight.external.location for weight in facts.weights if weight.external}
    if any("/" in place or not model.is_file(f"onnx/{place}") or model.stand_ins for place in places):
        return None
    return smallest if model.total_bytes(smallest) <= RUN_LIMIT_BYTES else None


def _count_rows(model: WebModel, graph: Graph) -> int | None:
    """Run the vision encoder on one black picture and count the rows.

    Raises:
        VerifyError: onnxruntime cannot load or run it.
    """
    from builder.sessions import Session

    size = picture_size(model)
    if size is None:
        return None
    tiled = model.model_type in IDEFICS_LIKE
    feeds = {
        "pixel_values": np.zeros((1, 1, 3, *size) if tiled else (1, 3, *size), np.float32),
        "pixel_attention_mask": np.ones((1, 1, *size), np.bool_),
    }
    session = Session(graph.path)
    features = session.run({name: value for name, value in feeds.items() if name in session.inputs})["image_features"]
    return int(features.size // features.shape[-1]) if features.size else 0


@rule(
    "TJS711",
    Severity.ERROR,
    "the processor writes as many image tokens as the vision encoder gives rows",
    fix="set patch_size and num_additional_image_tokens (idefics3: image_seq_len) in processor_config.json",
)
def rows_agree(model: WebModel) -> Iterator[Hit]:
    expected = expected_rows(model)
    if expected is None:
        return
    for graph, facts in _judged(model):
        rows = declared_rows(facts)
        if rows is not None and rows != expected:
            message = f"makes the processor write {expected} image tokens; {graph.name} gives {rows} rows"
            yield Hit(where="processor_config.json", message=message)
    to_run = _to_run(model)
    if to_run is None:
        return
    try:
        rows = _count_rows(model, to_run)
    except VerifyError as error:
        message = f"its rows cannot be counted: {error.message}"[:300]
        yield Hit(where=to_run.where, message=message, fix="mend the graph", severity=Severity.WARNING)
        return
    if rows is not None and rows != expected:
        message = f"makes the processor write {expected} image tokens; {to_run.name}, run once, gave {rows} rows"
        yield Hit(where="processor_config.json", message=message)
