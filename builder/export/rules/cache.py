"""The key-value cache of a decoder: transformers.js makes the empty one from what the graph declares.

Names come from the config, shapes and type from the graph; of symbolic axes only `batch_size` has a value, every other
is 0. Source: addPastKeyValues, resolveCacheShape and getPastKeyValues in src/models/modeling_utils.js.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._graphs import GraphFacts, Port
from builder.export.rules._model import Graph, WebModel, as_int

PAST = re.compile(r"past_key_values\.(\d+)\.(key|value)")
BATCH = "batch_size"
HALF_DTYPES = frozenset({"fp16", "q4f16", "q2f16", "q1f16"})


def _decoders(model: WebModel) -> list[tuple[Graph, GraphFacts]]:
    return model.read_graphs(*model.cache_sessions) if model.cache_sessions else []


def _past(facts: GraphFacts) -> list[Port]:
    return [port for port in facts.inputs if PAST.fullmatch(port.name)]


def _first(model: WebModel, number: int) -> Iterator[tuple[Graph, list[Port], list[int | str | None]]]:
    """Each decoder with its cache inputs and what they have on one axis, each value once."""
    for graph, facts in _decoders(model):
        ports = [port for port in _past(facts) if port.rank == 4]
        yield graph, ports, list(dict.fromkeys(port.axis(number) for port in ports))


@rule(
    "TJS501",
    Severity.ERROR,
    "the first axis of the cache is called batch_size",
    fix="rename the axis to batch_size in the graph's inputs",
)
def batch_is_named(model: WebModel) -> Iterator[Hit]:
    for graph, _, values in _first(model, 0):
        for value in values:
            if value != BATCH and not isinstance(value, int):
                message = f"first axis is {value or 'nameless'!r}: it becomes 0, and GroupQueryAttention refuses"
                yield Hit(where=f"{graph.where} past_key_values", message=message)


@rule(
    "TJS502",
    Severity.ERROR,
    "heads and head size of the cache are numbers",
    fix="write the numbers into the graph's inputs: num_key_value_heads and head_dim",
)
def heads_are_numbers(model: WebModel) -> Iterator[Hit]:
    for axis, what in ((1, "number of heads"), (3, "head size")):
        for graph, _, values in _first(model, axis):
            for value in values:
                if not isinstance(value, int):
                    message = f"{what} is {value or 'nameless'!r}, not a number: it becomes 0"
                    yield Hit(where=f"{graph.where} past_key_values", message=message)


@rule(
    "TJS503",
    Severity.ERROR,
    "the length of the cache is an axis with a name",
    fix="give the third axis of past_key_values a name, as past_sequence_length",
)
def length_is_free(model: WebModel) -> Iterator[Hit]:
    for graph, _, values in _first(model, 2):
        for value in values:
            if isinstance(value, int) and value > 0:
                message = f"length is {value}: the first call is fed {value} positions of zeros as if they were text"
                yield Hit(where=f"{graph.where} past_key_values", message=message)


@rule(
    "TJS504",
    Severity.ERROR,
    "the cache has as many layers as the config says",
    fix="set num_hidden_layers to the number of layers in the graph",
)
def layers_agree(model: WebModel) -> Iterator[Hit]:
    for graph, facts in _decoders(model) if model.layers is not None else ():
        found = {int(match[1]) for port in facts.inputs if (match := PAST.fullmatch(port.name))}
        counted = set(range(model.layers or 0))
        if found != counted:
            message = f"has a cache for {len(found)} layers, the config counts {len(counted)}"
            fed = Severity.WARNING if found < counted else None  # more names than inputs: the rest are passed over
            yield Hit(where=f"{graph.where} past_key_values", message=message, severity=fed)


@rule(
    "TJS505",
    Severity.ERROR,
    "every past_key_values.N has its present.N",
    fix="export the cache's outputs under these names",
)
def past_has_present(model: WebModel) -> Iterator[Hit]:
    for graph, facts in _decoders(model):
        past = {port.name.removeprefix("past_key_values") for port in _past(facts)}
        present = {p.name.removeprefix("present") for p in facts.outputs if p.name.startswith("present.")}
        if missing := sorted(past - present):
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            yield Hit(where=graph.where, message=f"has no output present{missing[0]}{more}: the next step lacks it")
        if alone := sorted(present - past):
            yield Hit(where=graph.where, message=f"has present{alone[0]}, but no past_key_values{alone[0]}")


@rule(
    "TJS506",
    Severity.ERROR,
    "past and present have one type and one size of heads",
    fix="convert cache inputs and outputs together",
)
def past_fits_present(model: WebModel) -> Iterator[Hit]:
    for graph, facts in _decoders(model):
        for past in _past(facts):
            present = facts.output(past.name.replace("past_key_values", "present"))
            if present is None:
                continue
            heads = [(port.axis(1), port.axis(3)) for port in (past, present)]
            numbers = all(isinstance(value, int) for pair in heads for value in pair)
            if past.type != present.type or (numbers and heads[0] != heads[1]):
                yield Hit(where=f"{graph.where} {past.name}", message=f"differs from its output: {past} / {present}")


@rule(
    "TJS507",
    Severity.WARNING,
    "heads and head size of the cache are the config's",
    fix="set num_key_value_heads and head_dim to the graph's numbers",
)
def heads_agree(model: WebModel) -> Iterator[Hit]:
    config = model.text_config
    heads = as_int(config.get("num_attention_heads"))
    hidden = as_int(config.get("hidden_size"))
    stated = {
        1: as_int(config.get("num_key_value_heads")) or heads,
        3: as_int(config.get("head_dim")) or (hidden // heads if hidden and heads else None),
    }
    names = {1: "num_key_value_heads", 3: "head_dim"}
    for axis, number in stated.items():
        for graph, _, values in _first(model, axis) if number else ():
            for value in values:
                if isinstance(value, int) and value != number:
                    message = (
                        f"has {value} where the config's {names[axis]} is {number}; older transformers.js believe it"
                    )
                    yield Hit(where=f"{graph.where} past_key_values", message=message)


@rule(
    "TJS508",
    Severity.INFO,
    "the cache of a float16 decoder is float16",
    fix="convert the cache's inputs and outputs with the rest",
)
def half_caches_are_half(model: WebModel) -> Iterator[Hit]:
    for graph, facts in _decoders(model):
        types = {port.type for port in _past(facts)}
        if graph.dtype in HALF_DTYPES and types == {"float32"}:
            message = "is float32 in a float16 graph: twice the memory, and a cast at every step"
            yield Hit(where=f"{graph.where} past_key_values", message=message)
