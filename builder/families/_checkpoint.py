"""Read the weights of a checkpoint, strictly: nothing missing, nothing left over, no remote code, no pickles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from builder.errors import BuilderError, CheckpointError
from builder.families._contract import read_json
from builder.hub.weights import weight_files

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel

Model = TypeVar("Model", bound="PreTrainedModel")


def load_transformers(
    kind: type[Model],
    checkpoint: Path,
    *,
    config: PretrainedConfig | None = None,
    key_mapping: Mapping[str, str] | None = None,
    dropped: tuple[str, ...] = (),
) -> Model:
    """Load a Transformers checkpoint in its own dtype, tensor by tensor.

    ``key_mapping`` are regular expressions from the checkpoint's names to those of ``kind``; ``dropped`` begin the
    names of tensors that the model has no use for.

    Raises:
        CheckpointError: the config is invalid, or contradicts the weights: tensors missing, left over, or of another
            shape; the weights are quantized, or not finite.
    """
    refuse_quantized(checkpoint)
    mapping = dict(key_mapping) if key_mapping is not None else None
    with library_errors(f"{checkpoint} cannot be loaded", hint=CONTRADICTION_HINT):
        configs: Any = kind.config_class
        described = config or configs.from_pretrained(checkpoint, local_files_only=True)
        shapes = weight_shapes(weight_files(checkpoint))
        refuse_giant(checkpoint, lambda: kind(described), shapes)
        loaded: Any = kind.from_pretrained(
            checkpoint,
            config=config,
            dtype="auto",
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            key_mapping=mapping,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they come back by name, and are refused below
        )
    model: Model
    model, found = loaded
    for name, shape, asked in sorted(found["mismatched_keys"]):
        raise _misfit(checkpoint, name, shape, asked)
    left = {name for name in found["unexpected_keys"] if not name.startswith(dropped)}
    refuse_contradiction(checkpoint, set(found["missing_keys"]), left)
    for name, tensor in model.state_dict().items():
        refuse_unusable(checkpoint, name, tensor)
    model.train(False)
    return model


CONTRADICTION_HINT = "config.json does not describe these weights: take both from the same checkpoint"
GIANT, SLACK = 1.5, 1_000_000
"""A model of more than so many times the numbers of the files, and so many more, is none that they can fill."""


@contextmanager
def library_errors(what: str, *, hint: str) -> Iterator[None]:
    """Say in one line what a library runs into that builds a model as a config wants it.

    Configs decide which code runs, so that any exception may come of them; its type is part of the message.

    Raises:
        CheckpointError: for every other exception, which it has as its cause.
    """
    try:
        yield
    except (BuilderError, MemoryError):
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no message"]
        # strict dataclasses say where first, and then what
        reason = lines[1] if lines[0].endswith(":") and len(lines) > 1 else f"{type(error).__name__}: {lines[0]}"
        raise CheckpointError(f"{what}: {reason}", hint=hint) from error


def refuse_quantized(checkpoint: Path) -> None:
    """Refuse weights that only a quantizer's own kernels can read.

    Raises:
        CheckpointError: config.json has a ``quantization_config``; the message has the method.
    """
    raw = read_json(checkpoint / "config.json")
    for part in (raw, raw.get("text_config")):
        found = part.get("quantization_config") if isinstance(part, dict) else None
        if found:
            method = found.get("quant_method") if isinstance(found, dict) else found
            raise CheckpointError(
                f"{checkpoint} holds weights that are quantized already ({method})",
                hint="export the unquantized checkpoint; `webgpu-demo quantize` makes the smaller dtypes",
            )


def refuse_giant(checkpoint: Path, build: Callable[[], nn.Module], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a config of a far larger model than the files hold, before it takes its memory.

    ``build`` makes the model; here it does so without memory, on the meta device.

    Raises:
        CheckpointError: there are far too few numbers; both counts are in the message.
    """
    from torch import device
    from transformers import PreTrainedModel
    from transformers.initialization import meta_device_safe_creation_ops, no_init_weights

    with device("meta"), no_init_weights(), meta_device_safe_creation_ops():
        model = build()
        if isinstance(model, PreTrainedModel):
            model.tie_weights()
        asked = sum(tensor.numel() for tensor in model.parameters())
    held = sum(prod(shape) for shape in shapes.values())
    if asked > GIANT * held + SLACK:
        raise CheckpointError(
            f"{checkpoint} holds {held:,} numbers, and its config asks for a model of {asked:,}",
            hint=CONTRADICTION_HINT,
        )


def refuse_unusable(where: Path, name: str, tensor: Tensor) -> None:
    """Refuse weights from which only NaN can come.

    Raises:
        CheckpointError: a number is NaN or infinite.
    """
    from torch import aminmax, isfinite

    if not tensor.is_floating_point() or not tensor.numel():
        return
    bounds = aminmax(tensor.detach())  # needs no second tensor, and hands on a NaN
    if not bool(isfinite(bounds.min) & isfinite(bounds.max)):
        raise CheckpointError(
            f"{where}: {name} holds NaN or infinite numbers",
            hint="take a checkpoint whose training did not diverge, or save it in a wider dtype",
        )


def _misfit(where: Path, name: str, shape: Sequence[int], asked: Sequence[int]) -> CheckpointError:
    return CheckpointError(
        f"{where}: {name} has shape {tuple(shape)}, the config asks for {tuple(asked)}", hint=CONTRADICTION_HINT
    )


def refuse_contradiction(checkpoint: Path, missing: set[str], left_over: set[str]) -> None:
    """Name a few of the tensors that config and weights disagree on.

    Raises:
        CheckpointError: there is one.
    """
    for what, names in (("no weights for", missing), ("weights that its config has no place for:", left_over)):
        if names:
            shown = ", ".join(sorted(names)[:3])
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise CheckpointError(f"{checkpoint} has {what} {shown}{more}", hint=CONTRADICTION_HINT)


def fill(module: nn.Module, paths: Sequence[Path], rename: Callable[[str], str | None] = lambda name: name) -> None:
    """Copy safetensors files into ``module`` tensor by tensor, casting to the module's dtype.

    ``rename`` leads from a name in the files to that in the module, or to None for what is dropped. Every tensor of
    the module must be there, and every other one must be dropped.

    Raises:
        CheckpointError: names or shapes differ, a tensor is there twice, or a number is not finite.
    """
    from safetensors import safe_open

    state = module.state_dict(keep_vars=False)
    missing = set(state)
    left_over: set[str] = set()
    for path in paths:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  safe_open is no mapping
                ours = rename(name)
                if ours is None:
                    continue
                if ours not in state:
                    left_over.add(name)
                    continue
                if ours not in missing:
                    raise CheckpointError(
                        f"{path.parent} holds {ours} twice, the second time in {path.name}",
                        hint="leave one version of the weights in the folder",
                    )
                tensor = file.get_tensor(name)
                if tensor.shape != state[ours].shape:
                    if tensor.numel() != state[ours].numel() or tensor.squeeze().shape != state[ours].squeeze().shape:
                        raise _misfit(path, name, tensor.shape, state[ours].shape)
                    tensor = tensor.reshape(state[ours].shape)
                refuse_unusable(path, name, tensor)
                state[ours].copy_(tensor)
                missing.discard(ours)
    refuse_contradiction(paths[0].parent, missing, left_over)


def weight_shapes(paths: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """Name → shape of every tensor, from the headers."""
    from safetensors import safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for path in paths:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118  safe_open is no mapping
                shapes[name] = tuple(file.get_slice(name).get_shape())
    return shapes


def language_weights(inner: nn.Module, head: nn.Module | None) -> dict[str, Tensor]:
    """State dict of a plain causal model from its inner ``model.language_model`` and its output head.

    The head is left out where it shares the embedding table.
    """
    weights: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in inner.state_dict().items()}
    if head is not None:
        table, output = inner.get_parameter("embed_tokens.weight"), head.get_parameter("weight")
        if output.data_ptr() != table.data_ptr():
            weights["lm_head.weight"] = output.detach()
    return weights
