"""Score the embedded models on held-out scenes, from any dtype of their web models, with onnxruntime.

    python -m builder.embedded.score FOLDER [--dtype q4]

This is the yardstick of quantization: exact captions, exact answers, and recall@1 in albums of 100. Held-out scenes
come from seeds that training never draws from, and may hold the colour-object pairs that no training scene held.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tokenizers import Tokenizer

from builder.embedded import NAMES
from builder.embedded.card import write_card
from builder.embedded.painting import render
from builder.embedded.scenes import DESCRIBE, UNSEEN_PAIRS, Scene, questions, sample_scene
from builder.embedded.vocabulary import token_id
from builder.manifest import SUFFIXES, read_manifest
from builder.sessions import Session

HELD_OUT = 990_000
SOURCE_PIXELS = 320


def held_out_scenes(count: int, *, different: bool = False) -> list[Scene]:
    """Seeded scenes that training cannot have seen; with ``different`` no two share a caption."""
    scenes: list[Scene] = []
    seen: set[str] = set()
    number = 0
    while len(scenes) < count:
        scene = sample_scene(np.random.default_rng([HELD_OUT, number]))
        number += 1
        if not different or scene.caption not in seen:
            scenes.append(scene)
            seen.add(scene.caption)
    return scenes


def is_unseen(scene: Scene) -> bool:
    return any((thing.colour, thing.kind) in UNSEEN_PAIRS for thing in scene.things)


def load_pixels(image: Image.Image, size: int) -> np.ndarray:
    """A square picture as the processors hand it over: float32 [1, 3, size, size], 0 to 1."""
    small = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(small, np.float32).transpose(2, 0, 1)[None] / 255)


class Captioner:
    """scenes-vlm in one dtype per component; greedy, with the key-value cache."""

    def __init__(self, folder: Path, dtypes: Mapping[str, str]) -> None:
        self.manifest = read_manifest(folder)
        self.sessions = {c: Session(folder / f"onnx/{c}{SUFFIXES[dtypes[c]]}.onnx") for c in self.manifest.components}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.image_id = token_id(self.tokenizer, "<image>")
        self.end_id = token_id(self.tokenizer, "<|im_end|>")

    def features(self, image: Image.Image) -> np.ndarray:
        pixels = load_pixels(image, self.manifest.image.width)
        return self.sessions["vision_encoder"].run({"pixel_values": pixels})["image_features"]

    def prompt_ids(self, question: str) -> list[int]:
        text = f"<|im_start|>user\n<image>\n{question}<|im_end|>\n<|im_start|>assistant\n"
        ids = self.tokenizer.encode(text).ids
        at = ids.index(self.image_id)
        return [*ids[:at], *[self.image_id] * int(self.manifest.image.tokens or 0), *ids[at + 1 :]]

    def answer(self, features: np.ndarray, question: str) -> str:
        return self.tokenizer.decode(self.generate(features, question)).strip()

    def generate(self, features: np.ndarray, question: str) -> list[int]:
        """Greedy token ids of the answer, without the end mark."""
        ids = np.array([self.prompt_ids(question)])
        embeds = self._embed(ids)
        embeds[0, ids[0] == self.image_id] = features.reshape(-1, embeds.shape[-1])
        decoder = self.sessions["decoder_model_merged"]
        cache, length, made = decoder.empty_cache(), 0, list[int]()
        while len(made) < self.manifest.generation.max_new_tokens:
            length += embeds.shape[1]
            got = decoder.run({"inputs_embeds": embeds, "attention_mask": np.ones((1, length), np.int64), **cache})
            token = int(got["logits"][0, -1].argmax())
            if token == self.end_id:
                break
            made.append(token)
            cache = {n.replace("present.", "past_key_values."): v for n, v in got.items() if n.startswith("present.")}
            embeds = self._embed(np.array([[token]]))
        return made

    def _embed(self, ids: np.ndarray) -> np.ndarray:
        return self.sessions["embed_tokens"].run({"input_ids": ids.astype(np.int64)})["inputs_embeds"]


class Matcher:
    """scenes-clip in one dtype per component; unit vectors."""

    def __init__(self, folder: Path, dtypes: Mapping[str, str]) -> None:
        self.manifest = read_manifest(folder)
        self.sessions = {c: Session(folder / f"onnx/{c}{SUFFIXES[dtypes[c]]}.onnx") for c in self.manifest.components}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def images(self, images: list[Image.Image]) -> np.ndarray:
        size = self.manifest.image.width
        rows = [
            self.sessions["vision_model"].run({"pixel_values": load_pixels(i, size)})["image_embeds"][0] for i in images
        ]
        return _unit(np.stack(rows))

    def texts(self, texts: list[str]) -> np.ndarray:
        ids = np.zeros((len(texts), self.manifest.context.text_tokens), np.int64)
        for row, text in enumerate(texts):
            tokens = self.tokenizer.encode(text).ids[: ids.shape[1]]
            ids[row, : len(tokens)] = tokens
        return _unit(self.sessions["text_model"].run({"input_ids": ids})["text_embeds"])


def _unit(rows: np.ndarray) -> np.ndarray:
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


@dataclass(frozen=True, kw_only=True)
class CaptionScore:
    """Shares of exact matches, 0 to 1."""

    single: float
    all: float
    answers: float
    unseen: float
    scenes: int
    questions: int


@dataclass(frozen=True, kw_only=True)
class SearchScore:
    """text → image recall@1 in albums of 100 different scenes, over all and over scenes with an unseen pair."""

    recall_at_1: float
    unseen: float
    queries: int


def uniform(folder: Path, dtype: str) -> dict[str, str]:
    return dict.fromkeys(read_manifest(folder).components, dtype)


def score_captions(folder: Path, dtypes: Mapping[str, str], *, scenes: int = 500) -> CaptionScore:
    """Exact captions and answers of scenes-vlm on held-out scenes; the first four questions of each scene count."""
    model = Captioner(folder, dtypes)
    right: list[tuple[Scene, bool]] = []
    answered: list[bool] = []
    for number, scene in enumerate(held_out_scenes(scenes)):
        features = model.features(render(scene, SOURCE_PIXELS))
        right.append((scene, model.answer(features, DESCRIBE) == scene.caption))
        asked = questions(scene, np.random.default_rng([HELD_OUT + 1, number]))[:4]
        answered += [model.answer(features, question) == answer for question, answer in asked]
    return CaptionScore(
        single=_share([ok for scene, ok in right if scene.is_single]),
        all=_share([ok for _, ok in right]),
        answers=_share(answered),
        unseen=_share([ok for scene, ok in right if is_unseen(scene)]),
        scenes=len(right),
        questions=len(answered),
    )


def score_search(folder: Path, dtypes: Mapping[str, str], *, albums: int = 5) -> SearchScore:
    """recall@1 of scenes-clip: each caption of an album of 100 different scenes is searched in it."""
    model = Matcher(folder, dtypes)
    scenes = held_out_scenes(100 * albums, different=True)
    hits: list[tuple[Scene, bool]] = []
    for start in range(0, len(scenes), 100):
        album = scenes[start : start + 100]
        pictures = model.images([render(scene, SOURCE_PIXELS) for scene in album])
        found = (model.texts([scene.caption for scene in album]) @ pictures.T).argmax(axis=1)
        hits += [(scene, bool(found[row] == row)) for row, scene in enumerate(album)]
    return SearchScore(
        recall_at_1=_share([ok for _, ok in hits]),
        unseen=_share([ok for scene, ok in hits if is_unseen(scene)]),
        queries=len(hits),
    )


def _share(values: list[bool]) -> float:
    return round(sum(values) / max(1, len(values)), 4)


def score_models(models: Path, *, cards: Path, dtype: str = "fp32") -> None:
    """Score both models below ``models`` and write their cards beside the weights below ``cards``."""
    for name in NAMES:
        folder = models / name
        dtypes = uniform(folder, dtype)
        score = score_captions(folder, dtypes) if name == "scenes-vlm" else score_search(folder, dtypes)
        print(name, dtype, json.dumps(asdict(score)))
        write_card(cards / name, name, asdict(score))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", type=Path, help="folder that holds scenes-vlm and scenes-clip as web models")
    parser.add_argument("--dtype", default="fp32", help="a dtype that both have")
    options = parser.parse_args()
    print(json.dumps(asdict(score_captions(f := options.models / "scenes-vlm", uniform(f, options.dtype)))))
    print(json.dumps(asdict(score_search(f := options.models / "scenes-clip", uniform(f, options.dtype)))))


if __name__ == "__main__":
    main()
