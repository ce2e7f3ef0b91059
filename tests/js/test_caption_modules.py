"""Modules of the pages that need no browser, in Node."""

from __future__ import annotations

import subprocess
from pathlib import Path

from builder.embedded import model_dir

HERE = Path(__file__).parent
TEMPLATE = HERE.parents[1] / "web_template"


def run_node(node: str, script: str, *arguments: str) -> None:
    """Run a script of this folder; its assertions are what is tested."""
    command = [node, str(HERE / script), str(TEMPLATE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_gate_tells_what_is_new_and_what_cannot_be_seen(node: str) -> None:
    run_node(node, "gate.mjs")


def test_sentences_of_a_model_are_told_apart(node: str) -> None:
    run_node(node, "sentences.mjs")


def test_further_question_on_a_cache_is_the_same_tokens_as_the_whole_chat(node: str) -> None:
    folder = model_dir("scenes-vlm")
    run_node(node, "prompting.mjs", str(folder.parent), folder.name)


def test_device_gets_nothing_that_it_cannot_hold_or_compute(node: str) -> None:
    run_node(node, "device.mjs")
