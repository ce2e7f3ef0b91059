"""SigLIP's tokenizer as a tokenizer.json: transformers has none, its SiglipTokenizer is Python around SentencePiece.

Start with `siglip_tokenizer`. What SiglipTokenizer does to a text becomes a chain of normalizers: lower case, no
punctuation, single spaces (``canonicalize_text``), SentencePiece's own normalization, and ``▁`` in front. The order
matters: transformers.js takes ``▁`` for a space where it normalizes as SentencePiece does.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

SPACE = "▁"
UNIGRAM = 1
END, UNKNOWN = "</s>", "<unk>"


def siglip_tokenizer(path: Path, *, lower_case: bool) -> Tokenizer:
    """Make the fast tokenizer of SigLIP's ``spiece.model``.

    Raises:
        CheckpointError: the file is no SentencePiece model of the unigram kind, or lacks an end mark.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    proto = _read(path)
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    ids = {piece: number for number, (piece, _) in enumerate(pieces)}
    if proto.trainer_spec.model_type != UNIGRAM or END not in ids:
        raise CheckpointError(
            f"{path} is no unigram model with the end mark {END}", hint="take spiece.model from the original checkpoint"
        )
    unknown = proto.trainer_spec.unk_id
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=proto.trainer_spec.byte_fallback))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(SPACE, " "),
            *([normalizers.Lowercase()] if lower_case else []),
            normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(left=False, right=True),
            *_normalizers(proto.normalizer_spec.precompiled_charsmap),
            normalizers.Replace(Regex("^ "), f"{SPACE} "),
        ]
    )
    # Not normalizers.Prepend: of an empty text, transformers.js makes a token by it, and tokenizers makes none.
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Metaspace(replacement=SPACE)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, ids[END])])
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False, lstrip=True, rstrip=True)
            for token in dict.fromkeys((END, pieces[unknown][0]))
        ]
    )
    return tokenizer


def _normalizers(charsmap: bytes) -> Iterator[Normalizer]:
    """SentencePiece's own normalization, where a model has one: mostly NFKC, with ``▁`` taken for a space.

    SiglipTokenizer sends a text with ``▁`` in front: taken for a space, it swallows a space that follows.
    """
    from tokenizers import Regex, normalizers

    if not charsmap:
        return
    own = normalizers.Precompiled(charsmap)
    yield own
    yield normalizers.Replace(Regex(" {2,}"), " ")
    yield normalizers.Strip(left=own.normalize_str(SPACE) == " ", right=True)


def _read(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from transformers.convert_slow_tokenizer import import_protobuf

    proto = import_protobuf().ModelProto()  # type: ignore[no-untyped-call]
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise CheckpointError(
            f"{path} is no SentencePiece model: {error}", hint="download the checkpoint again"
        ) from error
    return proto
