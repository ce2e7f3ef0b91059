"""Recognition through optimum: its TasksManager infers library and task, and its register holds every family.

Start with `find_family`. A family's `WebExporterConfig` is an optimum `ExporterConfig` for each of its graphs: axes by
name, dummy inputs, tolerances. open_clip is a library that optimum does not know; its checkpoints are told by their
``open_clip_config.json``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from optimum.exporters.base import ExporterConfig
from optimum.exporters.tasks import TasksManager
from torch import manual_seed, nn, random

from builder.errors import CheckpointError, did_you_mean
from builder.families._contract import Encoder, Family, read_json, section
from builder.hub.weights import OPEN_CLIP, OPEN_CLIP_CONFIG, choose_weights
from builder.licence import called

EXPORTER = "onnx"
NO_TYPE = "none"
ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The signature of one traced component: axes by name, and the tolerance against PyTorch (see `Encoder`)."""

    inputs: Mapping[str, Mapping[int, str]]
    outputs: tuple[str, ...]
    tolerance: float = 1e-4


class WebExporterConfig(ExporterConfig):  # type: ignore[misc]  # optimum has no types
    """optimum's export description of a family, whose ``GRAPHS`` are several; `encoder` binds a module to one."""

    GRAPHS: ClassVar[Mapping[str, Graph]] = {}

    def __init__(self, config: Any, task: str, component: str | None = None) -> None:
        super().__init__(config, task)
        self.component = component or next(iter(self.GRAPHS))
        self.ATOL_FOR_VALIDATION = self.GRAPHS[self.component].tolerance

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return {name: dict(axes) for name, axes in self.GRAPHS[self.component].inputs.items()}

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return {name: {0: "batch_size"} for name in self.GRAPHS[self.component].outputs}

    @classmethod
    def encoder(
        cls, component: str, module: nn.Module, config: Any, *, image_size: int, text_tokens: int = 8
    ) -> Encoder:
        """Bind ``module`` to a graph of this family, with seeded dummy inputs: two square pictures, two texts.

        What it is compared on is one picture, or one text that is shorter; of similarities nine, because that of one
        picture to one text may be next to nothing, against which any error is large.
        """
        described = cls(config, "feature-extraction", component)

        def draw(seed: int, batch: int, length: int) -> dict[str, Any]:
            with random.fork_rng(devices=[]):
                manual_seed(seed)
                drawn: dict[str, Any] = described.generate_dummy_inputs(
                    framework="pt", batch_size=batch, height=image_size, width=image_size, sequence_length=length
                )
            return drawn

        graph = cls.GRAPHS[component]
        batches = {axes[0] for axes in described.inputs.values()}
        return Encoder(
            name=component,
            module=module.eval(),
            inputs=draw(0, 2, text_tokens),
            others=draw(1, 1 if len(batches) == 1 else 3, max(4, text_tokens - 3)),
            axes=described.inputs,
            outputs=graph.outputs,
            tolerance=graph.tolerance,
        )


@cache
def all_families() -> Mapping[str, Family]:
    """Name → family, by discovery; registers every one with optimum."""
    families = {family.name: family for family in _discover()}
    TasksManager._LIBRARY_TO_SUPPORTED_MODEL_TYPES.setdefault(OPEN_CLIP, {})
    register = TasksManager.create_register(EXPORTER, overwrite_existing=True)
    for family in families.values():
        for library, model_types in family.model_types.items():
            for model_type in model_types:
                register(model_type, family.task, library_name=library)(family.exporter_config)
    return families


def _discover() -> Iterator[Family]:
    package = importlib.import_module(__package__ or "builder.families")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            yield importlib.import_module(f"{package.__name__}.{module.name}").FAMILY


def find_family(checkpoint: Path, name: str | None = None, *, weights: Collection[str] = ()) -> Family:
    """Find the family of a checkpoint folder, or the one that is called ``name``.

    ``weights`` are names of files that belong to it and are not there yet.

    Raises:
        CheckpointError: there is no such family, or it does not know this kind of checkpoint, or none does.
    """
    families = all_families()
    if name is not None:
        if name not in families:
            raise CheckpointError(f"there is no family {name!r}", hint=did_you_mean(name, families))
        _refuse_other_kind(checkpoint, families[name], weights)
        return families[name]
    library, model_type = infer_kind(checkpoint, weights)
    try:
        tasks = TasksManager.get_supported_tasks_for_model_type(model_type, EXPORTER, library_name=library)
    except KeyError as error:
        known = sorted({kind for family in families.values() for kind in family.model_types.get(library, ())})
        supported = "; ".join(f"{f.name} ({', '.join(f.checkpoints)})" for f in families.values())
        near = _nearest(model_type, known)
        raise CheckpointError(
            f"{called(checkpoint)} is of no supported family ({library} model type {model_type!r})",
            hint=f"{near} supported: {supported}" if near.startswith("did") else f"supported: {supported}",
        ) from error
    described = {constructor.func for constructor in tasks.values()}
    return next(family for family in families.values() if family.exporter_config in described)


def _refuse_other_kind(checkpoint: Path, family: Family, weights: Collection[str]) -> None:
    """Hold a family that was asked for against the checkpoint.

    A Transformers config without a type is taken at the user's word; what an OpenCLIP description says is judged where
    it is read.
    """
    library, model_type = infer_kind(checkpoint, weights)
    known = family.model_types.get(library, ())
    if known and (library == OPEN_CLIP or model_type in (*known, NO_TYPE)):
        return
    kinds = "; ".join(f"{kind}: {', '.join(types)}" for kind, types in family.model_types.items())
    raise CheckpointError(
        f"{called(checkpoint)} is not of the family {family.name} ({library} model type {model_type!r})",
        hint=f"leave --family out, or give a checkpoint of type {kinds}",
    )


def _nearest(model_type: str, known: list[str]) -> str:
    """Hint for a model type: names go on where models do, so that llava_next is nearer to llava than to llava_qwen2."""
    begun = [kind for kind in known if model_type.startswith(kind)]
    return f"did you mean {max(begun, key=len)!r}?" if begun else did_you_mean(model_type, known)


def infer_kind(checkpoint: Path, weights: Collection[str] = ()) -> tuple[str, str]:
    """Library and model type of a checkpoint folder, from its JSON files and the names of the others alone.

    Raises:
        CheckpointError: the folder has no config that a library would read, or is an adapter.
    """
    _refuse_adapter(checkpoint)
    settings = read_json(checkpoint / OPEN_CLIP_CONFIG)
    own = any(name.startswith(OPEN_CLIP) for name in choose_weights([OPEN_CLIP_CONFIG, *weights, *_names(checkpoint)]))
    if settings and (own or not (checkpoint / "config.json").is_file()):
        return OPEN_CLIP, _open_clip_type(settings, checkpoint / OPEN_CLIP_CONFIG)
    config = read_json(checkpoint / "config.json")
    if not config:
        raise CheckpointError(
            f"{checkpoint} has no config.json",
            hint="give the folder of a Transformers or OpenCLIP checkpoint, or a Hub id",
        )
    library = str(TasksManager.infer_library_from_model(str(checkpoint)))
    if library == "sentence_transformers":  # its files beside a config of Transformers, which the model is read by
        library = "transformers"
    kind = config.get("model_type") or config.get("architecture") or NO_TYPE
    return library, str(kind)


def _names(checkpoint: Path) -> list[str]:
    return [path.name for path in checkpoint.iterdir()]


def _refuse_adapter(checkpoint: Path) -> None:
    """An adapter alone is no model, and beside its base's weights it would be left out without a word."""
    if (checkpoint / ADAPTER_CONFIG).is_file():
        base = read_json(checkpoint / ADAPTER_CONFIG).get("base_model_name_or_path")
        raise CheckpointError(
            f"{called(checkpoint)} holds an adapter (LoRA, {ADAPTER_CONFIG}) for {base or 'another model'}",
            hint="merge it into its model first: PeftModel.from_pretrained(model, adapter).merge_and_unload()"
            ".save_pretrained(folder), and export that folder with the model's tokenizer and processor",
        )


def _open_clip_type(settings: Mapping[str, Any], path: Path) -> str:
    """The kind of an OpenCLIP model: optimum's register wants a word where open_clip has only a description."""
    vision = section(section(settings, "model_cfg", path), "vision_cfg", path)
    tower = str(vision.get("timm_model_name") or "")
    if not tower:
        return "clip"
    return "mobileclip" if tower.startswith("fastvit") or "_mci" in tower or "_clip" in tower else tower
