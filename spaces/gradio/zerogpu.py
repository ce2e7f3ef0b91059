"""ZeroGPU, a kind of Space where a GPU is lent for the length of one call. Free accounts may have one of these.

The model does not run on that GPU: it is the page's own graphs, of the dtypes that are made for processors, whose 8-bit
kernels no GPU has; and its answers are to be the page's. So no visitor's quota is used up. Elsewhere nothing of this is
needed, and the package `spaces` is not imported.
"""

from __future__ import annotations

import os

ON_ZERO_GPU = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")

if ON_ZERO_GPU:
    import spaces

    @spaces.GPU(duration=1)
    def _unused() -> None:
        """Never called. Without one ZeroGPU says "No @spaces.GPU function has been detected during startup"."""
