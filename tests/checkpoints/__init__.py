"""Tiny checkpoints with random weights, one module per family, made by the families' own libraries.

Weights are scaled so that outputs are of order 1: agreement of tiny outputs would prove nothing. A module in this
folder that defines ``CASES`` is found by discovery; every case runs through tests/export/test_families.py (against
PyTorch) and tests/contract/test_families.py (against transformers.js in Node).
"""

from __future__ import annotations

import importlib
import pkgutil

from tests.checkpoints._case import Captioner, Case, DualEncoder

__all__ = ["CASES", "Captioner", "Case", "DualEncoder"]

CASES: dict[str, Case] = {
    case.name: case
    for module in pkgutil.iter_modules(__path__)
    if not module.name.startswith("_")
    for case in importlib.import_module(f"{__name__}.{module.name}").CASES
}
