"""What is too large: for a browser tab, and for the disk."""

from __future__ import annotations

import sys
from math import prod
from pathlib import Path

from builder.errors import CheckpointError, ExportError
from builder.folders import check_room
from builder.hub.weights import weight_files

TAB_BYTES = 3 * 2**30
"""What a tab can hold of a model: 4 GiB of WebAssembly addresses, less the runtime, activations and the page."""
SMALLEST_BITS = 4.625
"""Bits of a weight in the smallest dtype: 4, and a block of 32 shares a 16-bit scale and a 4-bit zero point."""
FP32_BYTES = 4
GIB = 2**30


def count_parameters(checkpoint: Path) -> int:
    """Count the numbers in the files that hold a folder's model, from their headers.

    Raises:
        CheckpointError: a header cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    total = 0
    for path in weight_files(checkpoint):
        try:
            with safe_open(path, framework="numpy") as file:
                total += sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(
                f"{path} is damaged: {error}", hint=f"remove {path.resolve()} and download it again"
            ) from error
    return total


def check_size(name: str, parameters: int, target: Path, *, force: bool) -> None:
    """Refuse what no tab can hold, unless ``force``, and what the disk cannot, beyond what an earlier run has written.

    Raises:
        CheckpointError: the model is too large for a browser tab; the message has the arithmetic.
        ExportError: the disk has too little room for the float32 graphs and what they are made from.
    """
    smallest = parameters * SMALLEST_BITS / 8
    if smallest > TAB_BYTES and not force:
        raise CheckpointError(
            f"{name} has {parameters / 1e9:.2f} billion parameters: at {SMALLEST_BITS} bits each that is "
            f"{smallest / GIB:.1f} GiB, and a browser tab holds {TAB_BYTES / GIB:.0f} GiB",
            hint="take a smaller model of the family, or export it all the same with --force",
        )
    # the graphs, and for a language model its copy in the checkpoint's dtype and the builder's own output
    part = target.with_name(f".{target.name}.part")
    written = sum(path.stat().st_size for path in part.rglob("*") if path.is_file())
    check_room(target, max(0, parameters * FP32_BYTES * 5 // 2 - written), error=ExportError)


def peak_memory() -> int:
    """The most memory that this process has held, in bytes; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB
