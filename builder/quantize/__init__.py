"""quantize: add dtype variants to a web model, from its fp32 graphs.

Start with `quantize`. weights.py does matrix products, embeddings.py tables, half.py float16. Which variant a visitor
gets is for verify/ to say, after it has measured them. The fp32 graphs are never changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import QuantizeError, did_you_mean
from builder.manifest import SUFFIXES, Manifest, Variant, read_manifest, write_manifest

if TYPE_CHECKING:
    from onnx import ModelProto

BLOCK_SIZE = 32
BITS = {"q8": 8, "q4": 4, "q4f16": 4}


@dataclass(frozen=True, kw_only=True)
class QuantizeResult:
    """What was written: component → dtype → bytes, with fp32 beside for comparison."""

    path: Path
    sizes: dict[str, dict[str, int]]


def quantize(model_dir: Path, *, dtypes: Sequence[str], report: Callable[[str], None] | None = None) -> QuantizeResult:
    """Add ``dtypes`` (fp16, q8, q4, q4f16) to every component of a web model.

    All files are made beside the model and moved in together, the manifest last: an interrupted run leaves what was
    there and can be run again. A variant that is already there is made anew; its measured error is dropped until the
    next `verify`.

    Raises:
        ModelError: the folder is no web model, or a graph in it is corrupt.
        QuantizeError: a dtype is unknown, no fp32 graph is there to start from, or the folder cannot be written.
    """
    from builder.graphs import load_graph, read_variant, save_graph

    known = [dtype for dtype in SUFFIXES if dtype != "fp32"]
    wrong = [dtype for dtype in dtypes if dtype not in known]
    if wrong:
        raise QuantizeError(f"there is no dtype {wrong[0]!r}", hint=did_you_mean(wrong[0], known))
    manifest = read_manifest(model_dir)
    plain = {name: variants.get("fp32") for name, variants in manifest.components.items()}
    missing = [name for name, variant in plain.items() if variant is None]
    if missing:
        raise QuantizeError(
            f"{model_dir} has no fp32 graph of {', '.join(missing)}",
            hint="quantize starts from fp32: export the checkpoint again",
        )
    for variant in plain.values():
        assert variant is not None
        load_graph(model_dir / variant.path)  # all problems before the first write
    components: dict[str, dict[str, Variant]] = {name: dict(v) for name, v in manifest.components.items()}
    with _staging(model_dir) as staged:
        for name, variants in components.items():
            for dtype in dict.fromkeys(dtypes):
                if report is not None:
                    report(f"{name} {dtype}")
                graph = load_graph(model_dir / variants["fp32"].path)
                path = f"onnx/{name}{SUFFIXES[dtype]}.onnx"
                save_graph(convert(graph, dtype), staged / path)
                variants[dtype] = read_variant(staged, path)
        for made in sorted((staged / "onnx").iterdir()):
            made.replace(model_dir / "onnx" / made.name)
        updated: Manifest = replace(manifest, components=components)
        write_manifest(model_dir, updated)
    sizes = {name: {dtype: v.total_bytes for dtype, v in variants.items()} for name, variants in components.items()}
    return QuantizeResult(path=model_dir, sizes=sizes)


@contextmanager
def _staging(model_dir: Path) -> Iterator[Path]:
    """A hidden folder in the model's, so that new graphs are moved in together when all of them are made."""
    staged = model_dir / ".quantize.part"
    try:
        shutil.rmtree(staged, ignore_errors=True)
        (staged / "onnx").mkdir(parents=True)
        yield staged
    except OSError as error:
        raise QuantizeError(
            f"{model_dir} cannot be written: {(error.strerror or str(error)).lower()}",
            hint="make room, or copy the model to a folder that you may write to",
        ) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def convert(graph: ModelProto, dtype: str) -> ModelProto:
    """Return the fp32 ``graph`` in another dtype; the graph given is used up.

    Features and embeddings keep float32 inputs and outputs in every dtype (see half.py), and a quantized embedding
    table answers in float32 by itself, so that its q4f16 is its q4.
    """
    from builder.quantize.embeddings import is_embedding, quantize_embedding
    from builder.quantize.half import to_half
    from builder.quantize.weights import quantize_weights

    bits = BITS.get(dtype)
    if bits is not None and is_embedding(graph):
        return quantize_embedding(graph, bits=bits, block_size=BLOCK_SIZE)
    if bits is not None:
        graph = quantize_weights(graph, bits=bits, block_size=BLOCK_SIZE)
    return to_half(graph) if dtype in ("fp16", "q4f16") else graph
