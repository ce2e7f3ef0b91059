"""Which indexes and models belong together: the vector space, a digest of what decides where a picture's vector lies.

It covers the fp32 graph of the picture encoder with its external data, the preprocessor's config, and how pictures are
fitted (`ImageFacts`). So it changes with the weights, a normalisation or a resampling, and vectors of two models are
never mixed.

It does not cover the text encoder, because an index holds pictures only, nor how the weights are rounded: an index of
one rounding can be searched with words of another. But vectors of two roundings lie apart, those of scenes-clip in fp32
and in q4 by a cosine down to 0.978, and order photos otherwise. So an index says by which rounding it was made
(`rounding`), and a page with another one says so. Halving the floats is none: q4 and q4f16 differ by 0.0001.

A site carries no fp32 graph, so build notes the digest in its manifest (`Manifest.vector_space`) before it cuts the
others out. A model without an fp32 graph, somebody else's, is told by the graphs that it has.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from builder.errors import ModelError
from builder.manifest import Manifest, Variant

ENCODER = "vision_model"
PREPROCESSOR = "preprocessor_config.json"
PURPOSE = "webgpu-demo vector space 1"


def vector_space(manifest: Manifest) -> str:
    """The vector space of a dual encoder, 64 hexadecimal digits.

    Raises:
        ModelError: the model has no picture encoder of its own.
    """
    if manifest.vector_space is not None:
        return manifest.vector_space
    variants = manifest.components.get(ENCODER)
    if not variants:
        raise ModelError(
            f"{manifest.name} makes no vectors of pictures: it has no {ENCODER}",
            hint="take a model for photo-search, such as scenes-clip",
        )
    graphs = [variants["fp32"]] if "fp32" in variants else [variants[dtype] for dtype in sorted(variants)]
    files = [digest for variant in graphs for digest in _digests(variant)]
    files += [entry.sha256 for entry in manifest.files if entry.path == PREPROCESSOR]
    facts = {"purpose": PURPOSE, "files": files, "image": asdict(manifest.image)}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def rounding(manifest: Manifest, dtype: str, component: str = ENCODER) -> str:
    """How the weights of an encoder are rounded: "fp32", or the recipe of ``dtype`` whichever its floats are.

    web_template/pages/photo-search/model.js says the same of the graph that a page runs.
    """
    recipe = manifest.components[component][dtype].recipe or dtype
    return "fp32" if recipe == "fp16" else recipe.replace("q4f16", "q4", 1)


def index_dtype(manifest: Manifest) -> str:
    """The dtype of the picture encoder that makes an index: what pages run on processors, so that both agree."""
    variants = manifest.components[ENCODER]
    wanted = manifest.tiers.get("wasm", {}).get(ENCODER, "fp32")
    return wanted if wanted in variants else min(variants)


def _digests(variant: Variant) -> list[str]:
    return [variant.sha256, *(entry.sha256 for entry in sorted(variant.data, key=lambda entry: entry.path))]
