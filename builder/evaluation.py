"""Task-level quality: what smaller dtypes do to captions, answers and rankings, on pictures that training never saw.

Start with `evaluate`. Evaluation sets are held-out scenes for the embedded models, and for any other a folder of the
user's pictures; a caption for ``cup.jpg`` stands in ``cup.txt`` or, by the picture's name, in ``captions.json``.

Scores are shares from 0 to 1:

- ``same_answers``: answers that are fp32's, token by token; ``same_tokens``: tokens of fp32's answers up to the first
  that differs, the end mark among them.
- ``right_answers``: answers that are the expected ones, where they are known; ``right_words``: the words that answer
  and expectation share, as a mean of precision and recall (F1), for captions that nobody words twice alike.
- ``image_cosine``, ``text_cosine``: mean cosine of vectors to fp32's.
- ``ranking``: Spearman's rank correlation with fp32's order of the pictures, averaged over queries (captions where
  there are any, else each picture among the others); ``same_first``: queries whose best picture is fp32's.
- ``recall_at_1``: captions that find their own picture.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from builder.errors import VerifyError
from builder.manifest import Manifest, Quality
from builder.parity import image_count
from builder.tasks import embed, fit_picture, pixel_values, read_tokenizer, write_answers

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
SCENES = 100
MOST_PICTURES = 500
TASK_SCORES = ("right_answers", "recall_at_1")
POINTS = 0.01
"""A tier that loses more than this share of right answers or of recall is told of, and marked in the report."""
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A picture, its caption where it has one, and questions about it with the expected answers."""

    name: str
    picture: Image.Image
    caption: str | None = None
    questions: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """``unreadable`` are files that look like pictures and are none."""

    source: str
    examples: tuple[Example, ...]
    unreadable: tuple[str, ...] = ()


def held_out(manifest: Manifest, *, count: int = SCENES) -> EvaluationSet | None:
    """The scenes that an embedded model is scored on; None for every other model."""
    from builder.embedded import NAMES
    from builder.embedded.painting import render
    from builder.embedded.scenes import DESCRIBE, questions
    from builder.embedded.score import HELD_OUT, SOURCE_PIXELS, held_out_scenes

    if manifest.name not in NAMES:
        return None
    examples = []
    for number, scene in enumerate(held_out_scenes(count, different=manifest.task != "image-text-to-text")):
        asked = questions(scene, np.random.default_rng([HELD_OUT + 1, number]))[:1]
        examples.append(
            Example(
                name=f"scene {number}",
                picture=render(scene, SOURCE_PIXELS),
                caption=scene.caption,
                questions=((DESCRIBE, scene.caption), *asked),
            )
        )
    return EvaluationSet(source="held-out scenes", examples=tuple(examples))


def read_folder(
    folder: Path, manifest: Manifest, *, most: int = MOST_PICTURES, report: Report | None = None
) -> EvaluationSet:
    """Read the user's first ``most`` pictures by name, each brought to the model's size at once.

    Those that cannot be read are named to ``report`` and left out.

    Raises:
        VerifyError: there is no such folder, no readable picture in it, or captions.json is no object of texts.
    """
    if not folder.is_dir():
        raise VerifyError(f"{folder} is no folder of pictures", hint="give a folder with .jpg or .png files in it")
    try:
        captions = _captions(folder)
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith("."))
    except OSError as error:
        raise VerifyError(f"{folder} cannot be read: {error}", hint="give a folder that you may read") from error
    question = manifest.prompts[0].text if manifest.prompts else "Describe the picture."
    examples, unreadable = list[Example](), list[str]()
    for path in paths:
        if len(examples) == most:
            break
        try:
            picture = Image.fromarray(fit_picture(_open(path), manifest.image))
            caption = _caption(path, captions)
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
            unreadable.append(path.name)
            if report is not None:
                report(f"{path.name} cannot be read as a picture and is left out: {error}")
            continue
        examples.append(Example(name=path.name, picture=picture, caption=caption, questions=((question, caption),)))
    if not examples:
        found = f"; {len(unreadable)} files look like pictures and cannot be read" if unreadable else ""
        raise VerifyError(f"{folder} holds no picture that can be read{found}", hint="put .jpg or .png files into it")
    if report is not None and len(examples) < len(paths):
        report(f"{len(examples)} of {len(paths)} pictures in {folder.name} are used")
    return EvaluationSet(source=folder.name, examples=tuple(examples), unreadable=tuple(unreadable))


def _open(path: Path) -> Image.Image:
    """A picture as 8-bit RGB, turned upright; 16 bits become 8 as browsers make them, not white."""
    with Image.open(path) as opened:
        if opened.mode.startswith("I"):
            values = np.asarray(opened, np.float32) / 257
            return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8)).convert("RGB")
        return ImageOps.exif_transpose(opened).convert("RGB")


def _caption(path: Path, captions: Mapping[str, str]) -> str | None:
    """What is known of a picture; an empty text says nothing of it."""
    beside = path.with_suffix(".txt")
    text = captions.get(path.name, captions.get(path.stem))
    if text is None and beside.is_file():
        text = beside.read_text(encoding="utf-8-sig", errors="replace")
    return (text or "").strip() or None


def _captions(folder: Path) -> Mapping[str, str]:
    path = folder / "captions.json"
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))  # Windows' editors begin a file with a mark
    except ValueError as error:
        raise VerifyError(f"{path} is no JSON: {error}", hint='write {"cup.jpg": "a red cup"}, or delete it') from error
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise VerifyError(f"{path} is no object of texts", hint='write {"cup.jpg": "a red cup"}, or delete it')
    return found


def calibration_pixels(model_dir: Path, manifest: Manifest, folder: Path, report: Report | None = None) -> np.ndarray:
    """As many of the user's pictures as are measured on, as the model gets them: float32 [pictures, 3, H, W].

    Raises:
        VerifyError: see `read_folder`.
    """
    found = read_folder(folder, manifest, most=image_count(manifest), report=report)
    return pixel_values(model_dir, manifest, [example.picture for example in found.examples])


class Evaluator:
    """Compares dtype maps of one model with fp32, which runs once."""

    def __init__(self, model_dir: Path, manifest: Manifest, examples: EvaluationSet) -> None:
        self.model_dir, self.manifest, self.examples = model_dir, manifest, examples
        self.captioner = manifest.task == "image-text-to-text"
        plain = dict.fromkeys(manifest.components, "fp32")
        self.answers = self._answers(plain) if self.captioner else []
        self.vectors = None if self.captioner else self._vectors(plain)

    def _pixels(self) -> Iterator[np.ndarray]:
        """The pictures one by one: 500 of 1,024 pixels a side take 6 GB as floats."""
        for example in self.examples.examples:
            yield pixel_values(self.model_dir, self.manifest, [example.picture])[0]

    def evaluate(self, dtypes: Mapping[str, str]) -> Quality:
        """Scores of one dtype per component, beside fp32's."""
        scores, fp32 = self._captions(dtypes) if self.captioner else self._rankings(dtypes)
        return Quality(
            source=self.examples.source,
            images=len(self.examples.examples),
            scores={name: round(value, 4) for name, value in scores.items()},
            fp32={name: round(value, 4) for name, value in fp32.items()},
        )

    def evaluate_tiers(
        self, tiers: Mapping[str, Mapping[str, str]], report: Report | None = None
    ) -> dict[str, Quality]:
        """Scores of every tier; two tiers with the same files are measured once."""
        measured: dict[tuple[tuple[str, str], ...], Quality] = {}
        for tier, dtypes in tiers.items():
            key = tuple(sorted(dtypes.items()))
            if key not in measured:
                if report is not None:
                    report(f"{self.examples.source}: {tier}")
                measured[key] = self.evaluate(dtypes)
            if report is not None:
                for name, lost in lost_points(measured[key]).items():
                    report(f"{tier} loses {100 * lost:.1f} points of {name.replace('_', ' ')} against fp32")
        return {tier: measured[tuple(sorted(dtypes.items()))] for tier, dtypes in tiers.items()}

    def _answers(self, dtypes: Mapping[str, str]) -> list[list[int]]:
        asked = [[question for question, _ in example.questions] for example in self.examples.examples]
        found = write_answers(self.model_dir, self.manifest, dtypes, self._pixels(), asked)
        return [answer for answers in found for answer in answers]

    def _captions(self, dtypes: Mapping[str, str]) -> tuple[dict[str, float], dict[str, float]]:
        got = self._answers(dtypes)
        pairs = list(zip(got, self.answers, strict=True))
        scores = {
            "same_answers": float(np.mean([a == b for a, b in pairs])),
            "same_tokens": sum(_common(a, b) for a, b in pairs) / sum(len(b) + 1 for _, b in pairs),
        }
        expected = [answer for example in self.examples.examples for _, answer in example.questions]
        if not any(expected):
            return scores, {}
        plain = self._right(self.answers, expected)
        return {**scores, **self._right(got, expected)}, plain

    def _right(self, answers: Sequence[list[int]], expected: Sequence[str | None]) -> dict[str, float]:
        tokenizer = read_tokenizer(self.model_dir)
        pairs = [(tokenizer.decode(a).strip(), e.strip()) for a, e in zip(answers, expected, strict=True) if e]
        return {
            "right_answers": float(np.mean([answer == wanted for answer, wanted in pairs])),
            "right_words": float(np.mean([_shared_words(answer, wanted) for answer, wanted in pairs])),
        }

    def _vectors(self, dtypes: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
        texts = [example.caption for example in self.examples.examples if example.caption]
        return embed(self.model_dir, self.manifest, dtypes, self._pixels(), texts)

    def _rankings(self, dtypes: Mapping[str, str]) -> tuple[dict[str, float], dict[str, float]]:
        assert self.vectors is not None
        plain_pictures, plain_texts = self.vectors
        pictures, texts = self._vectors(dtypes)
        scores = {"image_cosine": float((pictures * plain_pictures).sum(axis=1).mean())}
        own = [row for row, example in enumerate(self.examples.examples) if example.caption]
        if len(texts):
            scores["text_cosine"] = float((texts * plain_texts).sum(axis=1).mean())
            got, want = texts @ pictures.T, plain_texts @ plain_pictures.T
        else:
            got, want = (_among_others(rows) for rows in (pictures, plain_pictures))
        if got.shape[1] > 1:
            scores["ranking"] = float(np.mean([_spearman(a, b) for a, b in zip(got, want, strict=True)]))
            scores["same_first"] = float((got.argmax(axis=1) == want.argmax(axis=1)).mean())
        if not len(texts):
            return scores, {}
        scores["recall_at_1"] = float((got.argmax(axis=1) == own).mean())
        return scores, {"recall_at_1": float((want.argmax(axis=1) == own).mean())}


def lost_points(quality: Quality) -> dict[str, float]:
    """The task's own scores that fell by more than `POINTS`, and by how much."""
    lost = {n: quality.fp32[n] - quality.scores[n] for n in TASK_SCORES if n in quality.fp32 and n in quality.scores}
    return {name: by for name, by in lost.items() if by > POINTS + 1e-9}


def _common(got: Sequence[int], want: Sequence[int]) -> int:
    """Tokens of ``want`` before the first that differs; the end mark counts as one."""
    for at, (a, b) in enumerate(zip(got, want, strict=False)):
        if a != b:
            return at
    return len(want) + 1 if len(got) == len(want) else min(len(got), len(want))


def _shared_words(answer: str, wanted: str) -> float:
    """F1 of the words of two texts, as SQuAD counts it: small letters, without punctuation."""
    got, want = (Counter(re.findall(r"\w+", text.lower())) for text in (answer, wanted))
    shared = sum((got & want).values())
    return 2 * shared / max(got.total() + want.total(), 1)


def _among_others(rows: np.ndarray) -> np.ndarray:
    """Similarity of each row to all others: [rows, rows - 1]."""
    count = len(rows)
    similar: np.ndarray = (rows @ rows.T)[~np.eye(count, dtype=bool)].reshape(count, count - 1)
    return similar


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of two rows of scores; ties, which real numbers have none of, are broken by position."""
    first, second = (np.argsort(np.argsort(row, kind="stable")) for row in (a, b))
    return float(np.corrcoef(first, second)[0, 1])
