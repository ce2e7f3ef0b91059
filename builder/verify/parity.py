"""Run a component in onnxruntime on fixed inputs and measure how far it is from its fp32 graph.

Inputs are what the component meets in use: pictures are drawn scenes, token ids are seeded, and a decoder's prompt is
made of fp32 embeddings and image features, followed by one step on the cache that the variant itself has written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from builder.errors import VerifyError
from builder.manifest import ErrorMeasure, Manifest
from builder.sessions import Session

IMAGES = 4
PROMPT_TOKENS = 12
Arrays = Mapping[str, np.ndarray]


def decode_steps(session: Session, embeds: np.ndarray, split: int) -> np.ndarray:
    """Logits after a prompt of ``split`` rows and after each further row, on the cache: [steps, vocabulary]."""
    cache = session.empty_cache()
    logits = []
    spans = [(0, split), *((at, at + 1) for at in range(split, embeds.shape[1]))]
    for start, stop in spans:
        feeds = {"inputs_embeds": embeds[:, start:stop], "attention_mask": np.ones((1, stop), np.int64), **cache}
        if "num_logits_to_keep" in session.inputs:
            feeds["num_logits_to_keep"] = np.array(1, np.int64)
        got = session.run(feeds)
        cache = {n.replace("present.", "past_key_values."): v for n, v in got.items() if n.startswith("present.")}
        logits.append(got["logits"][0, -1])
    return np.stack(logits).astype(np.float32)


class Reference:
    """Fixed inputs of every component and what the fp32 graphs answer to them."""

    def __init__(self, model_dir: Path, manifest: Manifest) -> None:
        self.sessions = {name: Session(model_dir / v["fp32"].path) for name, v in manifest.components.items()}
        self.feeds: dict[str, Arrays] = {}
        rng = np.random.default_rng(0)
        vocabulary, end = _token_range(model_dir)
        for name, session in self.sessions.items():
            if "pixel_values" in session.inputs:
                self.feeds[name] = {"pixel_values": scene_pixels(model_dir, manifest)}
            elif "input_ids" in session.inputs:
                self.feeds[name] = {"input_ids": _token_ids(rng, manifest, vocabulary, end)}
        self.outputs = {name: self._answer(name, self.sessions[name]) for name in self.sessions if name in self.feeds}
        if "decoder_model_merged" in self.sessions:
            words = self.outputs["embed_tokens"]["inputs_embeds"].reshape(1, -1, self._width())[:, : 2 * PROMPT_TOKENS]
            rows = self.outputs["vision_encoder"]["image_features"][0].reshape(1, -1, self._width())
            self.feeds["decoder_model_merged"] = {"inputs_embeds": np.concatenate([rows, words], axis=1)}
            self.outputs["decoder_model_merged"] = self._answer(
                "decoder_model_merged", self.sessions["decoder_model_merged"]
            )

    def _width(self) -> int:
        return int(self.outputs["vision_encoder"]["image_features"].shape[-1])

    def _answer(self, component: str, session: Session) -> Arrays:
        feeds = self.feeds[component]
        if component != "decoder_model_merged":
            return session.run(feeds)
        embeds = feeds["inputs_embeds"]
        return {"logits": decode_steps(session, embeds, embeds.shape[1] - 4)}

    def answer(self, component: str, path: Path) -> Arrays:
        return self._answer(component, Session(path))


def measure(reference: Reference, component: str, path: Path) -> ErrorMeasure:
    """Error of one variant over all outputs of the component.

    Raises:
        VerifyError: the variant does not load or run, or gives NaN or infinity.
    """
    worst = ErrorMeasure(max_abs=0.0, relative=0.0, cosine=1.0)
    answers = reference.answer(component, path)
    for name, wanted in reference.outputs[component].items():
        got = np.asarray(answers[name], np.float64)
        want = np.asarray(wanted, np.float64)
        if not np.isfinite(got).all():
            raise VerifyError(f"{path.name} gives values that are not finite in {name}", hint="leave this dtype out")
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


def scene_pixels(model_dir: Path, manifest: Manifest) -> np.ndarray:
    """Drawn scenes as the model's preprocessor would hand them over: float32 [`IMAGES`, 3, H, W]."""
    from builder.embedded.painting import render
    from builder.embedded.scenes import sample_scene

    settings = json.loads((model_dir / "preprocessor_config.json").read_text(encoding="utf-8"))
    rng = np.random.default_rng(7)
    side = max(manifest.image.width, manifest.image.height)
    images = np.stack([np.asarray(render(sample_scene(rng), side), np.float32) for _ in range(IMAGES)]) / 255
    images = images[:, : manifest.image.height, : manifest.image.width]
    if settings.get("do_normalize", True):
        images = (images - np.asarray(settings["image_mean"], np.float32)) / np.asarray(
            settings["image_std"], np.float32
        )
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)


def _token_range(model_dir: Path) -> tuple[int, int | None]:
    """Vocabulary size, and for pooled text towers the id of the end mark, where they read their vector."""
    config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    text = config.get("text_config", config)
    return int(text["vocab_size"]), text.get("eos_token_id") if "text_config" in config else None


def _token_ids(rng: np.random.Generator, manifest: Manifest, vocabulary: int, end: int | None) -> np.ndarray:
    """Seeded ids [rows, length]; with an end mark each row holds it once, then padding."""
    if end is None:
        return rng.integers(0, vocabulary, size=(2, PROMPT_TOKENS))
    ids = np.zeros((IMAGES, manifest.context.text_tokens), np.int64)
    for row in range(IMAGES):
        length = int(rng.integers(4, min(14, manifest.context.text_tokens - 2)))
        ids[row, :length] = rng.integers(0, end - 1, size=length)
        ids[row, length] = end
    return ids
