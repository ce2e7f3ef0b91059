"""What the README claims is what lies in builder/bench/results: each figure by the bench that it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.bench import all_benches

REPOSITORY = Path(__file__).parents[2]
README = " ".join((REPOSITORY / "README.md").read_text(encoding="utf-8").split())
FILES = sorted((REPOSITORY / "builder/bench/results").rglob("*.json"))
WORDS = {1: "as many", 2: "twice", 3: "three times", 4: "four times", 5: "five times"}
Result = dict[str, Any]


def median(result: Result, case: str, contestant: str) -> float:
    return next(
        float(m["median"]) for m in result["measures"] if m["case"] == case and m["contestant"].startswith(contestant)
    )


def goal(result: Result, text: str) -> float:
    return next(float(goal["value"]) for goal in result["goals"] if text in goal["text"])


def fastvlm(result: Result, contestant: str) -> str:
    return f"{median(result, 'FastVLM-0.5B: graphs', contestant):,.0f} MB"


CLAIMS: list[tuple[str, Callable[[Result], str]]] = [
    ("size", lambda r: f"graphs take {fastvlm(r, 'ours, balanced, webgpu-f16')} on WebGPU"),
    ("size", lambda r: f"{fastvlm(r, 'ours, small, webgpu-f16')} with `--quality small`"),
    ("size", lambda r: f"to {fastvlm(r, 'published, as its card')}"),
    ("size", lambda r: f"take {median(r, 'MobileCLIP2-S0: graphs', 'ours, balanced, webgpu-f16'):.0f} MB"),
    ("build", lambda r: f"export took {median(r, 'FastVLM-0.5B, export: seconds', 'ours'):.0f} s"),
    ("build", lambda r: f"{median(r, 'FastVLM-0.5B, export: memory', 'ours'):.1f} GB of memory"),
    ("caption", lambda r: f"{WORDS[round(goal(r, 'captions per minute'))]} as many captions a minute"),
    ("index", lambda r: f"{goal(r, 'of PyTorch'):.1f} times as many photos a second as PyTorch"),
    ("index", lambda r: f"{int(100 * goal(r, 'bare model'))} % of what its bare model does"),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_figures_of_the_readme_are_those_that_were_measured(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["bench"] == path.stem
    claims = [words(result) for bench, words in CLAIMS if bench == path.stem]
    assert not [words for words in claims if words not in README]


def test_quality_claim_of_less_than_a_point_holds_on_every_tier() -> None:
    (path,) = (path for path in FILES if path.stem == "quality")
    lost = [goal["value"] for goal in json.loads(path.read_text(encoding="utf-8"))["goals"]]
    assert "less than a point of captions, answers and recall on every device" in README
    assert lost and max(lost) < 1


@pytest.mark.parametrize("bench", all_benches())
def test_readme_names_every_bench(bench: str) -> None:
    assert f"`{bench}`" in README or f"webgpu-demo bench {bench}" in README
