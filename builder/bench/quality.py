"""bench quality: what the shipped dtypes of each device tier do to the task itself, against fp32.

The embedded models run on held-out scenes, another model with ``--model`` on the pictures of ``--eval``. Everything
runs in onnxruntime on the CPU; that a browser gives the same tokens on WASM and WebGPU is for the tests to show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from builder.bench._contract import Bench, Goal, Measure, Outcome, Setting
from builder.bench._shipped import shipped_models
from builder.errors import BenchError
from builder.evaluation import EvaluationSet, Evaluator, held_out, read_folder
from builder.manifest import Manifest, Quality, read_manifest

SCENES = 300
POINT = 1.0
CAPTIONS, QUESTIONS = "captions", "questions"
LABELS = {
    "same_answers": "as fp32's, token by token",
    "same_tokens": "tokens as fp32's up to the first that differs",
    "right_answers": "right",
    "right_words": "words right",
    "recall_at_1": "recall@1",
    "image_cosine": "cosine of pictures to fp32's",
    "text_cosine": "cosine of texts to fp32's",
    "ranking": "agreement of rankings with fp32's",
    "same_first": "first picture as fp32's",
}
TASK = ("right_answers", "recall_at_1")


def _run(setting: Setting) -> Outcome:
    measures, goals, notes = list[Measure](), list[Goal](), list[str]()
    for path in setting.models or shipped_models(setting.work, setting.report).values():
        manifest = read_manifest(path)
        if not manifest.tiers:
            raise BenchError(f"{path} has no tiers yet", hint=f"webgpu-demo verify {path}")
        examples = _examples(setting, path, manifest)
        notes.append(f"{manifest.name}: {len(examples.examples)} pictures, {examples.source}.")
        for part, chosen in _parts(manifest, examples):
            setting.report(f"{manifest.name}: {part or 'rankings'}, fp32")
            tiers = Evaluator(path, manifest, chosen).evaluate_tiers(manifest.tiers, setting.report)
            case = ", ".join(filter(None, (manifest.name, part)))
            measures += _measures(case, tiers)
            goals += _goals(case, tiers)
    return Outcome(measures=tuple(measures), goals=tuple(goals), notes=tuple(notes))


def _examples(setting: Setting, path: Path, manifest: Manifest) -> EvaluationSet:
    if setting.evaluation is not None:
        return read_folder(setting.evaluation, manifest, report=setting.report)
    found = held_out(manifest, count=SCENES)
    if found is None:
        raise BenchError(
            f"there are no pictures to compare {manifest.name} on", hint=f"give --model {path} --eval PICTURES"
        )
    return found


def _parts(manifest: Manifest, examples: EvaluationSet) -> Iterator[tuple[str, EvaluationSet]]:
    """Captions and answers to questions apart, where a model gives both; rankings as they are."""
    if manifest.task != "image-text-to-text":
        yield "", examples
        return
    for name, part in ((CAPTIONS, slice(0, 1)), (QUESTIONS, slice(1, None))):
        chosen = tuple(replace(example, questions=example.questions[part]) for example in examples.examples)
        if any(example.questions for example in chosen):
            yield name, replace(examples, examples=chosen)


def _measures(case: str, tiers: dict[str, Quality]) -> Iterator[Measure]:
    plain = next(iter(tiers.values())).fp32
    for name, label in LABELS.items():
        found = {tier: quality.scores[name] for tier, quality in tiers.items() if name in quality.scores}
        values = ({"fp32": plain[name]} if name in plain else {}) | found
        for contestant, value in values.items():
            yield _measure(f"{case}: {label}", contestant, name, value)


def _measure(case: str, contestant: str, score: str, value: float) -> Measure:
    if score.endswith("cosine") or score == "ranking":
        return Measure(case=case, contestant=contestant, unit="", values=(value,))
    return Measure(case=case, contestant=contestant, unit="%", values=(round(100 * value, 2),))


def _goals(case: str, tiers: dict[str, Quality]) -> Iterator[Goal]:
    for tier, quality in tiers.items():
        for name in TASK:
            if name in quality.fp32 and name in quality.scores:
                lost = 100 * (quality.fp32[name] - quality.scores[name])
                text = f"{case}: {LABELS[name]} lost on {tier}"
                yield Goal(text=text, limit=POINT, value=round(lost, 2), unit="points")


BENCH = Bench(name="quality", summary="captions, answers and rankings of the shipped dtypes against fp32", run=_run)
