"""What a family is: how one kind of model is recognised, loaded and cut into components.

A family says what is in a checkpoint; export/ turns that into ONNX and files. A module in this folder that defines
``FAMILY`` is found by `find_family` and by the parametrised tests; there is no list to edit. Families never write files
and never import a verb.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.errors import CheckpointError, did_you_mean
from builder.manifest import Context, Generation, ImageFacts, Prompt

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A graph that is traced: ``inputs`` are examples by name, ``axes`` names each input's dynamic axes."""

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    axes: Mapping[str, Mapping[int, str]]
    outputs: tuple[str, ...]
    tolerance: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class Language:
    """A causal language model without its embedding table, which becomes ``embed_tokens``."""

    model: PreTrainedModel
    tolerance: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A loaded checkpoint, cut up. ``configs`` are JSON files to write, ``copied`` files to take as they are."""

    model_type: str
    task: str
    image: ImageFacts
    context: Context
    encoders: tuple[Encoder, ...]
    configs: Mapping[str, Json]
    copied: tuple[str, ...]
    language: Language | None = None
    prompts: tuple[Prompt, ...] = ()
    generation: Generation = field(default_factory=Generation)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of model. ``recognises`` looks at a checkpoint's JSON files only; ``load`` reads the weights."""

    name: str
    checkpoints: tuple[str, ...]
    recognises: Callable[[Path], bool]
    load: Callable[[Path], Parts]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or {} where there is no such file.

    Raises:
        CheckpointError: the file is there and is no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}", hint="download the checkpoint again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object", hint="download the checkpoint again")
    return value


def read_demo(checkpoint: Path) -> tuple[tuple[Prompt, ...], Generation | None]:
    """Read a checkpoint's optional ``demo.json``: the prompts that suit it and the longest answer worth waiting for."""
    raw = read_json(checkpoint / "demo.json")
    try:
        prompts = tuple(Prompt(**prompt) for prompt in raw.get("prompts", ()))
        generation = Generation(**raw["generation"]) if "generation" in raw else None
    except TypeError as error:
        raise CheckpointError(f"{checkpoint / 'demo.json'}: {error}", hint="prompts have id, label and text") from error
    return prompts, generation


@cache
def all_families() -> Mapping[str, Family]:
    """Name → family, by discovery."""
    return {family.name: family for family in _discover()}


def _discover() -> Iterator[Family]:
    package = importlib.import_module(__package__ or "builder.families")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            yield importlib.import_module(f"{package.__name__}.{module.name}").FAMILY


def find_family(checkpoint: Path, name: str | None = None) -> Family:
    """Find the family of a checkpoint folder.

    Raises:
        CheckpointError: the named family does not exist, or none recognises the checkpoint.
    """
    families = all_families()
    if name is not None:
        if name not in families:
            raise CheckpointError(f"there is no family {name!r}", hint=did_you_mean(name, families))
        return families[name]
    for family in families.values():
        if family.recognises(checkpoint):
            return family
    kind = read_json(checkpoint / "config.json").get("model_type", "no model_type")
    supported = "; ".join(f"{f.name} ({', '.join(f.checkpoints)})" for f in families.values())
    raise CheckpointError(f"{checkpoint} is of no supported family ({kind})", hint=f"supported: {supported}")
