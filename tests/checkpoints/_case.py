"""What a case is, and how tiny tokenizers and useful random weights are made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

CHAT_ML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class Captioner:
    """The PyTorch side of an image-text-to-text checkpoint, in float32.

    ``features`` gives image_features [rows, D] for pixels [1, 3, H, W] as the processor normalises them; ``inputs`` are
    the keyword arguments that ``model.generate`` takes for the same pixels.
    """

    model: Any
    features: Callable[[Tensor], Tensor]
    inputs: Callable[[Tensor], dict[str, Any]]

    def generate(self, input_ids: list[int], pixels: Tensor | None, new_tokens: int) -> list[int]:
        """The next ``new_tokens`` ids, greedily, whatever the end mark says; without ``pixels``, of words alone."""
        ids = torch.tensor([input_ids])
        with torch.no_grad():
            made = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new_tokens,
                min_new_tokens=new_tokens,
                do_sample=False,
                **(self.inputs(pixels) if pixels is not None else {}),
            )
        return [int(token) for token in made[0, ids.shape[1] :]]


@dataclass(frozen=True, kw_only=True)
class DualEncoder:
    """The PyTorch side of a CLIP-like checkpoint, in float32.

    ``texts`` gives vectors [T, D] for ids [T, length], padded as the web model's tokenizer pads them; ``images`` [I, D]
    for pixels [I, 3, H, W]; ``logits`` [I, T] of both, as the zero-shot pipeline wants them before softmax or sigmoid.
    """

    texts: Callable[[Tensor], Tensor]
    images: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One layout of one family. ``make`` writes the checkpoint into an empty folder and returns its PyTorch side."""

    name: str
    family: str
    make: Callable[[Path], Captioner | DualEncoder]


CONVOLUTION_GAIN = 1.4
"""Makes up for a GELU of small numbers, which is half of them."""
ATTENTION_GAIN = 2.0
"""Of queries and of keys: attention that picks some tokens, where an even mean would be nearly the same each time."""


def useful_weights(model: nn.Module, seed: int = 0) -> None:
    """Random weights with which signals keep their size from layer to layer, so that outputs are of order 1.

    What comes out has to hang on what goes in (`assert_telling`). A language model's table is smaller than what its
    blocks add: with rows of order 1, a table that is the output head too repeats the last token for ever, whatever
    attention and cache bring in.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                fan_in = parameter[0].numel()
                embeds = "embed" in name and parameter.dim() == 2 and "proj" not in name
                scale = 1.0 if embeds and "embed_tokens" not in name else fan_in**-0.5
                if parameter.dim() == 4:
                    scale *= CONVOLUTION_GAIN
                elif name.endswith(("q_proj.weight", "k_proj.weight")):
                    scale *= ATTENTION_GAIN
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
            elif name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
            elif "layer_scale" in name or "gamma" in name:
                parameter.fill_(0.3)
            elif name.endswith("class_embedding"):
                # Its constructor draws it anew in each run, and once in some hundred picture and text are orthogonal.
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.1)
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))


def round_to_bfloat16(model: nn.Module) -> None:
    """Give a float32 model the weights of its bfloat16 checkpoint; ``to`` would round the rotary frequencies too."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.bfloat16())


LEAST_DISTINCT, LEAST_CHANGE = 8, 0.2


def assert_telling(
    reference: Captioner, prompt: list[int], pixels: Tensor, first: list[int], follow: list[int], second: list[int]
) -> None:
    """Make sure that a wrong export would have said something else than ``first`` to ``prompt``, ``second`` thereafter.

    That is: answers are no loop of a few tokens, another picture gives other features and another answer, and without
    what came before, the cache, the second answer is another.
    """
    count = len(first)
    assert min(len(set(first)), len(set(second))) >= LEAST_DISTINCT, (first, second)
    other = pixels.flip(-1)
    with torch.no_grad():
        seen, changed = reference.features(pixels), reference.features(other)
    assert (seen - changed).std() >= LEAST_CHANGE * seen.std(), "the tower hardly sees its picture"
    assert reference.generate(prompt, other, count) != first, "the answer does not hang on the picture"
    assert reference.generate([first[-1], *follow], None, len(second)) != second, "the cache has no say"


def assert_apart(rows: Any) -> None:
    """Make sure that the vectors of the first two pictures or texts [n, D] differ."""
    assert (rows[0] - rows[1]).std() >= LEAST_CHANGE * rows.std(), "the tower says the same of everything"


WORDS = "a the is what of in picture image red blue green cup ball dog sign there how many see say and on . ? user"


def tiny_tokenizer(special: tuple[str, ...], *, vocab_size: int = 320) -> Any:
    """A byte-level BPE tokenizer of ``vocab_size`` tokens with ``special`` ones last, trained on a few words."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - len(special), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([WORDS] * 20, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
