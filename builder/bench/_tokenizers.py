"""Byte-level BPE tokenizers as large as published ones: as many tokens, of about their length, merged at random."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

CHAT_ML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LONGEST = 16
"""Letters of a token at most; with this the mean is near the 8.7 bytes of Qwen2's, many of which are not ASCII."""


def write_tokenizer(folder: Path, *, tokens: int, special: Sequence[str]) -> dict[str, int]:
    """Write tokenizer.json with ``tokens`` tokens, the ``special`` ones last; returns the ids of these."""
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _merges(alphabet, tokens - len(alphabet) - len(special))
    words = [*alphabet, *(a + b for a, b in merges)]
    ids = {token: len(words) + number for number, token in enumerate(special)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token, number in ids.items()
        ],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(words)} | ids,
            "merges": [list(pair) for pair in merges],
        },
    }
    text = json.dumps(tokenizer, ensure_ascii=False, indent=2)  # as Transformers saves it
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    return ids


def _merges(alphabet: Sequence[str], count: int) -> list[tuple[str, str]]:
    """``count`` pairs of earlier tokens, each of which makes a new one of a length drawn from 2 to ``LONGEST``."""
    random = np.random.default_rng(0)
    letters = [letter for letter in alphabet if letter.isascii() and letter.isalpha()] + ["Ġ"]
    by_length: dict[int, list[str]] = {1: letters, **{length: [] for length in range(2, LONGEST + 1)}}
    known, merges = set(alphabet), list[tuple[str, str]]()
    while len(merges) < count:
        length = int(random.integers(2, LONGEST + 1))
        left = int(random.integers(1, length))
        firsts, seconds = by_length[left], by_length[length - left]
        if not firsts or not seconds:
            continue
        first, second = firsts[random.integers(len(firsts))], seconds[random.integers(len(seconds))]
        if first + second not in known:
            known.add(first + second)
            by_length[length].append(first + second)
            merges.append((first, second))
    return merges
