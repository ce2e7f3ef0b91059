"""Tokens and the chat template: how a message becomes the ids that the graphs know.

Source: src/tokenization_utils.js (only tokenizer_config.json is asked for a template), src/models/*/processing_*.js.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from builder.export.rules._contract import Hit, Severity, rule
from builder.export.rules._graphs import GraphFacts
from builder.export.rules._model import WebModel, as_int, as_object, as_text
from builder.export.rules._tables import GENERATING, IDEFICS_LIKE, IMAGE_TEXT, LLAVA_LIKE, tables

TEMPLATE = "tokenizer_config.json chat_template"
TEMPLATE_FILE = "chat_template.jinja"
IDEFICS_TOKENS = ("<image>", "<fake_token_around_image>")  # some checkpoints spell <global-img> in plain tokens
"""Written into src/models/idefics3/processing_idefics3.js."""
GENERATION_TAG = re.compile(r"{%-?\s*(end)?generation\s*-?%}")
"""A mark for training; Jinja knows it only where Transformers has registered it."""
UNUSED_ROWS = 100
"""Tables are padded to a round number of rows, so that a few more than there are tokens mean nothing."""


def token_id(model: WebModel, token: str) -> int | None:
    """The id of a token in tokenizer.json, or None."""
    tokenizer = model.json("tokenizer.json")
    added = tokenizer.get("added_tokens")
    for entry in added if isinstance(added, list) else ():
        if as_object(entry).get("content") == token:
            return as_int(entry.get("id"))
    return as_int(as_object(as_object(tokenizer.get("model")).get("vocab")).get(token))


def _largest_id(model: WebModel) -> int | None:
    tokenizer = model.json("tokenizer.json")
    added = tokenizer.get("added_tokens")
    vocab = as_object(tokenizer.get("model")).get("vocab")
    ids = [as_int(as_object(entry).get("id")) for entry in (added if isinstance(added, list) else ())]
    ids += [as_int(value) for value in as_object(vocab).values()]
    if isinstance(vocab, list):
        ids.append(len(vocab) - 1)
    return max((number for number in ids if number is not None), default=None)


def image_token(model: WebModel) -> str:
    """The text that the processor repeats for a picture, or "" where that is not known."""
    if model.model_type in IDEFICS_LIKE:
        return IDEFICS_TOKENS[0]
    if model.model_type in LLAVA_LIKE:
        return as_text(model.json("processor_config.json").get("image_token"))
    return ""


def templates(model: WebModel) -> dict[str, str]:
    """Name → text of the chat templates in tokenizer_config.json."""
    stated = model.tokenizer_config.get("chat_template")
    if isinstance(stated, list):
        entries = [as_object(entry) for entry in stated]
        return {as_text(entry.get("name")): as_text(entry.get("template")) for entry in entries}
    if isinstance(stated, dict):
        return {name: as_text(text) for name, text in stated.items()}
    return {"": stated} if isinstance(stated, str) else {}


def _is_template(stated: object) -> bool:
    """Tell whether transformers.js takes it for a template: a text, or texts by name."""
    if isinstance(stated, list):
        keys = ("name", "template")
        return bool(stated) and all(isinstance(as_object(entry).get(key), str) for entry in stated for key in keys)
    if isinstance(stated, dict):
        return bool(stated) and all(isinstance(text, str) for text in stated.values())
    return isinstance(stated, str)


def _has_odd_template(model: WebModel) -> bool:
    stated = model.tokenizer_config.get("chat_template")
    return stated is not None and not _is_template(stated)


def _reads_template_file(model: WebModel) -> bool:
    return model.processor_class in tables().processors_reading_chat_template_file


@rule(
    "TJS701",
    Severity.ERROR,
    "the chat template stands in tokenizer_config.json",
    fix='copy the text of the template into tokenizer_config.json as "chat_template"',
)
def template_is_inline(model: WebModel) -> Iterator[Hit]:
    if not model.tokenizer_config or templates(model) or _has_odd_template(model) or _reads_template_file(model):
        return
    for name in (TEMPLATE_FILE, "chat_template.json", "processor_config.json"):
        if (name == TEMPLATE_FILE and model.is_file(name)) or model.json(name).get("chat_template") is not None:
            yield Hit(where=name, message="holds the chat template, where transformers.js does not look for it")
            return


@rule(
    "TJS702",
    Severity.ERROR,
    "chat_template.jinja is there where the processor's class reads it",
    fix="write the template into chat_template.jinja",
)
def template_file_is_there(model: WebModel) -> Iterator[Hit]:
    if _reads_template_file(model) and TEMPLATE_FILE not in model.entries:
        yield Hit(where=TEMPLATE_FILE, message=f"is missing, and {model.processor_class} does not load without it")


@rule(
    "TJS703",
    Severity.WARNING,
    "a captioner has a chat template",
    fix='add "chat_template" to tokenizer_config.json',
)
def template_is_there(model: WebModel) -> Iterator[Hit]:
    if model.kind not in IMAGE_TEXT or model.model_type in ("florence2", "moondream1", "paligemma"):
        return
    elsewhere = any(template_is_inline(model)) or _reads_template_file(model) or _has_odd_template(model)
    if model.tokenizer_config and not templates(model) and not elsewhere:
        yield Hit(
            where=TEMPLATE, message="is missing: apply_chat_template throws, pages have to build prompts themselves"
        )


@rule("TJS704", Severity.ERROR, "the chat template is Jinja", fix="mend the template")
def template_is_jinja(model: WebModel) -> Iterator[Hit]:
    from jinja2 import Environment, TemplateSyntaxError

    environment = Environment(extensions=["jinja2.ext.loopcontrols"])
    for name, text in templates(model).items():
        try:
            environment.parse(GENERATION_TAG.sub("", text))
        except (TemplateSyntaxError, RecursionError) as error:
            where = f"{TEMPLATE} {name}".rstrip()
            yield Hit(where=where, message=f"line {getattr(error, 'lineno', '?')}: {error}")


@rule(
    "TJS705",
    Severity.INFO,
    "the chat template places the picture",
    fix="pages have to write the image token into the message, as in '<image>What is this?'",
)
def template_places_picture(model: WebModel) -> Iterator[Hit]:
    token = image_token(model)
    texts = [text for text in templates(model).values() if text]
    if token and texts and not any(token in text or "image" in text for text in texts):
        yield Hit(where=TEMPLATE, message=f"never writes {token!r}: messages must hold it")


@rule(
    "TJS706",
    Severity.ERROR,
    "the image token is one token, and the config has its id",
    fix="set image_token_index (or image_token_id) to the token's id in tokenizer.json",
)
def image_token_has_its_id(model: WebModel) -> Iterator[Hit]:
    token = image_token(model)
    if not token or not model.json("tokenizer.json"):
        return
    found = token_id(model, token)
    if found is None:
        fix = f"add {token!r} to added_tokens of tokenizer.json"
        yield Hit(where="tokenizer.json", message=f"has no token {token!r}: it is cut into pieces", fix=fix)
        return
    for key in ("image_token_index", "image_token_id"):
        stated = as_int(model.config.get(key))
        if stated is not None:
            if stated != found:
                yield Hit(
                    where=f"config.json {key}", message=f"is {stated}, but {token!r} is {found} in tokenizer.json"
                )
            return


@rule(
    "TJS707",
    Severity.ERROR,
    "tokens that the processor writes are in the tokenizer",
    fix="add the token to added_tokens of tokenizer.json",
)
def written_tokens_are_known(model: WebModel) -> Iterator[Hit]:
    if model.model_type in IDEFICS_LIKE and model.json("tokenizer.json"):
        for token in IDEFICS_TOKENS[1:]:
            if token_id(model, token) is None:
                yield Hit(where="tokenizer.json", message=f"has no token {token!r}, which is written around pictures")


def _table_rows(facts: GraphFacts) -> int | None:
    """Rows of the smallest table that input_ids look into, or None where there is none."""
    rows = (weight.dims[0] for weight in facts.weights if weight.name in facts.token_tables and weight.dims)
    return min(rows, default=None)


@rule(
    "TJS708",
    Severity.ERROR,
    "every token has a row in the embedding table",
    fix="take tokenizer.json and the graphs from one checkpoint",
)
def tokens_have_rows(model: WebModel) -> Iterator[Hit]:
    largest = _largest_id(model)
    for graph, facts in model.read_graphs() if largest is not None else ():
        rows = _table_rows(facts)
        if rows is not None and largest is not None and largest >= rows:
            yield Hit(
                where="tokenizer.json", message=f"has token {largest}; the table in {graph.name} ends at {rows - 1}"
            )


@rule(
    "TJS709",
    Severity.ERROR,
    "tokenizer.json is a fast tokenizer's",
    fix="save the fast tokenizer: AutoTokenizer.from_pretrained(CHECKPOINT).save_pretrained(DIR)",
)
def tokenizer_is_fast(model: WebModel) -> Iterator[Hit]:
    name = "tokenizer.json"
    tokenizer = model.json(name)
    if not model.is_file(name) or model.is_lfs_pointer(name) or name in model.problems:
        return
    held = tokenizer.get("model")
    if not isinstance(held, Mapping):
        yield Hit(where=name, message='has no "model": it is not the format of the tokenizers library')
    elif not isinstance(held.get("vocab"), Mapping | list) or not held["vocab"]:
        yield Hit(where=name, message='has no tokens: "model" holds no "vocab"')


def _known_ids(model: WebModel) -> int | None:
    """How many tokens the decoder chooses from, or, where it does not say so, how many have an embedding."""
    widths = [port.axis(-1) for _, facts in model.read_graphs() if (port := facts.output("logits")) is not None]
    counts = [width for width in widths if isinstance(width, int) and width > 0]
    rows = [_table_rows(facts) for _, facts in model.read_graphs()]
    return min(counts or [count for count in rows if count is not None], default=None)


@rule(
    "TJS710",
    Severity.WARNING,
    "eos_token_id is a token that the model can answer with",
    fix="set eos_token_id to the id of the end token in tokenizer.json",
)
def end_can_be_reached(model: WebModel) -> Iterator[Hit]:
    known = _known_ids(model) if model.kind in GENERATING else None
    holders = {"generation_config.json": model.json("generation_config.json"), "config.json": model.config}
    if model.text_config is not model.config:
        holders["config.json text_config"] = model.text_config
    for where, holder in holders.items() if known is not None else ():
        stated = holder.get("eos_token_id")
        for value in stated if isinstance(stated, list) else [] if stated is None else [stated]:
            number = as_int(value)
            if known is not None and (number is None or not 0 <= number < known):
                message = f"is {value!r}; the model knows the tokens 0 to {known - 1}"
                yield Hit(where=f"{where} eos_token_id", message=f"{message}: answers never end early")


@rule(
    "TJS712",
    Severity.ERROR,
    "the chat template is a text, or a list of texts with names",
    fix='write "chat_template" as one string',
)
def template_is_text(model: WebModel) -> Iterator[Hit]:
    if model.kind in IMAGE_TEXT and _has_odd_template(model):
        stated = model.tokenizer_config["chat_template"]
        yield Hit(where=TEMPLATE, message=f"is {str(stated)[:40]!r} ({type(stated).__name__}), which is no template")


@rule(
    "TJS713",
    Severity.WARNING,
    "the tokenizer knows most of the tokens that have an embedding",
    fix="take tokenizer.json and the graphs from one checkpoint",
)
def rows_have_tokens(model: WebModel) -> Iterator[Hit]:
    largest = _largest_id(model)
    for graph, facts in model.read_sessions() if largest is not None else ():
        rows = _table_rows(facts)
        if rows is None or largest is None:
            continue
        count = largest + 1
        if count < rows / 2 and rows - count > UNUSED_ROWS:
            message = f"ends at token {largest}, the table in {graph.name} has {rows} rows: it is another model's"
            yield Hit(where="tokenizer.json", message=message)
