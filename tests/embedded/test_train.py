"""Training learns from seeded scenes, and an interrupted run goes on where it stopped."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch

from builder.embedded.train import PHASES, SceneBatches, learning_rate, plan_phases, train

pytestmark = pytest.mark.slow


def test_run_that_was_stopped_goes_on_at_the_next_step(tmp_path: Path) -> None:
    train(tmp_path, images=8, batch=4)
    first = torch.load(tmp_path / "state.pt", weights_only=True)
    assert first["step"] == 2
    train(tmp_path, images=12, batch=4)
    second = torch.load(tmp_path / "state.pt", weights_only=True)
    assert second["step"] == 3
    assert len(re.findall(r"step 0 ", (tmp_path / "log.txt").read_text(encoding="utf-8"))) == 1
    moved = [not torch.equal(first["learner"][name], second["learner"][name]) for name in first["learner"]]
    assert sum(moved) > 100
    assert all(bool(torch.isfinite(t).all()) for t in second["learner"].values() if t.is_floating_point())


def test_batch_depends_on_seed_and_number_alone() -> None:
    plan = plan_phases(40, 4)
    one, two = SceneBatches(plan, 4)[7], SceneBatches(plan, 4)[7]
    assert torch.equal(one.pixels, two.pixels)
    assert torch.equal(one.ids, two.ids)
    assert not torch.equal(one.pixels, SceneBatches(plan, 4)[8].pixels)


def test_phases_cover_the_run_and_the_rate_ends_at_zero() -> None:
    plan = plan_phases(64_000, 64)
    assert [phase for i, phase in enumerate(plan) if i == 0 or plan[i - 1] != phase] == list(PHASES)
    assert learning_rate(999, 1000, 1.0) < 0.01 < learning_rate(500, 1000, 1.0)
    assert math.isclose(learning_rate(0, 1000, 1.0), 1 / 300, rel_tol=0.01)
