"""Chat templates: where a checkpoint keeps its own, and one that takes a page's messages as well.

A page sends the content of a message as one string, ``<image>`` and the question in it; most templates of LLaVA-like
checkpoints take a list of parts only: transformers.js then stops with "Cannot apply filter "selectattr" to type:
StringValue", and Jinja in Python loses the text without a word. Start with `web_template`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.errors import CheckpointError
from builder.families._contract import Json, read_json, unreadable

if TYPE_CHECKING:
    from tokenizers import Tokenizer

QUESTION = "What is this?"
CHAT_ML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LONGEST_REASON = 200
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")
TAKE_STRINGS = (
    "{%- set chat = namespace(messages=[]) -%}"
    "{%- for message in messages -%}"
    "{%- if message['content'] is string -%}"
    "{%- set turn = namespace(parts=[], text='') -%}"
    "{%- for piece in message['content'].split(IMAGE) -%}"
    "{%- if not loop.first -%}{%- set turn.parts = turn.parts + [{'type': 'image'}] -%}{%- endif -%}"
    "{%- if not loop.first and piece.startswith('\\n') -%}{%- set turn.text = turn.text + piece[1:] -%}"
    "{%- else -%}{%- set turn.text = turn.text + piece -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- set turn.parts = turn.parts + [{'type': 'text', 'text': turn.text}] -%}"
    "{%- set chat.messages = chat.messages + [{'role': message['role'], 'content': turn.parts}] -%}"
    "{%- else -%}{%- set chat.messages = chat.messages + [message] -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- set messages = chat.messages -%}"
)
"""Turns strings into lists of parts, each image token, with a line break behind it, into a part of its own."""


def find_chat_template(source: Path, settings: Json) -> Any:
    """The chat template, wherever this generation of Transformers put it; transformers.js reads only the first place.

    A processor's template (chat_template.jinja, chat_template.json) is that of pictures and text, and comes before
    the tokenizer's own, which may know only text.
    """
    jinja = source / "chat_template.jinja"
    if jinja.is_file():
        try:
            return jinja.read_text(encoding="utf-8")
        except OSError as error:
            raise unreadable(jinja, error) from error
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{jinja} is not UTF-8: {error}", hint="save it as UTF-8") from error
    processor = read_json(source / "chat_template.json") or read_json(source / "processor_config.json")
    return processor.get("chat_template") or settings.get("chat_template")


def web_template(checkpoint: Path, tokenizer: Tokenizer, *, image_token: str, fallback: str) -> str:
    """The checkpoint's chat template, or ``fallback``, made to take strings and to begin as the tokenizer's texts do.

    Pages tokenize prompts without special tokens; what the tokenizer itself puts in front of a text (Llama's ``<s>``)
    therefore has to stand in the prompt, as it does where Transformers tokenizes it.

    Raises:
        CheckpointError: the template cannot be rendered, or loses the question or the picture.
    """
    settings = read_json(checkpoint / "tokenizer_config.json")
    template = _default(find_chat_template(checkpoint, settings)) or fallback
    tokens = {key: text for key in SPECIAL_TOKENS if (text := _text(settings.get(key)))}
    parts = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    problems: list[str] = []
    as_string, rendered = (
        _render(template, content, tokens, problems) for content in (f"{image_token}\n{QUESTION}", parts)
    )
    prelude = ""
    if not _complete(as_string, image_token):
        if not _complete(rendered, image_token):
            raise CheckpointError(
                f"{checkpoint} has a chat template that loses the question or {image_token}: "
                f"it makes {(rendered or as_string)!r} of a picture and {QUESTION!r}"
                + (f" ({problems[-1]})" if problems else ""),
                hint="put the template of the processor that the model was trained with into chat_template.jinja",
            )
        prelude, as_string = TAKE_STRINGS.replace("IMAGE", _literal(image_token)), rendered
    start = _start(tokenizer)
    if not as_string.startswith(start):
        prelude += "{{- " + _literal(start) + " }}"
    elif prelude:
        prelude += "{{- '' }}"  # a tag at the end would swallow the template's own first line break
    return prelude + template


def _default(template: Any) -> str | None:
    """The template that is meant where a checkpoint has several by name."""
    if isinstance(template, list):
        template = next((entry.get("template") for entry in template if entry.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def _text(token: Any) -> str:
    """A special token of tokenizer_config.json, which is a string or an object with its properties."""
    return str(token.get("content") or "") if isinstance(token, dict) else str(token or "")


def _render(template: str, content: object, tokens: Json, problems: list[str]) -> str:
    """The prompt of one message, or "" where the template does not take its style, and why among ``problems``."""
    from transformers.utils.chat_template_utils import render_jinja_template

    messages = [{"role": "user", "content": content}]
    try:
        rendered: Any = render_jinja_template(
            conversations=[messages], chat_template=template, add_generation_prompt=True, **tokens
        )
    except Exception as error:  # a template is code of others: {{ 1/0 }} is a ZeroDivisionError
        problems.append(f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST_REASON])
        return ""
    return str(rendered[0][0])


def _complete(prompt: str, image_token: str) -> bool:
    return QUESTION in prompt and prompt.count(image_token) == 1


def _start(tokenizer: Tokenizer) -> str:
    """What the tokenizer puts in front of every text."""
    whole, bare = (tokenizer.encode(QUESTION, add_special_tokens=special).tokens for special in (True, False))
    return "".join(whole[: whole.index(bare[0])]) if bare and bare[0] in whole else ""


def _literal(text: str) -> str:
    """Text as a string of Jinja."""
    return json.dumps(text, ensure_ascii=False)
