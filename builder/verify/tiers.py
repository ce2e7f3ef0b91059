"""Which dtype of each component a visitor's device gets."""

from __future__ import annotations

from collections.abc import Mapping

from builder.manifest import Variant

PREFERENCE: Mapping[str, tuple[str, ...]] = {
    "webgpu-f16": ("q4f16", "q4", "fp16", "q8", "fp32"),
    "webgpu": ("q4", "q8", "fp32"),
    "wasm": ("q8", "q4", "fp32"),
}
"""device tier → dtypes from most to least wanted. On the CPU float16 graphs cast every tensor, so WASM has none."""
LOWEST_COSINE = 0.98
"""A variant whose worst row points further away from fp32 than this is passed over."""


def choose_tiers(components: Mapping[str, Mapping[str, Variant]]) -> dict[str, dict[str, str]]:
    """The first wanted dtype of each component that was measured to keep `LOWEST_COSINE`; fp32 always does."""
    return {
        tier: {
            name: next(d for d in wanted if d == "fp32" or _keeps(variants.get(d)))
            for name, variants in components.items()
        }
        for tier, wanted in PREFERENCE.items()
    }


def _keeps(variant: Variant | None) -> bool:
    return variant is not None and variant.error is not None and variant.error.cosine >= LOWEST_COSINE
