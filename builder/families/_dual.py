"""What all dual encoders share: a text tower, an image tower, and both in one graph with their similarities.

Searching needs the towers apart, transformers.js's zero-shot pipeline wants them in one ``model``. Start with
`dual_encoders`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optimum.utils import DummyTextInputGenerator, DummyVisionInputGenerator, NormalizedTextConfig
from torch import Tensor, cat, nn, where

from builder.families._contract import Encoder
from builder.families._registry import Graph, WebExporterConfig

TEXT_AXES = {0: "batch_size", 1: "sequence_length"}
SIMILARITIES = ("logits_per_image", "logits_per_text", "text_embeds", "image_embeds")


class DummyCaptionGenerator(DummyTextInputGenerator):  # type: ignore[misc]  # optimum has no types
    """Random ids, each row with its end mark where a short caption has it, then padding.

    Pooled text towers read their vector at the end mark, so ids without one would prove nothing.
    """

    SUPPORTED_INPUT_NAMES = ("input_ids", "attention_mask")

    def __init__(self, task: str, normalized_config: Any, **shapes: Any) -> None:
        super().__init__(task, normalized_config, **shapes)
        self.end = normalized_config.eos_token_id
        self.padding = normalized_config.pad_token_id

    def generate(
        self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
    ) -> Tensor:
        ids: Tensor = self.random_int_tensor(
            [self.batch_size, self.sequence_length], self.vocab_size, framework=framework, dtype=int_dtype
        )
        ids[ids == self.end] = self.padding
        for row in range(self.batch_size):
            stop = max(2, self.sequence_length - 1 - 2 * row)
            ids[row, stop - 1] = self.end
            ids[row, stop:] = self.padding
        if input_name == "attention_mask":
            mask: Tensor = (ids != self.padding).to(ids.dtype)
            return mask
        return ids


@dataclass(frozen=True, kw_only=True)
class DualShapes:
    """What a dual encoder takes: texts of at most ``context`` tokens, square pictures of ``image_size`` pixels."""

    vocab_size: int
    context: int
    eos_token_id: int
    pad_token_id: int
    image_size: int
    num_channels: int = 3


class NormalizedDualConfig(NormalizedTextConfig):  # type: ignore[misc]
    """Takes `DualShapes`."""


class DualExporterConfig(WebExporterConfig):
    """Both towers and ``model``; a family with other outputs of its towers overrides ``GRAPHS`` by `dual_graphs`."""

    NORMALIZED_CONFIG_CLASS = NormalizedDualConfig
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyCaptionGenerator, DummyVisionInputGenerator)


def dual_graphs(
    *,
    text: tuple[str, ...] = ("text_embeds",),
    image: tuple[str, ...] = ("image_embeds",),
    tolerance: float = 1e-4,
) -> Mapping[str, Graph]:
    """The three graphs of a dual encoder, with the outputs of each tower."""
    pixels = {0: "batch_size"}
    return {
        "text_model": Graph(inputs={"input_ids": TEXT_AXES}, outputs=text, tolerance=tolerance),
        "vision_model": Graph(inputs={"pixel_values": pixels}, outputs=image, tolerance=tolerance),
        "model": Graph(
            inputs={
                "input_ids": {0: "text_batch_size", 1: "sequence_length"},
                "pixel_values": {0: "image_batch_size"},
            },
            outputs=SIMILARITIES,
            tolerance=tolerance,
        ),
    }


class Similarities(nn.Module):
    """input_ids [T, length], pixel_values [I, 3, H, W] → logits [I, T] and [T, I], unit vectors [T, D] and [I, D].

    ``text`` and ``vision`` give unnormalised vectors; ``scale`` is the factor of the logits, not its logarithm.
    """

    def __init__(self, text: nn.Module, vision: nn.Module, *, scale: float, bias: float = 0.0) -> None:
        super().__init__()
        self.text, self.vision = text, vision
        self.scale, self.bias = scale, bias

    def forward(self, input_ids: Tensor, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        texts: Tensor = self.text(input_ids)
        images: Tensor = self.vision(pixel_values)
        texts = texts / texts.norm(dim=-1, keepdim=True)
        images = images / images.norm(dim=-1, keepdim=True)
        logits = images @ texts.T * self.scale
        if self.bias:
            logits = logits + self.bias
        return logits, logits.T, texts, images


class WholeCaption(nn.Module):
    """input_ids [batch, length] → [batch, context], as Transformers' tokenizers give them.

    Shorter texts are padded: towers without a causal mask see the padding, and were trained with all of it. A row
    without an end mark gets one in its last place: transformers.js cuts long texts off, end mark and all, where
    Transformers keeps it, and pooling would go astray.
    """

    def __init__(self, shapes: DualShapes) -> None:
        super().__init__()
        self.context, self.end, self.padding = shapes.context, shapes.eos_token_id, shapes.pad_token_id

    def forward(self, input_ids: Tensor) -> Tensor:
        padding = input_ids.new_full((input_ids.shape[0], self.context), self.padding)
        ids = cat([input_ids, padding], dim=1)[:, : self.context]
        ended = (ids == self.end).any(dim=1, keepdim=True)
        return cat([ids[:, :-1], where(ended, ids[:, -1:], self.end)], dim=1)


class Pooled(nn.Module):
    """The pooled vector of a tower that gives (last_hidden_state, pooler_output)."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, inputs: Tensor) -> Tensor:
        pooled: Tensor = self.tower(inputs)[1]
        return pooled


def dual_encoders(
    kind: type[DualExporterConfig],
    shapes: DualShapes,
    *,
    text: nn.Module,
    vision: nn.Module,
    scale: float,
    bias: float = 0.0,
) -> tuple[Encoder, ...]:
    """The three components. ``text`` takes input_ids, ``vision`` pixel_values; see `Similarities` for the rest."""
    pair = (Pooled(tower) if len(kind.GRAPHS[name].outputs) > 1 else tower for name, tower in _named(text, vision))
    modules = {**dict(_named(text, vision)), "model": Similarities(*pair, scale=scale, bias=bias)}
    return tuple(
        kind.encoder(name, module, shapes, image_size=shapes.image_size, text_tokens=min(shapes.context, 16))
        for name, module in modules.items()
    )


def _named(text: nn.Module, vision: nn.Module) -> tuple[tuple[str, nn.Module], tuple[str, nn.Module]]:
    return ("text_model", text), ("vision_model", vision)
