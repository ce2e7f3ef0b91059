"""Are the weights in a folder whole? Told from headers and lengths, and from checksums where the Hub left one.

Reads no tensor into memory and nothing from the network. What the weights mean is for families/ to say.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from builder.errors import CheckpointError
from builder.manifest import file_sha256

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
PICKLES_HINT = "save the weights as safetensors; pickled weights can run code and are never loaded"
INDEX = ".safetensors.index.json"
SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")
SHA256 = re.compile(r"[0-9a-f]{64}")
WHOLE = "model.safetensors"
OPEN_CLIP_CONFIG, OPEN_CLIP = "open_clip_config.json", "open_clip"
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
LENGTH_BYTES = 8
"""A safetensors file: the header's length in 8 bytes, the header (JSON), the tensors. See safetensors' format.md."""
LONGEST_HEADER = 100_000_000
"""The limit that the safetensors library sets."""

BITS: Mapping[str, int] = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
"""The dtypes of safetensors, and the bits of one number."""


def choose_weights(names: Collection[str]) -> list[str]:
    """Of all files of a checkpoint, those that hold the model: OpenCLIP's, else one file, else its numbered shards.

    So Transformers chooses. What lies beside them repeats the model in another dtype (``model.fp16.safetensors``) or is
    none of it, and is neither fetched nor counted.
    """
    found = sorted(name for name in names if name.endswith(".safetensors"))
    if OPEN_CLIP_CONFIG in names and (own := [name for name in found if name.startswith(OPEN_CLIP)]):
        return own
    if WHOLE in names:
        return [WHOLE]
    stem = WHOLE.partition(".")[0]
    return [name for name in found if (shard := SHARD.fullmatch(name)) and shard["stem"] == stem] or found


def weight_files(folder: Path) -> list[Path]:
    """The files of a folder that hold its model, see `choose_weights`."""
    return [folder / name for name in choose_weights([path.name for path in folder.iterdir()])]


def check_weights(folder: Path, *, report: Callable[[str], None] | None = None) -> None:
    """Make sure that the model's *.safetensors files are whole and every shard of an index is there.

    Where the Hub's cache or download notes hold a file's SHA-256, the file is hashed and compared.

    Raises:
        CheckpointError: no safetensors (pickles are named), a truncated or damaged file, a missing shard.
    """
    files = weight_files(folder)
    alone = [path for path in files if path.name == WHOLE or path.name.startswith(OPEN_CLIP)]
    indexes = [] if alone else sorted(folder.glob(f"*{INDEX}"))
    if not files and not indexes:
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        held = f", only {', '.join(pickles[:3])}" if pickles else ""
        raise CheckpointError(f"{folder} holds no *.safetensors{held}", hint=PICKLES_HINT)
    tensors = {path.name: _read_names(path) for path in files}
    for index in indexes:
        _check_index(index, tensors)
    _check_numbers(folder, files, indexes)
    for path in files:
        _check_sum(path, report)


def _read_names(path: Path) -> frozenset[str]:
    """Names of a file's tensors, once its length is what its header says."""
    found = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(LENGTH_BYTES)
        if LFS_POINTER.startswith(start) and start:
            raise CheckpointError(
                f"{path} is a Git LFS pointer of {found} bytes, not the weights",
                hint=f"run `git lfs pull` in {path.parent}, or give the Hub id instead of a clone",
            )
        length = int.from_bytes(start, "little")
        if len(start) < LENGTH_BYTES or length > min(found - LENGTH_BYTES, LONGEST_HEADER):
            if len(start) == LENGTH_BYTES and length <= LONGEST_HEADER:
                raise _truncated(path, LENGTH_BYTES + length, found, "at least ")
            raise _damaged(path, f"its {found} bytes do not begin as safetensors do")
        raw = file.read(length)
    try:
        header = json.loads(raw)
        entries = {name: value["data_offsets"] for name, value in header.items() if name != "__metadata__"}
        end = max((max(map(operator.index, span)) for span in entries.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, "its header cannot be read") from error
    expected = LENGTH_BYTES + length + end
    if found < expected:
        raise _truncated(path, expected, found)
    if found > expected:
        raise _damaged(path, f"its header speaks of {expected:,} bytes, and it has {found:,}")
    for name in entries:
        _check_tensor(path, name, header[name])
    return frozenset(entries)


def _check_tensor(path: Path, name: str, entry: dict[str, Any]) -> None:
    """A tensor has as many bytes as its dtype and shape say."""
    dtype, shape, span = entry.get("dtype"), entry.get("shape"), entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _damaged(path, f"{name} is of dtype {dtype!r}, which safetensors does not have")
    if not isinstance(shape, list) or not all(isinstance(axis, int) and axis >= 0 for axis in shape):
        raise _damaged(path, f"{name} has the shape {shape!r}")
    if len(span) != 2 or span[0] < 0 or prod(shape) * BITS[dtype] != (span[1] - span[0]) * 8:
        raise _damaged(path, f"{name} is {dtype} of shape {shape}, and its bytes are {span}")


def _truncated(path: Path, expected: int, found: int, least: str = "") -> CheckpointError:
    return CheckpointError(
        f"{path} is truncated: its header speaks of {least}{expected:,} bytes, and it has {found:,}",
        hint=_anew(path),
    )


def _damaged(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: {why}", hint=_anew(path))


def _anew(path: Path) -> str:
    return f"remove {path.resolve()} and download it again"


def _check_index(index: Path, tensors: dict[str, frozenset[str]]) -> None:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        listed: dict[str, set[str]] = {}
        for name, shard in weight_map.items():
            listed.setdefault(str(shard), set()).add(str(name))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{index} is no index of safetensors: {error!r}", hint=_anew(index)) from error
    missing = sorted(set(listed) - set(tensors))
    if missing:
        raise CheckpointError(
            f"{index.parent} lacks {_some(missing)}, which {index.name} lists",
            hint="download the checkpoint again: what is there is kept",
        )
    for shard, names in sorted(listed.items()):
        lacking, unlisted = names - tensors[shard], tensors[shard] - names
        if lacking:
            raise CheckpointError(
                f"{index.parent / shard} lacks {_some(lacking)}, which {index.name} says it holds",
                hint="index and weights are of two versions: download the checkpoint again",
            )
        if unlisted:
            raise CheckpointError(
                f"{index.parent / shard} holds {_some(unlisted)}, which {index.name} does not list",
                hint="index and weights are of two versions: download the checkpoint again",
            )


def _check_numbers(folder: Path, files: Iterable[Path], indexes: Iterable[Path]) -> None:
    """Shards are named N-of-M: without an index nothing would say that some are missing."""
    shards = [found for path in files if (found := SHARD.fullmatch(path.name))]
    stems = {index.name.removesuffix(INDEX) for index in indexes}
    for stem in sorted({shard["stem"] for shard in shards} - stems):
        count = max(int(shard["count"]) for shard in shards if shard["stem"] == stem)
        raise CheckpointError(
            f"{folder} holds shards of {stem} ({count} in all), but no {stem}{INDEX}",
            hint="download the checkpoint again: what is there is kept",
        )


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - 3} more" if len(ordered) > 3 else ""
    return ", ".join(ordered[:3]) + more


def _check_sum(path: Path, report: Callable[[str], None] | None) -> None:
    expected = known_sha256(path)
    if expected is None:
        return
    if report is not None:
        report(f"comparing the checksum of {path.name}")
    found = file_sha256(path)
    if found != expected:
        raise CheckpointError(
            f"{path} is damaged: the checksum says so (SHA-256 {found[:12]}…, on the Hub {expected[:12]}…)",
            hint=_anew(path),
        )


def known_sha256(path: Path) -> str | None:
    """The SHA-256 that the Hub gave for a file, where huggingface_hub left it; None where it did not.

    In its cache a large file is a link to ``blobs/<sha256>``. A download into a folder leaves
    ``.cache/huggingface/download/<name>.metadata``: commit, ETag and the time, after which the file must not have
    changed (the rule of huggingface_hub's ``read_download_metadata``).
    """
    blob = path.resolve()
    if blob.parent.name == "blobs" and SHA256.fullmatch(blob.name):
        return blob.name
    note = path.parent / ".cache" / "huggingface" / "download" / f"{path.name}.metadata"
    if not note.is_file():
        return None
    lines = note.read_text(encoding="utf-8").split()
    if len(lines) != 3 or not SHA256.fullmatch(lines[1]):
        return None
    try:
        noted = float(lines[2])
    except ValueError:
        return None
    return lines[1] if path.stat().st_mtime - 1 <= noted else None
