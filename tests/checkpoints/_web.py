"""A web model in onnxruntime, driven as transformers.js drives it: for comparing with PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from builder.sessions import Session


class WebCaptioner:
    """The three graphs of a captioner; `generate` continues on its own key-value cache."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.image_token = int(config.get("image_token_index", config.get("image_token_id")))
        names = ("embed_tokens", "vision_encoder", "decoder_model_merged")
        self.embed, self.vision, self.decoder = (Session(folder / f"onnx/{name}.onnx") for name in names)
        self.forget()

    def forget(self) -> None:
        self.cache = self.decoder.empty_cache()
        self.length = 0

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """image_features [rows, D] of pixels [1, 3, H, W]."""
        feeds: dict[str, np.ndarray] = {"pixel_values": pixels}
        if "pixel_attention_mask" in self.vision.inputs:
            feeds = {"pixel_values": pixels[None], "pixel_attention_mask": np.ones((1, 1, *pixels.shape[2:]), np.bool_)}
        features = self.vision.run(feeds)["image_features"]
        return features.reshape(-1, features.shape[-1])

    def step(self, ids: list[int], features: np.ndarray | None = None) -> np.ndarray:
        """Logits [vocabulary] after further ``ids``; rows of ``features`` take the places of image tokens."""
        embeds = self.embed.run({"input_ids": np.array([ids], np.int64)})["inputs_embeds"]
        if features is not None:
            places = np.array(ids) == self.image_token
            assert places.sum() == len(features), "as many image tokens as rows"
            embeds[0, places] = features
        self.length += len(ids)
        mask = np.ones((1, self.length), np.int64)
        feeds = {"inputs_embeds": embeds, "attention_mask": mask, **self.cache}
        if "position_ids" in self.decoder.inputs:
            feeds["position_ids"] = np.arange(self.length - len(ids), self.length)[None]
        if "num_logits_to_keep" in self.decoder.inputs:
            feeds["num_logits_to_keep"] = np.array(1, np.int64)
        got = self.decoder.run(feeds)
        self.cache = {n.replace("present.", "past_key_values."): v for n, v in got.items() if n.startswith("present.")}
        return np.asarray(got["logits"][0, -1])

    def generate(
        self, ids: list[int], features: np.ndarray | None, new_tokens: int, *, banned: frozenset[int]
    ) -> list[int]:
        """The next ids, greedily, without the ``banned`` ones; the cache then holds all of them but the last."""
        made: list[int] = []
        for _ in range(new_tokens):
            logits = self.step(made[-1:] or ids, None if made else features)
            logits[list(banned)] = -np.inf
            made.append(int(logits.argmax()))
        return made
