"""Keep libraries from setting up logging for the whole process, and from talking between our lines."""

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


NOISY = ("onnx_ir", "torch.onnx", "transformers", "onnxscript")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Leave out the notes and progress bars of the libraries that an export runs; their errors are raised anyway."""
    from transformers.utils import logging as transformers_logging

    levels = {name: logging.getLogger(name).level for name in NOISY}
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
