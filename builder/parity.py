"""Run a component in onnxruntime on fixed inputs and measure how far it is from its fp32 graph.

Inputs are what the component meets in use: pictures are drawn scenes, token ids are seeded, and a decoder's prompt is
made of fp32 embeddings and image features, followed by one step on the cache that the variant itself has written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Container, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from builder.errors import ModelError, VerifyError
from builder.manifest import DECODER, ErrorMeasure, Manifest, TensorSpec
from builder.sessions import Session

IMAGES = 4
LARGE_IMAGES = 2
CAPTIONS = 4
PROMPT_TOKENS = 12
IMAGE_ROWS = 256
STEPS = 4
"""Rows of a decoder's prompt that it reads one by one."""
Arrays = Mapping[str, np.ndarray]


def decode_steps(session: Session, embeds: np.ndarray, split: int) -> tuple[np.ndarray, Arrays]:
    """Logits after a prompt of ``split`` rows and after each further row, on the cache: [steps, vocabulary].

    Beside them all inputs of the last step.
    """
    cache: Arrays = session.empty_cache()
    logits = []
    spans = [(0, split), *((at, at + 1) for at in range(split, embeds.shape[1]))]
    for start, stop in spans:
        before = cache
        row, cache = decode(session, embeds[:, start:stop], stop, before)
        logits.append(row)
    last = _decoder_feeds(session.inputs, embeds[:, start:stop], stop)
    return np.stack(logits).astype(np.float32), {**last, **before}


def decode(session: Session, embeds: np.ndarray, length: int, cache: Arrays) -> tuple[np.ndarray, Arrays]:
    """Run further rows of a prompt; return the last row's logits [vocabulary] and the cache, now of ``length`` rows."""
    got = session.run({**_decoder_feeds(session.inputs, embeds, length), **cache})
    kept = {n.replace("present.", "past_key_values."): v for n, v in got.items() if n.startswith("present.")}
    return got["logits"][0, -1], kept


def _decoder_feeds(names: Container[str], embeds: np.ndarray, length: int) -> Arrays:
    """What a decoder reads beside its cache, those of it that it has ``names`` for."""
    rows = embeds.shape[1]
    known = {
        "inputs_embeds": embeds,
        "attention_mask": np.ones((1, length), np.int64),
        "position_ids": np.arange(length - rows, length)[None],
        "num_logits_to_keep": np.array(1, np.int64),
    }
    return {name: value for name, value in known.items() if name in names}


class Reference:
    """Fixed inputs of every component and what the fp32 graphs answer to them; one graph at a time is in memory.

    ``pixels`` float32 [images, 3, H, W] are pictures of the user's, ready for the model, in place of drawn scenes.
    ``components`` are those to run; a decoder among them needs the table of embeddings, and reads words alone where no
    picture encoder is.
    """

    def __init__(
        self,
        model_dir: Path,
        manifest: Manifest,
        *,
        pixels: np.ndarray | None = None,
        components: Collection[str] | None = None,
    ) -> None:
        self.pixels = scene_pixels(model_dir, manifest) if pixels is None else pixels[: image_count(manifest)]
        self.manifest = manifest
        self.feeds: dict[str, Arrays] = {}
        self.outputs: dict[str, Arrays] = {}
        self.step: Arrays = {}
        rng = np.random.default_rng(0)
        words = cache(lambda: _Words(model_dir, manifest))  # a picture encoder alone needs no vocabulary
        chosen = [name for name in manifest.components if components is None or name in components]
        order = sorted(chosen, key=lambda name: name == DECODER)  # it is fed with the others' answers
        for name in order:
            signature = {spec.name: spec for spec in manifest.components[name]["fp32"].inputs}
            if name == DECODER:
                self.feeds[name] = self._prompt()
            else:
                self.feeds[name] = _feeds(signature, name, self.pixels, manifest, words, rng)
            path = model_dir / manifest.components[name]["fp32"].path
            self.outputs[name] = self.answer(name, path, keep=True)
            _check_finite(self.outputs[name], path)

    def _prompt(self) -> Arrays:
        """The rows of one picture and a few words, as a prompt has them: [1, rows, D]."""
        words = self.outputs["embed_tokens"]["inputs_embeds"]
        width = words.shape[-1]
        words = words.reshape(-1, width)[: 2 * PROMPT_TOKENS]
        if "vision_encoder" not in self.outputs:
            return {"inputs_embeds": words[None]}
        rows = self.outputs["vision_encoder"]["image_features"].reshape(-1, width)[:IMAGE_ROWS]
        return {"inputs_embeds": np.concatenate([rows, words])[None]}

    def answer(self, component: str, path: Path, *, keep: bool = False) -> Arrays:
        """What one file of ``component`` answers to the fixed inputs, picture by picture.

        With ``keep`` the inputs of a decoder's last step stay, its filled cache among them.
        """
        session = Session(path)
        if component == DECODER:
            embeds = self.feeds[component]["inputs_embeds"]
            logits, step = decode_steps(session, embeds, embeds.shape[1] - STEPS)
            if keep:
                self.step = step
            return {"logits": logits}
        answers = [session.run(feeds) for feeds in self._by_picture(component)]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def one_run(self, component: str) -> Arrays:
        """Complete inputs of one run of the fp32 graph: one picture, all texts, a decoder's prompt and empty cache."""
        return self.runs(component)[0]

    def runs(self, component: str) -> list[Arrays]:
        """Complete inputs of the runs of the fp32 graph: of a decoder its prompt, and a step on the filled cache."""
        if component != DECODER:
            return self._by_picture(component)
        embeds = self.feeds[component]["inputs_embeds"]
        specs = {spec.name: spec for spec in self.manifest.components[component]["fp32"].inputs}
        empty = {
            name: np.zeros((1, int(spec.shape[1]), 0, int(spec.shape[3])), spec.type)
            for name, spec in specs.items()
            if name.startswith("past_key_values.")
        }
        return [{**_decoder_feeds(specs, embeds, embeds.shape[1]), **empty}, self.step]

    def _by_picture(self, component: str) -> list[Arrays]:
        """Inputs of an encoder, each picture a run of its own: large ones would take twice the memory together."""
        feeds = self.feeds[component]
        if not all(name.startswith("pixel_") for name in feeds):
            return [feeds]
        return [{name: value[at : at + 1] for name, value in feeds.items()} for at in range(len(self.pixels))]


def _feeds(
    signature: Mapping[str, TensorSpec],
    component: str,
    pixels: np.ndarray,
    manifest: Manifest,
    words: Callable[[], _Words],
    rng: np.random.Generator,
) -> Arrays:
    """Inputs for an encoder or a table, by the names that transformers.js feeds."""
    feeds: dict[str, np.ndarray] = {}
    for name, spec in signature.items():
        if name == "pixel_values":
            feeds[name] = pixels[:, None] if len(spec.shape) == 5 else pixels  # a tile a picture
        elif name == "pixel_attention_mask":
            height, width = manifest.image.height, manifest.image.width
            feeds[name] = np.ones((len(pixels), 1, height, width), np.bool_)
        elif name == "input_ids":
            feeds[name] = words().plain(rng) if component == "embed_tokens" else words().captions(rng)
        elif name == "attention_mask":
            feeds[name] = np.ones((CAPTIONS, manifest.context.text_tokens), np.int64)
        else:
            raise VerifyError(
                f"{component} wants {name}, and there is no known input of that name",
                hint="run `webgpu-demo check` on the folder",
            )
    return feeds


def measure(reference: Reference, component: str, path: Path) -> ErrorMeasure:
    """Error of one variant over all outputs of the component.

    Raises:
        VerifyError: the variant does not load or run, or gives NaN or infinity.
    """
    worst = ErrorMeasure(max_abs=0.0, relative=0.0, cosine=1.0)
    answers = reference.answer(component, path)
    _check_finite(answers, path)
    for name, wanted in reference.outputs[component].items():
        shape = answers[name].shape if name in answers else None
        if shape != wanted.shape:
            raise VerifyError(
                f"{path.name} answers with {name} of {shape}, fp32 of {wanted.shape}", hint="leave this dtype out"
            )
        got = np.asarray(answers[name], np.float64)
        want = np.asarray(wanted, np.float64)
        off = got - want
        rows_got, rows_want = got.reshape(-1, got.shape[-1]), want.reshape(-1, want.shape[-1])
        lengths = np.linalg.norm(rows_got, axis=1) * np.linalg.norm(rows_want, axis=1)
        cosines = np.where(lengths > 0, (rows_got * rows_want).sum(axis=1) / np.maximum(lengths, 1e-30), 1.0)
        worst = ErrorMeasure(
            max_abs=max(worst.max_abs, float(np.abs(off).max())),
            relative=max(worst.relative, float(np.sqrt((off**2).mean() / max((want**2).mean(), 1e-30)))),
            cosine=min(worst.cosine, float(cosines.min())),
        )
    return worst


def _check_finite(answers: Arrays, path: Path) -> None:
    for name, values in answers.items():
        if not np.isfinite(values).all():
            raise VerifyError(f"{path.name} gives values that are not finite in {name}", hint="leave this dtype out")


def image_count(manifest: Manifest) -> int:
    """How many pictures encoders are compared on: fewer where one of them takes seconds."""
    return IMAGES if manifest.image.width * manifest.image.height <= 512 * 512 else LARGE_IMAGES


def scene_pixels(model_dir: Path, manifest: Manifest) -> np.ndarray:
    """Drawn scenes as the model's preprocessor would hand them over: float32 [images, 3, H, W]."""
    from builder.embedded.painting import render
    from builder.embedded.scenes import sample_scene

    rng = np.random.default_rng(7)
    side = max(manifest.image.width, manifest.image.height)
    drawn = [np.asarray(render(sample_scene(rng), side), np.float32) for _ in range(image_count(manifest))]
    return normalise(model_dir, np.stack(drawn)[:, : manifest.image.height, : manifest.image.width])


def normalise(model_dir: Path, images: np.ndarray) -> np.ndarray:
    """Pixels 0 to 255 [images, H, W, 3] as the model's preprocessor hands them over: float32 [images, 3, H, W]."""
    settings = _read_config(model_dir / "preprocessor_config.json")
    images = images / np.float32(255)
    if settings.get("do_normalize", True):
        mean, std = (np.asarray(settings[key], np.float32) for key in ("image_mean", "image_std"))
        images = (images - mean) / std
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}", hint="export the checkpoint again") from error
    if not isinstance(settings, dict):
        raise ModelError(f"{path} holds no JSON object", hint="export the checkpoint again")
    return settings


class _Words:
    """Seeded token ids within the model's vocabulary."""

    def __init__(self, model_dir: Path, manifest: Manifest) -> None:
        path = model_dir / "config.json"
        config = _read_config(path)
        text = config.get("text_config", config)
        size = text.get("vocab_size") if isinstance(text, dict) else None
        if not isinstance(size, int) or size < 1:
            raise ModelError(f"{path} has no vocab_size, but {size!r}", hint="export the checkpoint again")
        self.size = size
        self.length = manifest.context.text_tokens
        end = text.get("eos_token_id")
        self.end = end if isinstance(end, int) and 0 <= end < self.size else None

    def plain(self, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, self.size, size=(2, PROMPT_TOKENS))

    def captions(self, rng: np.random.Generator) -> np.ndarray:
        """Ids [captions, context]: a few words, the end mark where a pooled tower reads its vector, then padding."""
        ids = np.zeros((CAPTIONS, self.length), np.int64)
        least = min(4, self.length - 1)
        for row in ids:
            stop = int(rng.integers(least, max(least + 1, min(14, self.length - 2))))
            row[:stop] = rng.integers(0, self.size, size=stop)
            if self.end is not None:
                row[:stop][row[:stop] == self.end] = 0
                row[stop] = self.end
        return ids
