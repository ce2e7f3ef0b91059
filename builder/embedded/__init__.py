"""The two models that come with the package, the scenes they know, and how they were trained.

Using them needs none of the heavy libraries: `model_dir` finds their fp32 web models, scenes.py draws, samples.py makes
the sample album and video. Training and scoring (train.py, checkpoints.py, score.py; builder/retrain.py chains
them) need the ``export`` extra.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from builder.errors import ModelError, did_you_mean

NAMES = ("scenes-vlm", "scenes-clip")
SHIPPED: Mapping[str, tuple[str, ...] | None] = {"scenes-vlm": None, "scenes-clip": ("text_model", "vision_model")}
"""The components that come along, None for all: searching needs no combined graph, which would repeat the towers."""
_FOLDER = Path(__file__).parent


def model_dir(name: str) -> Path:
    """Folder of an embedded fp32 web model.

    Raises:
        ModelError: there is no embedded model of that name.
    """
    if name not in NAMES:
        raise ModelError(f"there is no embedded model {name!r}", hint=did_you_mean(name, NAMES))
    return _FOLDER / "models" / name


def checkpoint_dir(name: str) -> Path:
    """Folder of the checkpoint that `model_dir` was exported from; raises as `model_dir` does."""
    model_dir(name)
    return _FOLDER / "checkpoints" / name
