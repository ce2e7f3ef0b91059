"""What a web model is for, done in Python: captions and embeddings from any of its dtypes, with onnxruntime on the CPU.

Pictures and prompts are made as the pages make them: manifest.json says how a picture is fitted, the tokenizer's chat
template how a question is put. One graph at a time is in memory where that is possible. Start with `write_answers` and
`embed`. builder/evaluation.py compares what they give.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from builder.errors import ModelError, VerifyError
from builder.manifest import DECODER, SUFFIXES, ImageFacts, Manifest
from builder.parity import Arrays, decode, normalise
from builder.sessions import Session, usable_cores

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
LONGEST_ANSWER = 48
"""Tokens after which answers are no longer compared: each is a run of the whole decoder."""


def fit_picture(picture: Image.Image, facts: ImageFacts) -> np.ndarray:
    """Bring a picture to the model's size, as `ImageFacts` says: uint8 [height, width, 3]."""
    picture = ImageOps.exif_transpose(picture).convert("RGB")
    target, kind = (facts.width, facts.height), FILTERS[facts.resample]
    if facts.fit == "crop":
        # The page and Transformers cut fractions off (picture.js).
        shorter, longer = min(picture.size), max(target)
        size = (longer * picture.width // shorter, longer * picture.height // shorter)
        left, top = (size[0] - target[0]) // 2, (size[1] - target[1]) // 2
        # Only what is kept is computed: of a sliver of 2 × 4,000 pixels the whole would be two million pixels high.
        across, down = picture.width / size[0], picture.height / size[1]
        box = (left * across, top * down, (left + target[0]) * across, (top + target[1]) * down)
        fitted = picture.resize(target, kind, box=box)
    elif facts.fit == "letterbox":
        side = max(picture.size)
        square = Image.new("RGB", (side, side))
        square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        fitted = square.resize(target, kind)
    else:
        fitted = picture.resize(target, kind)
    return np.asarray(fitted, np.uint8)


def pixel_values(model_dir: Path, manifest: Manifest, pictures: Sequence[Image.Image]) -> np.ndarray:
    """Pictures as the model's preprocessor hands them over: float32 [pictures, 3, H, W]."""
    fitted = np.stack([fit_picture(picture, manifest.image) for picture in pictures])
    return normalise(model_dir, fitted.astype(np.float32))


def open_component(model_dir: Path, component: str, dtypes: Mapping[str, str]) -> Session:
    return Session(model_dir / f"onnx/{component}{SUFFIXES[dtypes[component]]}.onnx")


def embed(
    model_dir: Path, manifest: Manifest, dtypes: Mapping[str, str], pixels: Iterable[np.ndarray], texts: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of pictures [pictures, D] and of texts [texts, D]; ``pixels`` [3, H, W] may come one by one."""
    vision = open_component(model_dir, "vision_model", dtypes)
    pictures = np.stack([_vector(vision.run({"pixel_values": row[None]})) for row in pixels])
    if not texts or "text_model" not in manifest.components:
        return _unit(pictures), np.zeros((0, pictures.shape[1]), np.float32)
    path = manifest.components["text_model"][dtypes["text_model"]].path
    return _unit(pictures), TextEncoder(model_dir, manifest, path).vectors(texts)


class PictureEncoder:
    """The picture encoder of a dual encoder, for pictures one after the other or, from several threads, at once.

    One picture is one run: q8 graphs take the range of their activations over the whole batch, and a picture's vector
    would depend on its neighbours.
    """

    def __init__(self, model_dir: Path, dtype: str, *, threads: int = 0) -> None:
        self.model_dir = model_dir
        self.session = Session(model_dir / f"onnx/vision_model{SUFFIXES[dtype]}.onnx", threads=threads)

    def vector(self, picture: np.ndarray) -> np.ndarray:
        """Unit vector float32 [D] of a picture as `fit_picture` returns it."""
        pixels = normalise(self.model_dir, picture[None].astype(np.float32))
        return _unit(_vector(self.session.run({"pixel_values": pixels}))[None])[0]  # type: ignore[no-any-return]


class TextEncoder:
    """The text encoder of a dual encoder, whose graph lies at ``path`` in the model's folder.

    One text is one run, as in the pages, on one core, several at a time: numbers do not depend on how many there are.
    """

    def __init__(self, model_dir: Path, manifest: Manifest, path: str) -> None:
        self.model_dir = model_dir
        self.manifest = manifest
        self.session = Session(model_dir / path, threads=1)

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors float32 [texts, D]."""
        rows = _padded_ids(self.model_dir, self.manifest, texts)
        with ThreadPoolExecutor(usable_cores()) as pool:
            found = list(pool.map(lambda row: _vector(self.session.run(_text_feeds(self.session, *row))), rows))
        return _unit(np.stack(found))


def _padded_ids(model_dir: Path, manifest: Manifest, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Ids and mask int64 [1, context] of each text, padded as the page's tokenizer pads."""
    tokenizer = read_tokenizer(model_dir)
    length = manifest.context.text_tokens
    pad = _token_id(tokenizer, read_object(model_dir / "tokenizer_config.json").get("pad_token"))
    rows = []
    for text in texts:
        found = tokenizer.encode(text).ids
        # What is too long loses its middle, not the end mark that a pooled tower reads.
        kept = found if len(found) <= length else [*found[: length - 1], found[-1]]
        ids, mask = np.full((1, length), pad or 0, np.int64), np.zeros((1, length), np.int64)
        ids[0, : len(kept)], mask[0, : len(kept)] = kept, 1
        rows.append((ids, mask))
    return rows


def _text_feeds(tower: Session, ids: np.ndarray, mask: np.ndarray) -> Arrays:
    feeds = {"input_ids": ids, "attention_mask": mask}
    return {name: value for name, value in feeds.items() if name in tower.inputs}


def _vector(answers: Arrays) -> np.ndarray:
    """The pooled vector of a tower, by the names that the pages read."""
    for name in ("image_embeds", "text_embeds", "pooler_output"):
        if name in answers:
            return np.asarray(answers[name][0], np.float32)
    raise VerifyError(
        f"no embedding among the outputs {', '.join(answers)}", hint="export the model again, or leave --eval out"
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    unit: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    return unit


def write_answers(
    model_dir: Path,
    manifest: Manifest,
    dtypes: Mapping[str, str],
    pixels: Iterable[np.ndarray],
    questions: Sequence[Sequence[str]],
) -> list[list[list[int]]]:
    """Greedy token ids of the answer to every question about every picture, without the end mark."""
    vision = open_component(model_dir, "vision_encoder", dtypes)
    features = [vision.run(_picture_feeds(vision, row))["image_features"] for row in pixels]
    del vision
    words = open_component(model_dir, "embed_tokens", dtypes)
    decoder = open_component(model_dir, DECODER, dtypes)
    prompts = _Prompts(model_dir, manifest)
    return [
        [_generate(words, decoder, prompts, rows, question) for question in asked]
        for rows, asked in zip(features, questions, strict=True)
    ]


def _picture_feeds(vision: Session, row: np.ndarray) -> Arrays:
    tiled = len(vision.inputs["pixel_values"].shape) == 5
    feeds: dict[str, np.ndarray] = {"pixel_values": row[None, None] if tiled else row[None]}
    if "pixel_attention_mask" in vision.inputs:
        feeds["pixel_attention_mask"] = np.ones((1, 1, *row.shape[-2:]), np.bool_)
    return feeds


def _generate(words: Session, decoder: Session, prompts: _Prompts, features: np.ndarray, question: str) -> list[int]:
    ids = np.array([prompts.ids(question)], np.int64)
    embeds = np.array(words.run({"input_ids": ids})["inputs_embeds"])
    rows = features.reshape(-1, embeds.shape[-1])
    at = ids[0] == prompts.image_id
    if int(at.sum()) != len(rows):
        raise VerifyError(
            f"the prompt has room for {int(at.sum())} image rows and the picture gives {len(rows)}",
            hint="run `webgpu-demo check` on the folder",
        )
    embeds[0, at] = rows
    cache: Arrays = decoder.empty_cache()
    length, made = 0, list[int]()
    while len(made) < prompts.longest:
        length += embeds.shape[1]
        logits, cache = decode(decoder, embeds, length, cache)
        token = int(logits.argmax())
        if token in prompts.ends:
            break
        made.append(token)
        embeds = words.run({"input_ids": np.array([[token]], np.int64)})["inputs_embeds"]
    return made


class _Prompts:
    """Questions as token ids, by the model's own chat template and with room for one picture."""

    def __init__(self, model_dir: Path, manifest: Manifest) -> None:
        from builder.chat import read_template

        settings = read_object(model_dir / "tokenizer_config.json")
        processor = read_object(model_dir / "processor_config.json")
        config = read_object(model_dir / "config.json")
        if not isinstance(settings.get("chat_template"), str):
            raise ModelError(
                f"{model_dir / 'tokenizer_config.json'} has no chat template",
                hint="export the checkpoint again, or leave --eval out",
            )
        self.tokenizer = read_tokenizer(model_dir)
        self.template = read_template(settings["chat_template"], where=str(model_dir / "tokenizer_config.json"))
        self.settings = settings
        self.image_token = str(processor.get("image_token") or "<image>")
        found = _token_id(self.tokenizer, self.image_token)
        if found is None:
            raise ModelError(f"the tokenizer of {model_dir} lacks {self.image_token}", hint="export it again")
        self.image_id = found
        count = int(manifest.image.tokens or 0)
        self.room = self.image_token * count
        # Idefics3's template, which is SmolVLM's too, goes through the parts of a message; the others take a string.
        self.takes_parts = str(processor.get("processor_class", "")).startswith(("Idefics3", "SmolVLM"))
        if self.takes_parts:
            around = "<fake_token_around_image>"
            self.room = f"{around}<global-img>{self.room}{around}"
        ends = read_object(model_dir / "generation_config.json").get("eos_token_id", config.get("eos_token_id"))
        named = _token_id(self.tokenizer, settings.get("eos_token"))
        listed = ends if isinstance(ends, list) else [ends]
        self.ends = {int(end) for end in (*listed, named) if end is not None}
        self.longest = min(manifest.generation.max_new_tokens, LONGEST_ANSWER)

    def ids(self, question: str) -> list[int]:
        parts = [{"type": "image"}, {"type": "text", "text": question}]
        messages = [{"role": "user", "content": parts if self.takes_parts else f"{self.image_token}\n{question}"}]
        names = {key: self.settings.get(key) for key in ("bos_token", "eos_token", "pad_token")}
        text = self.template.render(messages=messages, add_generation_prompt=True, **names)
        ids: list[int] = self.tokenizer.encode(
            text.replace(self.image_token, self.room, 1), add_special_tokens=False
        ).ids
        return ids


def read_tokenizer(model_dir: Path) -> Tokenizer:
    """Raises ModelError where the folder has no readable tokenizer.json."""
    from tokenizers import Tokenizer

    path = model_dir / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises Exception itself
        raise ModelError(f"{path} cannot be read: {error}", hint="export the checkpoint again") from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object, or {} where there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} cannot be read: {error}", hint="export the checkpoint again") from error
    return value if isinstance(value, dict) else {}


def _token_id(tokenizer: Tokenizer, token: object) -> int | None:
    """Id of a token that a config names by its text, or as an object with ``content``."""
    text = token.get("content") if isinstance(token, dict) else token
    return tokenizer.token_to_id(text) if isinstance(text, str) else None
