"""ZeroGPU, a kind of Space where a GPU is lent for the length of one call, in a process that is forked for it.

Elsewhere nothing of it is needed, and the package `spaces` is not imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

ON_ZERO_GPU = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
SECONDS = 30

if ON_ZERO_GPU:
    import spaces


def on_gpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function run where the GPU is lent; it loads the model there, at its first call."""
    if not ON_ZERO_GPU:
        return function
    decorated: Callable[..., Any] = spaces.GPU(duration=SECONDS)(function)
    return decorated
