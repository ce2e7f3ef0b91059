"""Keep libraries from setting up logging for the whole process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def keep_root_logger() -> Iterator[None]:
    """Undo what the block does to the root logger.

    Importing onnxruntime's MatMulNBitsQuantizer, as onnxruntime-genai does too, calls `logging.basicConfig` at INFO;
    after that every library's notes end up between ours.
    """
    handlers, level = list(logging.root.handlers), logging.root.level
    try:
        yield
    finally:
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)
