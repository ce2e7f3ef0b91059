"""The two tokenizers of the embedded models, learnt from the scenes' own grammar.

`chat_tokenizer` is a byte-level BPE with ChatML marks as Qwen2 has it; `clip_tokenizer` is a lower-casing BPE with
word-end marks as CLIP has it. Both can spell any text; the words of the grammar become single tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from builder.embedded.scenes import (
    COLOURS,
    COUNTS,
    DESCRIBE_VARIANTS,
    KINDS,
    WORDS,
    plural,
    questions,
    sample_scene,
    with_article,
)

CHAT_SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHAT_VOCABULARY = 512
CLIP_SPECIALS = ("<|startoftext|>", "<|endoftext|>")
CLIP_VOCABULARY = 768
CLIP_CONTEXT = 32

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen2's published pre-tokenization expression."""
CLIP_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""CLIP's published pre-tokenization expression."""


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Id of a token that the vocabulary is known to hold."""
    found = tokenizer.token_to_id(token)
    if found is None:
        raise KeyError(token)
    return int(found)


def _grammar(samples: int) -> Iterator[str]:
    """Every word of the grammar and a seeded draw of its sentences."""
    rng = np.random.default_rng(20261101)
    yield "user\nassistant\nsystem\n"
    for kind in KINDS:
        for colour in COLOURS:
            yield f"{with_article(f'{colour} {kind}')} {plural(kind)} {' '.join(COUNTS.values())}"
    for word in WORDS:
        yield f"a sign that says {word}"
    for _ in range(samples):
        scene = sample_scene(rng)
        yield str(rng.choice(DESCRIBE_VARIANTS)) + "\n" + scene.caption
        for question, answer in questions(scene, rng):
            yield f"user\n{question}\nassistant\n{answer}\n"


def chat_tokenizer() -> Tokenizer:
    """Byte-level BPE of `CHAT_VOCABULARY` entries, the four ChatML marks last."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=CHAT_VOCABULARY - len(CHAT_SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_grammar(4000), trainer)
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in CHAT_SPECIALS])
    return tokenizer


def clip_tokenizer() -> Tokenizer:
    """Lower-casing BPE with ``</w>`` marks; the end mark has the highest id, where the text tower reads its vector."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merge_count = CLIP_VOCABULARY - 2 * len(alphabet) - len(CLIP_SPECIALS)
    trainer = trainers.BpeTrainer(
        vocab_size=CLIP_VOCABULARY, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(_grammar(4000), trainer)
    # The trainer knows only the word ends it saw. Like CLIP's own vocabulary, ours holds every byte in both forms, so
    # that no text needs the unknown token, which would be taken for the end mark.
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]][:merge_count]
    tokens = [*alphabet, *(byte + "</w>" for byte in alphabet), *("".join(merge) for merge in merges)]
    tokenizer.model = models.BPE(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=merges,
        end_of_word_suffix="</w>",
        unk_token="<|endoftext|>",
    )
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in CLIP_SPECIALS])
    start, end = (token_id(tokenizer, mark) for mark in CLIP_SPECIALS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>",
        special_tokens=[("<|startoftext|>", start), ("<|endoftext|>", end)],
    )
    return tokenizer
