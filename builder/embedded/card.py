"""The model cards beside the embedded weights: what was trained, on what, and what it reaches on held-out scenes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from builder.embedded.scenes import COLOURS, KINDS, UNSEEN_PAIRS, WORDS

TITLES = {
    "scenes-vlm": "captions and answers about drawn scenes, in FastVLM's architecture at small size",
    "scenes-clip": "matches drawn scenes and captions, in MobileCLIP2's architecture at small size",
}
TAGS = {"scenes-vlm": "image-text-to-text", "scenes-clip": "zero-shot-image-classification"}
ROWS = {
    "single": "exact caption, scenes with one object",
    "all": "exact caption, all scenes",
    "answers": "exact answer",
    "recall_at_1": "text → image recall@1, album of 100 different scenes",
    "unseen": "the first-named task, scenes with a colour-object pair that training never showed",
}


def render_card(name: str, scores: Mapping[str, float], training: Mapping[str, object]) -> str:
    """Return the model card as Markdown with front matter."""
    task = "the caption of all scenes" if name == "scenes-vlm" else "the search"
    rows = [
        f"| {ROWS[key].replace('the first-named task', task)} | {100 * scores[key]:.1f} % |"
        for key in ROWS
        if key in scores
    ]
    counted = (
        f"{scores['scenes']} scenes and {scores['questions']} questions"
        if name == "scenes-vlm"
        else f"{scores['queries']} queries"
    )
    pairs = ", ".join(sorted(f"{colour} {kind}" for colour, kind in UNSEEN_PAIRS))
    lines = [
        "---",
        "license: apache-2.0",
        f"pipeline_tag: {TAGS[name]}",
        "tags: [webgpu-demo-builder]",
        "---",
        "",
        f"# {name}: {TITLES[name]}",
        "",
        "Trained from nothing by webgpu-demo-builder on pictures that it draws itself, so that the product can be seen",
        "to work and its quantization measured without a download. It knows drawn scenes and nothing else: of a",
        "photograph it says something, and what it says means nothing.",
        "",
        f"Scenes hold one to four of {len(KINDS)} kinds of objects ({', '.join(KINDS)}) in {len(COLOURS)} colours",
        f"({', '.join(COLOURS)}), alone, counted, side by side, above each other, inside a box or in a row, and",
        f"signs with one of {len(WORDS)} words ({', '.join(WORDS)}). Backgrounds, styles, light, blur and noise vary.",
        "",
        "| held-out score, float32 web model in onnxruntime | reached |",
        "| --- | --- |",
        *rows,
        "",
        f"Over {counted} from seeds that training never draws from. Pairs that training never showed: {pairs}.",
        "",
        f"Training: {training['images']:,} scenes in batches of {training['batch']}, both models around one tower,",
        "pictures of 96 pixels first and 128 later. The shipped weights' run was stopped and its plan changed on the",
        "way (its length, and the last phase, added when words and yes-or-no questions lagged). To train anew:",
        "`python -m builder.retrain --work DIR`.",
        "",
    ]
    return "\n".join(lines)


def write_card(folder: Path, name: str, scores: Mapping[str, float]) -> None:
    """Write ``scores.json`` and ``README.md`` beside the weights in ``folder``."""
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(render_card(name, scores, training), encoding="utf-8")
