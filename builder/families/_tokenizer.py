"""Tokenizers of checkpoints: the fast one, made from slow files where it is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("tokenizer.model",), ("spiece.model",))
"""Any of these sets is a whole tokenizer."""
HINT = "save tokenizer.json, or vocab.json and merges.txt, with the checkpoint"


def read_tokenizer(checkpoint: Path) -> Tokenizer:
    """Read tokenizer.json, or make it from the slow files (vocab.json and merges.txt, or a SentencePiece model).

    Raises:
        CheckpointError: there is no tokenizer, or Transformers cannot make a fast one of it.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    path = checkpoint / "tokenizer.json"
    if not any(all((checkpoint / name).is_file() for name in files) for files in TOKENIZER_FILES):
        # asked all the same, Transformers 5 makes an empty tokenizer from tokenizer_config.json alone
        raise CheckpointError(f"{checkpoint} has no tokenizer", hint=HINT)
    try:
        if path.is_file():
            return Tokenizer.from_file(str(path))
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True)
        backend = tokenizer.backend_tokenizer
    except Exception as error:  # tokenizers raises plain Exception
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise CheckpointError(f"{checkpoint} has no tokenizer that can be read: {reason[0]}", hint=HINT) from error
    assert isinstance(backend, Tokenizer)
    return backend


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a special token, which becomes the next free one where the tokenizer does not know it yet."""
    from tokenizers import AddedToken

    found = tokenizer.token_to_id(token)
    if found is None:
        tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        found = tokenizer.token_to_id(token)
    assert found is not None
    return int(found)
