"""Which dtype of each component a device tier gets: the smallest that runs there and stays near enough to fp32.

quantize and verify both decide by this module, so that they cannot disagree: quantize to make only what some tier
wants, verify on the files that lie there. Start with `choose_tiers`. It measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from builder.errors import QuantizeError, did_you_mean
from builder.manifest import DECODER, TIERS, Budget, Variant

TIER_DTYPES: Mapping[str, tuple[str, ...]] = {
    "webgpu-f16": ("q4", "q4f16", "q8", "fp16", "fp32"),
    "webgpu": ("q4", "q8", "fp32"),
    "wasm": ("q4", "q8", "uint8", "fp32"),
}
"""device tier → dtypes that run there; of two of the same size the first is taken, which other tiers can share.

float16 needs a WebGPU adapter with shader-f16. On the CPU a float16 graph casts every tensor, so WASM has none."""

QUICK: Mapping[tuple[str, str], str] = {("wasm", DECODER): "uint8"}
"""(device tier, component) → the dtype that it gets whatever its size, as long as it keeps the budget.

A decoder answers one row at a time. MatMulNBits makes floats of all its weights for each, because onnxruntime-web has
no kernel of few bits for WASM, and a token takes ten to twenty times as long as with integers (quantize/integers.py).
Twice the download is waited for once, a token every time."""

BUDGETS: Mapping[str, Budget] = {
    budget.name: budget
    for budget in (
        Budget(name="high", cosine=0.995, relative=0.1, logits=1.5),
        Budget(name="balanced", cosine=0.945, relative=0.33, logits=1.3),
        Budget(name="small", cosine=0.92, relative=0.4, logits=1.3, any_block=True),
    )
}
"""How far the worst row of a component's answer may turn from fp32's, and how large its error may be.

The two say the same of an error without a direction (cosine ≈ 1 − relative² / 2); the second also sees a wrong length.
By "balanced" scenes-vlm and scenes-clip lose less than a point of exact captions and of recall. It is what 4 bits do to
the 24 layers and the tower of FastVLM-0.5B with random weights, whose errors nothing averages out; trained weights stay
well within, and what is lost of the task itself verify measures and tells."""
UNLIMITED = 1e9
DEFAULT_BUDGET = BUDGETS["balanced"]


def find_budget(quality: str | Budget) -> Budget:
    """Return the budget of a name, or the one that is given.

    Raises:
        QuantizeError: there is no such name.
    """
    if isinstance(quality, Budget):
        return quality
    if quality not in BUDGETS:
        raise QuantizeError(f"there is no quality {quality!r}", hint=did_you_mean(quality, BUDGETS))
    return BUDGETS[quality]


def own_budget(quality: str, *, cosine: float | None = None, relative: float | None = None) -> Budget:
    """The budget of a name with explicit numbers in place of its own; its freedom of blocks stays.

    Raises:
        QuantizeError: there is no such name, or a number is out of its range.
    """
    named = find_budget(quality)
    if cosine is None and relative is None:
        return named
    if cosine is not None and not 0 <= cosine <= 1:
        raise QuantizeError(f"a lowest cosine of {cosine} means nothing", hint="give a number from 0 to 1, as 0.99")
    if relative is not None and not relative >= 0:
        raise QuantizeError(f"a greatest error of {relative} means nothing", hint="give a share of fp32, as 0.1")
    # Of an error without a direction one number follows from the other; a number that is not given must not decide.
    return Budget(
        name="own",
        cosine=cosine if cosine is not None else -1.0,
        relative=relative if relative is not None else UNLIMITED,
        any_block=named.any_block,
    )


def budget_options(budget: Budget) -> list[str]:
    """The options of quantize and verify that give this budget."""
    if budget.name in BUDGETS:
        return ["--quality", budget.name]
    options = ["--quality", "small"] if budget.any_block else []
    options += ["--min-cosine", f"{budget.cosine:g}"] if budget.cosine > -1 else []
    return options + (["--max-error", f"{budget.relative:g}"] if budget.relative < UNLIMITED else [])


def choose_tiers(components: Mapping[str, Mapping[str, Variant]], budget: Budget) -> dict[str, dict[str, str]]:
    """The smallest dtype of each component that the tier's devices run and that keeps the budget, or its quick one.

    fp32 always keeps the budget.
    """
    return {
        tier: {name: _choose(tier, name, variants, budget.of(name)) for name, variants in components.items()}
        for tier in TIERS
    }


def _choose(tier: str, component: str, variants: Mapping[str, Variant], budget: Budget) -> str:
    able = [d for d in TIER_DTYPES[tier] if d == "fp32" or (d in variants and _suits(tier, variants[d], budget))]
    if (quick := QUICK.get((tier, component))) in able:
        return quick
    return min(able, key=lambda dtype: variants[dtype].total_bytes)


def _suits(tier: str, variant: Variant, budget: Budget) -> bool:
    """Whether a variant other than fp32 runs on the tier's devices, whatever its name promises, and is good enough."""
    if variant.fault is not None or not budget.keeps(variant.error):
        return False
    if tier != "webgpu-f16" and variant.needs_f16:
        return False
    return not (tier.startswith("webgpu") and variant.not_on_webgpu is not None)
