"""Vectors of pictures and texts that can be compared, from the two towers of a dual encoder.

Start with `Searcher`. Texts are padded and cut as the page's worker does it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pictures import pixel_values
from tokenizers import Tokenizer
from webmodel import SEARCHER, ModelError, WebModel


class Searcher:
    """Unit vectors; the cosine of two is their product."""

    def __init__(self, model: WebModel) -> None:
        self._graphs = {component: model.open(component) for component in SEARCHER}
        self._pictures = model.read("preprocessor_config.json")
        self._tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
        self._length = int(model.manifest["context"]["text_tokens"])
        named = model.read("tokenizer_config.json").get("pad_token")
        text = named.get("content") if isinstance(named, dict) else named
        self._pad = (self._tokenizer.token_to_id(text) if isinstance(text, str) else None) or 0

    def picture(self, pixels: np.ndarray) -> np.ndarray:
        """Vector float32 [D] of a fitted picture, uint8 [H, W, 3]."""
        return _unit(self._graphs["vision_model"].run({"pixel_values": pixel_values(pixels, self._pictures)[None]}))

    def vectors(self, pictures: Iterable[np.ndarray], texts: Iterable[str]) -> list[np.ndarray]:
        """Vectors of pictures and then of texts, each in a run of its own: one's numbers depend on no other's."""
        return [*map(self.picture, pictures), *map(self.text, texts)]

    def text(self, text: str) -> np.ndarray:
        """Vector float32 [D] of a text."""
        found = self._tokenizer.encode(text).ids
        # What is too long loses its middle, not the end mark that a pooled tower reads.
        kept = found if len(found) <= self._length else [*found[: self._length - 1], found[-1]]
        ids, mask = np.full((1, self._length), self._pad, np.int64), np.zeros((1, self._length), np.int64)
        ids[0, : len(kept)], mask[0, : len(kept)] = kept, 1
        return _unit(self._graphs["text_model"].run({"input_ids": ids, "attention_mask": mask}))


def _unit(answers: dict[str, Any]) -> np.ndarray:
    for name in ("image_embeds", "text_embeds", "pooler_output"):
        if name in answers:
            vector = np.asarray(answers[name][0], np.float32)
            return vector / max(float(np.linalg.norm(vector)), 1e-30)
    raise ModelError(f"there is no vector among the outputs {', '.join(answers)}")
