"""Train scenes-vlm and scenes-clip together, from nothing, on scenes drawn as they are needed.

Both models share one tower while they learn: each step draws new scenes and adds three losses on the same features,
the captioner's next-token loss on captions and answers, the contrastive loss of the two CLIP towers, and a per-cell
loss that says which kinds, colours and words lie in each cell of the last feature map. The last is scaffolding: it
breaks the long plateau of the first two and is thrown away. `PHASES` says how pictures grow and talk changes.

The run saves its whole state every few minutes and goes on from there when it is started again; `write_checkpoints`
(in checkpoints.py) turns the state into the two folders that ship. Every scene comes from (seed, its number), so an
interrupted run sees the same pictures as an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from builder.embedded.architecture import IMAGE_SIZE, STRIDE, TEXT_WIDTH, TOWER_WIDTH, clip_config, text_config
from builder.embedded.painting import render
from builder.embedded.scenes import (
    COLOURS,
    DESCRIBE,
    DESCRIBE_VARIANTS,
    KINDS,
    SIGN_SHARE,
    WORDS,
    Scene,
    questions,
    sample_scene,
)
from builder.embedded.vocabulary import CLIP_CONTEXT, chat_tokenizer, clip_tokenizer, token_id

SEED = 20261121
IMAGES = 192_000
BATCH = 64
PEAK_RATE = 2e-3
"""Highest learning rate."""
CELL_CLASSES = (*KINDS, "sign", *COLOURS, *WORDS)
IGNORED = -100


def load_image(scene: Scene, size: int, rng: np.random.Generator) -> np.ndarray:
    """Paint a scene as uint8 [size, size, 3], a third of the time by way of another size or JPEG, as visitors' do."""
    if rng.random() < 0.35:
        image = render(scene, int(rng.integers(size, 3 * size)))
        if rng.random() < 0.4:
            file = BytesIO()
            image.save(file, "JPEG", quality=int(rng.integers(55, 95)))
            image = Image.open(file)
        ways = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)
        image = image.resize((size, size), ways[int(rng.integers(len(ways)))])
    else:
        image = render(scene, size)
    return np.asarray(image)


Turn = tuple[str, str]


def chat_ids(tokenizer: Tokenizer, turns: list[Turn], image_tokens: int) -> tuple[list[int], list[int]]:
    """Token ids of a conversation about one picture, and their labels: only answers and their end marks count."""
    image = token_id(tokenizer, "<image>")
    ids: list[int] = []
    labels: list[int] = []
    for index, (question, answer) in enumerate(turns):
        lead = "<image>\n" if index == 0 else ""
        asked = tokenizer.encode(f"<|im_start|>user\n{lead}{question}<|im_end|>\n<|im_start|>assistant\n").ids
        if index == 0:
            at = asked.index(image)
            asked = [*asked[:at], *[image] * image_tokens, *asked[at + 1 :]]
        answered = tokenizer.encode(f"{answer}<|im_end|>").ids
        newline = tokenizer.encode("\n").ids
        ids += asked + answered + newline
        labels += [IGNORED] * len(asked) + answered + [IGNORED] * len(newline)
    return ids, labels


@dataclass(frozen=True, kw_only=True)
class Batch:
    pixels: Tensor  # float32 [B, 3, S, S], 0 to 1
    ids: Tensor  # int64 [B, T]
    labels: Tensor  # int64 [B, T]
    texts: Tensor  # int64 [B, CLIP_CONTEXT]
    same: Tensor  # bool [B, B], whether two captions are one
    cells: Tensor  # float32 [B, classes, S / 32, S / 32]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of the run, up to the share ``until`` of it: picture size, signs, and what is talked about.

    ``describe_first``, ``ask_first`` and the rest share the conversations: a caption and a question about it; a
    question and then the caption; and where ``only`` says so, a caption alone or three questions alone.
    """

    until: float
    size: int
    sign_share: float = SIGN_SHARE
    describe_first: float = 0.0
    ask_first: float = 0.0
    describe_only: float = 0.0

    def draw_turns(self, rng: np.random.Generator, describe: Turn, asked: list[Turn]) -> list[Turn]:
        drawn = rng.random()
        if drawn < self.describe_first:
            return [describe, asked[0]]
        if drawn < self.describe_first + self.ask_first:
            return [asked[0], describe]
        if drawn < self.describe_first + self.ask_first + self.describe_only:
            return [describe]
        return asked


PHASES = (
    Phase(until=0.51, size=96, describe_first=0.55, ask_first=0.45),
    Phase(until=0.56, size=IMAGE_SIZE, describe_first=0.55, ask_first=0.45),
    # A question after the caption is answered from the caption's words. From here questions have the picture alone.
    Phase(until=0.865, size=IMAGE_SIZE, sign_share=0.5, ask_first=0.2, describe_only=0.3),
    Phase(until=1.0, size=IMAGE_SIZE, sign_share=0.25, ask_first=0.1, describe_only=0.1),
)


class SceneBatches(torch.utils.data.Dataset[Batch]):
    """Batch number n of a run, a function of (seed, n) alone."""

    def __init__(self, plan: list[Phase], batch: int) -> None:
        self.plan, self.batch = plan, batch
        self.chat, self.clip = chat_tokenizer(), clip_tokenizer()

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, step: int) -> Batch:
        phase = self.plan[step]
        size = phase.size
        grid = size // STRIDE
        images, chats, texts, captions = [], [], [], []
        cells = torch.zeros(self.batch, len(CELL_CLASSES), grid, grid)
        for row in range(self.batch):
            rng = np.random.default_rng([SEED, step, row])
            scene = sample_scene(rng, unseen=False, sign_share=phase.sign_share)
            images.append(load_image(scene, size, rng))
            for thing in scene.things:
                x, y = (min(grid - 1, int(v * grid)) for v in (thing.x, thing.y))
                names = ("sign", thing.word) if thing.word else (thing.kind, thing.colour)
                for name in names:
                    cells[row, CELL_CLASSES.index(str(name)), y, x] = 1
            asked = questions(scene, rng)[:3]
            describe = (DESCRIBE if rng.random() < 0.7 else str(rng.choice(DESCRIBE_VARIANTS)), scene.caption)
            turns = phase.draw_turns(rng, describe, asked)
            chats.append(chat_ids(self.chat, turns, grid * grid))
            texts.append(self.clip.encode(scene.caption).ids)
            captions.append(scene.caption)
        length = max(len(ids) for ids, _ in chats)
        ids, labels = torch.zeros(self.batch, length, dtype=torch.long), torch.full((self.batch, length), IGNORED)
        text = torch.zeros(self.batch, CLIP_CONTEXT, dtype=torch.long)
        for row in range(self.batch):
            ids[row, : len(chats[row][0])] = torch.tensor(chats[row][0])
            labels[row, : len(chats[row][1])] = torch.tensor(chats[row][1])
            text[row, : len(texts[row])] = torch.tensor(texts[row])
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div_(255)
        same = torch.tensor([[a == b for b in captions] for a in captions])
        return Batch(pixels=pixels, ids=ids, labels=labels, texts=text, same=same, cells=cells)


class Learner(nn.Module):
    """Both models around one tower, with the scaffolding."""

    cell_weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        import open_clip
        from transformers import Qwen2Config, Qwen2ForCausalLM

        config = clip_config()
        self.clip = open_clip.CustomTextCLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
        for name, parameter in self.clip.visual.trunk.named_parameters():
            if name.endswith("gamma"):  # timm starts them at 1e-5, which small towers never leave
                nn.init.constant_(parameter, 0.5)
        self.projector = nn.Sequential(nn.Linear(TOWER_WIDTH, TEXT_WIDTH), nn.GELU(), nn.Linear(TEXT_WIDTH, TEXT_WIDTH))
        vocabulary = chat_tokenizer()
        self.image_id = token_id(vocabulary, "<image>")
        settings = text_config(bos=token_id(vocabulary, "<|endoftext|>"), eos=token_id(vocabulary, "<|im_end|>"))
        self.language = Qwen2ForCausalLM(Qwen2Config(**{k: v for k, v in settings.items() if k != "model_type"}))
        self.cells = nn.Conv2d(TOWER_WIDTH, len(CELL_CLASSES), 1)
        # a word lies in one cell of one scene in ten: without weight, reading is the last thing that pays
        weight = torch.tensor([4.0 if name in WORDS else 1.0 for name in CELL_CLASSES])
        self.register_buffer("cell_weight", weight[:, None, None], persistent=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        trunk = self.clip.visual.trunk
        features = trunk.forward_features(batch.pixels)  # [B, C, S / 32, S / 32]
        losses = {"caption": self._language_loss(features, batch), "contrast": self._contrast_loss(features, batch)}
        losses["cells"] = functional.binary_cross_entropy_with_logits(
            self.cells(features), batch.cells, weight=self.cell_weight, pos_weight=torch.tensor(6.0)
        )
        return losses

    def _language_loss(self, features: Tensor, batch: Batch) -> Tensor:
        rows = self.projector(features.flatten(2).transpose(1, 2))
        embeds = self.language.get_input_embeddings()(batch.ids)
        embeds = embeds.masked_scatter(batch.ids.eq(self.image_id)[..., None], rows)
        hidden = self.language.model(inputs_embeds=embeds, use_cache=False).last_hidden_state[:, :-1]
        counted = batch.labels[:, 1:].ne(IGNORED)
        return functional.cross_entropy(self.language.lm_head(hidden[counted]), batch.labels[:, 1:][counted])

    def _contrast_loss(self, features: Tensor, batch: Batch) -> Tensor:
        image = functional.normalize(self.clip.visual.trunk.forward_head(features), dim=-1)
        text = self.clip.encode_text(batch.texts, normalize=True)
        scale = self.clip.logit_scale.clamp(max=math.log(60)).exp()
        logits = scale * image @ text.T
        logits = logits.masked_fill(batch.same & ~torch.eye(len(logits), dtype=torch.bool), -1e4)
        target = torch.arange(len(logits))
        return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


WEIGHTS = {"caption": 1.0, "contrast": 0.3, "cells": 4.0}


def plan_phases(images: int, batch: int) -> list[Phase]:
    """The phase of each step, in proportion to `PHASES`."""
    steps = images // batch
    return [next(phase for phase in PHASES if step < phase.until * steps) for step in range(steps)]


def learning_rate(step: int, steps: int, peak: float) -> float:
    """A short rise, then 1 - progress²: high for long, because reading and yes-or-no come late, and 0 at the end."""
    return peak * min(1.0, (step + 1) / 300) * (1 - (step / steps) ** 2)


def save_state(path: Path, state: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def train(
    work: Path,
    *,
    images: int = IMAGES,
    batch: int = BATCH,
    peak: float = PEAK_RATE,
    threads: int = 1,
    save_every_s: float = 120,
) -> None:
    """Run or go on with a training in ``work``; at its end ``state.pt`` has ``step`` equal to the plan's length."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # a denormal in one gradient slows a whole step down a hundredfold
    torch.manual_seed(SEED)
    learner = Learner()
    learner.clip.visual.trunk.to(memory_format=torch.channels_last)
    decayed = [p for p in learner.parameters() if p.ndim > 1]
    others = [p for p in learner.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.98)
    )
    plan = plan_phases(images, batch)
    start = 0
    path = work / "state.pt"
    work.mkdir(parents=True, exist_ok=True)
    if path.exists():
        state = torch.load(path, weights_only=True)
        learner.load_state_dict(state["learner"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]

    def snapshot(step: int) -> None:
        save_state(
            path, {"learner": learner.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "batch": batch}
        )

    rows = torch.utils.data.DataLoader(
        SceneBatches(plan, batch), batch_size=None, sampler=range(start, len(plan)), num_workers=1, prefetch_factor=6
    )
    learner.train()
    saved, running = time.monotonic(), dict.fromkeys(WEIGHTS, math.nan)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        bar = progress.add_task("training", total=len(plan), completed=start)
        for step, rows_of_step in zip(range(start, len(plan)), _batches(rows), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, len(plan), peak)
            pixels = rows_of_step.pixels.contiguous(memory_format=torch.channels_last)
            losses = learner(replace(rows_of_step, pixels=pixels))
            total = sum((WEIGHTS[name] * loss for name, loss in losses.items()), torch.zeros(()))
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            norm = nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
            if not math.isfinite(float(norm)):  # a poisoned step must not reach the weights
                continue
            optimizer.step()
            for name, loss in losses.items():
                value = loss.item()
                running[name] = value if math.isnan(running[name]) else 0.98 * running[name] + 0.02 * value
            text = " ".join(f"{name} {value:.3f}" for name, value in running.items())
            progress.update(bar, advance=1, description=text)
            if step % 50 == 0:
                with (work / "log.txt").open("a") as log:
                    log.write(f"{time.time():.0f} step {step} size {plan[step].size} {text}\n")
            if time.monotonic() - saved > save_every_s:
                snapshot(step + 1)
                saved = time.monotonic()
    snapshot(len(plan))


def _batches(loader: Any) -> Iterator[Batch]:
    yield from loader
