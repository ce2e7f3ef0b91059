"""What a family is: how one kind of model is recognised, loaded and cut into components.

A family says what is in a checkpoint; export/ turns that into ONNX and files. A module in this folder that defines
``FAMILY`` is found by discovery, registered with optimum (_registry.py) and run through the parametrised tests; there
is no list to edit. Families never write files and never import a verb.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.errors import CheckpointError
from builder.manifest import Context, Generation, ImageFacts, Prompt, parse

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor, nn
    from transformers import PretrainedConfig

    from builder.families._registry import WebExporterConfig

Json = Mapping[str, Any]
DEFAULT_PROMPTS = (
    Prompt(id="describe", label="Describe", text="Describe the image in one sentence."),
    Prompt(id="read", label="Read the text", text="What does the text in the image say?"),
)


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """A graph that is traced.

    ``module`` takes ``inputs`` (examples by name) in their order, in whatever dtype the checkpoint has: export turns it
    into float32 when its turn comes, so that one component at a time is held in full. ``axes`` names each input's
    dynamic axes, ``outputs`` what the module returns, in its order; each is compared with PyTorch on ``others``, which
    are no examples of the trace and of another length.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    others: Mapping[str, Tensor]
    axes: Mapping[str, Mapping[int, str]]
    outputs: tuple[str, ...]
    tolerance: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class Language:
    """A causal language model: its table becomes ``embed_tokens``, the rest ``decoder_model_merged``.

    ``config`` is that of a plain causal model (Qwen2Config, LlamaConfig, ...), ``weights`` its state dict by the names
    of that class, in the checkpoint's own dtype. An output head is there when it is not tied to the table.
    """

    config: PretrainedConfig
    weights: Mapping[str, Tensor]
    tolerance: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A loaded checkpoint, cut up.

    ``configs`` are the JSON files to write (an empty one is left out). ``tokenizer`` is written where the checkpoint's
    own tokenizer.json will not do; ``tokenizer_settings`` are laid over its tokenizer_config.json, and
    ``chat_template`` stands in where it has none.
    """

    model_type: str
    task: str
    image: ImageFacts
    context: Context
    encoders: tuple[Encoder, ...]
    configs: Mapping[str, Json]
    language: Language | None = None
    tokenizer: Tokenizer | None = None
    tokenizer_settings: Json = field(default_factory=dict)
    chat_template: str | None = None
    prompts: tuple[Prompt, ...] = ()
    generation: Generation = field(default_factory=Generation)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of model.

    ``model_types`` are, by library, the names that checkpoints of this kind have in their config; they are registered
    with optimum for ``task``, together with ``exporter_config``. ``load`` reads the weights of a checkpoint folder.
    """

    name: str
    checkpoints: tuple[str, ...]
    model_types: Mapping[str, tuple[str, ...]]
    task: str
    exporter_config: type[WebExporterConfig]
    load: Callable[[Path], Parts]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or {} where there is no such file.

    Raises:
        CheckpointError: the file is there and is no JSON object, or cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no JSON: {error}", hint="download the checkpoint again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object", hint="download the checkpoint again")
    return value


def unreadable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read: {(error.strerror or str(error)).lower()}", hint=f"make it readable: chmod +r {path}"
    )


def section(raw: Json, key: str, path: Path) -> dict[str, Any]:
    """The JSON object at ``key`` of what ``path`` holds, or {} where there is none.

    Raises:
        CheckpointError: there is something else.
    """
    value = raw.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CheckpointError(
            f'{path} has {value!r} for "{key}", which is no JSON object', hint="download the checkpoint again"
        )
    return value


def read_demo(checkpoint: Path) -> tuple[tuple[Prompt, ...], Generation]:
    """The prompts that suit a captioner and the longest answer worth waiting for, by its ``demo.json`` or by default.

    Raises:
        CheckpointError: the file is there and says something else.
    """
    path = checkpoint / "demo.json"
    try:
        demo = parse(_Demo, read_json(path))
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} cannot be used: {error}",
            hint='write {"prompts": [{"id": "a", "label": "A", "text": "What is this?"}], '
            '"generation": {"max_new_tokens": 64}}',
        ) from error
    return demo.prompts or DEFAULT_PROMPTS, demo.generation or Generation(max_new_tokens=128)


@dataclass(frozen=True, kw_only=True)
class _Demo:
    """What a demo.json holds."""

    prompts: tuple[Prompt, ...] = ()
    generation: Generation | None = None
