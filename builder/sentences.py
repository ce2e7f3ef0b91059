"""What a page asks its model about every album: labels to tag it with, neutral sentences that tell what chance gives.

They stand in the page's sentences.json alone. A site gets them beside its model, with their vectors, so that no visitor
has to wait until the text encoder has read a hundred sentences; the page computes what is not there. Vectors belong to
the files of one text encoder, by their checksums, and to one sentence each, by its words: a page with other files or
other sentences finds none. web_template/pages/photo-search/sentences.js reads this file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BuilderError, ModelError
from builder.manifest import Manifest, Variant, file_sha256, parse

FILE_NAME = "sentences.json"
ENCODER = "text_model"


@dataclass(frozen=True, kw_only=True)
class Sentences:
    """``labels``: what a photo is tagged with → what the model is asked for it; ``neutral``: what no photo shows."""

    labels: Mapping[str, str]
    neutral: tuple[str, ...]

    def all(self) -> list[str]:
        return [*self.labels.values(), *self.neutral]


def read_sentences(path: Path) -> Sentences:
    """Raises OSError, ValueError, KeyError or TypeError where the file does not hold them."""
    found = parse(Sentences, json.loads(path.read_text(encoding="utf-8")))
    assert isinstance(found, Sentences)
    return found


def sentences_record(
    sentences: Sentences, model_dir: Path, manifest: Manifest, *, report: Callable[[str], None]
) -> dict[str, object]:
    """What a site's sentences.json holds: the sentences, and their vectors by each text encoder of ``manifest``.

    Encoders whose weights are rounded alike share theirs, as in an index of photos (album/space.py). ``codes`` are by
    sentence, in base64, int8 as album/vectors.py makes them; their length gives the scale. An encoder that cannot run
    here has none, and ``report`` is told why.
    """
    vectors = []
    for variants in _alike(manifest):
        towers = [tower_id(variant) for variant in variants]
        try:
            vectors.append({"towers": towers, "codes": _codes(sentences.all(), model_dir, manifest, variants[0])})
        except BuilderError as error:
            report(
                f"without vectors of the page's labels by {variants[0].path}, which visitors compute: {error.message}"
            )
    return {"labels": dict(sentences.labels), "neutral": list(sentences.neutral), "vectors": vectors}


def tower_id(variant: Variant) -> str:
    """The checksums of a graph and of its external data."""
    return " ".join([variant.sha256, *(entry.sha256 for entry in variant.data)])


def _alike(manifest: Manifest) -> list[list[Variant]]:
    """The text encoders in groups of one rounding; first in each is the one that a processor computes best."""
    from builder.album.space import rounding

    groups: dict[str, list[Variant]] = {}
    variants = manifest.components.get(ENCODER, {})
    for dtype in sorted(variants):
        groups.setdefault(rounding(manifest, dtype, ENCODER), []).append(variants[dtype])
    return [sorted(group, key=lambda variant: variant.needs_f16) for group in groups.values()]


def _codes(texts: Sequence[str], model_dir: Path, manifest: Manifest, variant: Variant) -> dict[str, str]:
    from builder.album.vectors import encode
    from builder.tasks import TextEncoder

    for path, sha256 in [(variant.path, variant.sha256), *((entry.path, entry.sha256) for entry in variant.data)]:
        if file_sha256(model_dir / path) != sha256:
            raise ModelError(f"{path} is corrupt", hint="export or download the model again")
    try:
        codes, _ = encode(TextEncoder(model_dir, manifest, variant.path).vectors(texts))
    except ValueError as error:
        raise ModelError(f"it gave {error}", hint="export or quantize the model again") from error
    return {text: base64.b64encode(row.tobytes()).decode("ascii") for text, row in zip(texts, codes, strict=True)}
