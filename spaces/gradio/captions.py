"""Captions and answers: a picture and a question in, greedily chosen words out, token by token.

Start with `Captioner.answer`. Prompts are made as the page's worker makes them, by the model's own chat template; what
generation_config.json asks for and transformers.js does in the browser is done here as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np
from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pictures import pixel_values
from tokenizers import Tokenizer
from webmodel import CAPTIONER, ModelError, WebModel

BROKEN = "�"
TIDY = (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't")
TIDY_SHORT = (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")
"""What transformers.js replaces in a decoded text where a tokenizer leaves ``clean_up_tokenization_spaces`` on."""


class Generation(Extension):
    """Takes ``{% generation %}`` for its contents: training masks what stands in it, answering has no use for it."""

    tags: ClassVar[set[str]] = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


class QuestionError(Exception):
    """The question is refused; the message is for the visitor."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One question about a picture and what was answered."""

    question: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Written:
    """An answer as far as it is written: its text and the number of its tokens, an end mark not among them."""

    text: str
    tokens: int


class Captioner:
    """The three graphs of a vision-language model, and its prompts."""

    def __init__(self, model: WebModel) -> None:
        self.model = model
        self._graphs = {component: model.open(component) for component in CAPTIONER}
        self._pictures = model.read("preprocessor_config.json")
        self._settings = model.read("tokenizer_config.json")
        self._generation = model.read("generation_config.json")
        processor = model.read("processor_config.json")
        self.tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
        self.image_token = str(processor.get("image_token") or "<image>")
        self._takes_parts = str(processor.get("processor_class", "")).startswith(("Idefics3", "SmolVLM"))
        self._image_id = self.tokenizer.token_to_id(self.image_token)
        self._room = self._make_room(int(model.manifest["image"].get("tokens") or 0))
        self._template = self._read_template()
        self._ends = self._read_ends()
        self.context = int(model.manifest["context"]["text_tokens"])

    def prompt(self, question: str, history: Sequence[Turn] = ()) -> list[int]:
        """Token ids of a question, with room for one picture; it stands before the first turn of ``history``.

        Raises:
            QuestionError: a text holds the mark that stands for a picture.
        """
        turns = [*history, Turn(question=question, answer="")]
        if any(self.image_token in text for turn in turns for text in (turn.question, turn.answer)):
            raise QuestionError(f"The question must not hold {self.image_token}.")
        messages = []
        for number, turn in enumerate(turns):
            messages.append({"role": "user", "content": self._content(turn.question, is_first=number == 0)})
            if number < len(history):
                messages.append({"role": "assistant", "content": self._content(turn.answer, is_first=False)})
        tokens = {key: _text(self._settings.get(key)) for key in ("bos_token", "eos_token", "pad_token", "unk_token")}
        try:
            text = self._template.render(messages=messages, add_generation_prompt=True, **tokens)
        except (TemplateError, TypeError) as error:
            raise ModelError(f"the chat template cannot be used: {error}") from error
        text = text.replace(self.image_token, self._room, 1)
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def answer(
        self, pixels: np.ndarray, question: str, longest: int, history: Sequence[Turn] = ()
    ) -> Iterator[Written]:
        """Write the answer about a fitted picture, uint8 [H, W, 3]; yields it after each token, and once at the end.

        ``history`` is what was asked and answered about the same picture before, oldest first.

        Raises:
            QuestionError: the question, or all of it together, is longer than the model reads.
        """
        asked = self.prompt(question, history)
        if len(asked) >= self.context:
            what = "This conversation" if history else "The question"
            raise QuestionError(f"{what} is longer than this model can read.")
        made: list[int] = []
        shown = ""
        for token in self._tokens(self._prompt_rows(pixels, asked), asked, min(longest, self.context - len(asked))):
            made.append(token)
            text = self.decode(made)
            shown = text if not text.endswith(BROKEN) else shown  # half of a character: wait for the rest
            yield Written(text=shown, tokens=len(made))
        yield Written(text=self.decode(made).strip(), tokens=len(made))

    def decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(ids))
        if self._settings.get("clean_up_tokenization_spaces", True):
            for found, better in (*TIDY, *TIDY_SHORT):
                text = text.replace(found, better)
        return text

    def _content(self, text: str, *, is_first: bool) -> Any:
        """A message as the family's chat template takes it; the picture stands before the first one."""
        if self._takes_parts:
            return [*([{"type": "image"}] if is_first else []), {"type": "text", "text": text}]
        return f"{self.image_token}\n{text}" if is_first else text

    def _prompt_rows(self, pixels: np.ndarray, asked: Sequence[int]) -> np.ndarray:
        """The prompt's embeddings [1, rows, D] with the picture in its place."""
        vision = self._graphs["vision_encoder"]
        values = pixel_values(pixels, self._pictures)
        tiled = len(vision.inputs["pixel_values"].shape) == 5
        feeds = {"pixel_values": values[None, None] if tiled else values[None]}
        feeds["pixel_attention_mask"] = np.ones((1, 1, *values.shape[-2:]), np.bool_)
        ids = np.array([asked], np.int64)
        rows = np.array(self._graphs["embed_tokens"].run({"input_ids": ids})["inputs_embeds"])
        features = vision.run(feeds)["image_features"].reshape(-1, rows.shape[-1])
        at = ids[0] == self._image_id
        if int(at.sum()) != len(features):
            raise ModelError(f"the prompt has room for {int(at.sum())} image rows, the picture has {len(features)}")
        rows[0, at] = features
        return rows

    def _tokens(self, rows: np.ndarray, asked: Sequence[int], longest: int) -> Iterator[int]:
        """Greedy token ids on a key-value cache, without the end mark."""
        words, decoder = self._graphs["embed_tokens"], self._graphs["decoder_model_merged"]
        cache = decoder.empty_cache()
        seen = np.unique(np.asarray(asked, np.int64))
        penalty = float(self._generation.get("repetition_penalty") or 1.0)
        length = 0
        for _ in range(longest):
            new = rows.shape[1]
            length += new
            feeds = {
                "inputs_embeds": rows,
                "attention_mask": np.ones((1, length), np.int64),
                "position_ids": np.arange(length - new, length)[None],
                "num_logits_to_keep": np.array(1, np.int64),
            }
            got = decoder.run({**feeds, **cache})
            cache = {n.replace("present.", "past_key_values."): v for n, v in got.items() if n.startswith("present.")}
            logits = got["logits"][0, -1].astype(np.float32)
            if penalty != 1.0:
                logits[seen] = np.where(logits[seen] < 0, logits[seen] * penalty, logits[seen] / penalty)
            token = int(logits.argmax())
            if token in self._ends:
                return
            yield token
            seen = np.union1d(seen, [token])
            rows = words.run({"input_ids": np.array([[token]], np.int64)})["inputs_embeds"]

    def _make_room(self, count: int) -> str:
        if self._image_id is None:
            raise ModelError(f"the tokenizer of {self.model.name} lacks {self.image_token}")
        room = self.image_token * count
        around = "<fake_token_around_image>"
        return f"{around}<global-img>{room}{around}" if self._takes_parts else room

    def _read_template(self) -> Any:
        source = self._settings.get("chat_template")
        if not isinstance(source, str):
            raise ModelError(f"tokenizer_config.json of {self.model.name} has no chat template")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
        )
        environment.globals["raise_exception"] = _refuse
        try:
            return environment.from_string(source)
        except TemplateError as error:
            raise ModelError(f"the chat template cannot be used: {error}") from error

    def _read_ends(self) -> frozenset[int]:
        ends = self._generation.get("eos_token_id", self.model.read("config.json").get("eos_token_id"))
        named = self.tokenizer.token_to_id(_text(self._settings.get("eos_token")))
        listed = ends if isinstance(ends, list) else [ends]
        return frozenset(int(end) for end in (*listed, named) if end is not None)


def _text(token: Any) -> str:
    """A special token of tokenizer_config.json, which is a string, an object with ``content``, or null."""
    return str((token.get("content") if isinstance(token, dict) else token) or "")


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
