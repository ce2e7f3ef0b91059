"""What a bench gives: medians with spread, goals, JSON and a report that stands alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from builder.bench import all_benches
from builder.bench._contract import Goal, Measure, Outcome, Result, as_data, from_data, number
from builder.bench._machine import describe_machine, describe_versions, slug
from builder.bench._report import render_report
from builder.bench.peers import all_peers
from builder.bench.peers.published import FILES

RESULT = Result(
    bench="decode",
    summary="a prompt & a token",
    command="webgpu-demo bench decode",
    date="2026-01-02",
    seconds=1.5,
    machine={"processor": "Model <X>", "cores": "2"},
    versions={"onnxruntime": "1.31.1"},
    measures=(
        Measure(case="one token", contestant="ours", unit="ms", values=(12.0, 10.0, 20.0)),
        Measure(case="one token", contestant="optimum-onnx", unit="ms", values=(40.0,), note="all logits"),
    ),
    goals=(Goal(text="times as fast", limit=2.0, value=3.33, at_most=False, unit="×"),),
    notes=("read <this>",),
)


def test_measure_gives_the_median_and_the_extremes() -> None:
    first, second = RESULT.measures
    assert first.cells() == ("12 ms", "10 to 20")
    assert second.cells() == ("40 ms", "")


@pytest.mark.parametrize(
    ("value", "at_most", "reached"),
    [(430.0, True, True), (430.1, True, False), (430.1, False, True), (429.9, False, False), (None, True, False)],
)
def test_goal_is_reached_on_its_own_side_of_the_limit_only(value: float | None, at_most: bool, reached: bool) -> None:
    goal = Goal(text="download", limit=430.0, value=value, at_most=at_most, unit="MB")
    assert goal.reached == reached
    assert ("not measured" in goal.line()) == (value is None)
    assert "goal ≤ 430 MB" in goal.line() or not at_most


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0123, "0.0123"),
        (0.9928, "0.993"),
        (12.34, "12.3"),
        (123.45, "123.5"),
        (1234.5, "1,234"),
        (277, "277"),
    ],
)
def test_number_keeps_the_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_json_keeps_every_value_and_says_what_was_reached() -> None:
    data = json.loads(json.dumps(as_data(RESULT)))
    assert data["measures"][0]["values"] == [12.0, 10.0, 20.0]
    assert (data["measures"][0]["median"], data["measures"][0]["high"]) == (12.0, 20.0)
    assert data["goals"][0]["reached"] is True
    assert from_data(data) == RESULT


def test_report_stands_alone_and_draws_every_measure_with_its_spread() -> None:
    html = render_report([RESULT])
    assert not re.search(r"<script|src=|href=|url\(", html)
    assert "default-src &#39;none&#39;; style-src" in html
    assert "read &lt;this&gt;" in html and "Model &lt;X&gt;" in html
    svg = ElementTree.fromstring(re.search(r"<svg.*?</svg>", html, re.S)[0])  # type: ignore[index]
    bars = [element for element in svg.iter() if element.tag.endswith("rect")]
    assert [bar.get("class") for bar in bars] == ["part ours", "part peer"]
    widths = [float(bar.get("width") or 0) for bar in bars]
    assert widths[0] / widths[1] == pytest.approx(12 / 40, rel=0.01)
    assert len([element for element in svg.iter() if element.get("class") == "spread"]) == 1


def test_report_tells_goals_that_were_missed() -> None:
    missed = replace(RESULT, goals=(replace(RESULT.goals[0], value=1.9),))
    assert "not reached</span> times as fast: 1.90×, goal ≥ 2×" in render_report([missed])
    assert "0 of 1" in render_report([missed])
    assert "<li>decode: times as fast: 1.90×" in render_report([missed])
    assert "Not reached:" not in render_report([RESULT])


def test_report_of_a_bench_without_numbers_is_drawn_all_the_same() -> None:
    assert "<svg" not in render_report([replace(RESULT, measures=(), goals=())])
    assert Outcome(measures=()).goals == ()


def test_every_bench_is_found_under_its_name_and_its_peers_exist() -> None:
    benches, peers = all_benches(), all_peers()
    assert {"size", "quality", "decode"} <= set(benches)
    assert all(bench.name == name and bench.summary for name, bench in benches.items())
    assert {peer for bench in benches.values() for peer in bench.peers} <= set(peers)


def test_published_sizes_are_cited() -> None:
    assert all("huggingface.co/" in files.source and files.megabytes > 0 for files in FILES)


def test_machine_is_described_without_its_name_and_folders() -> None:
    import platform

    told = json.dumps([describe_machine(), describe_versions(), slug(describe_machine())])
    assert platform.node() not in told or len(platform.node()) < 3
    assert str(Path.home()) not in told
    assert int(describe_machine()["cores"]) >= 1


def test_report_draws_growth_as_curves_beside_a_line_of_as_many_times_as_long() -> None:
    times = {1: (10.0,), 4: (35.0, 30.0, 40.0), 16: (160.0,)}
    grown = tuple(
        Measure(case=case, contestant=f"ours, {factor}× work", unit="ms", values=values, work=factor)
        for case in ("photos", "tokens & words")
        for factor, values in times.items()
    )
    html = render_report([replace(RESULT, bench="growth", measures=grown)])
    assert "Both scales are logarithmic" in html and "<rect" not in html
    svg = ElementTree.fromstring(re.search(r"<svg.*?</svg>", html, re.S)[0])  # type: ignore[index]
    lines = [element.get("points") or "" for element in svg.iter() if element.tag.endswith("polyline")]
    limits = [element.get("d") or "" for element in svg.iter() if element.get("class") == "limit"]
    assert (len(lines), len(limits)) == (2, 2)
    curve = [tuple(map(float, point.split(","))) for point in lines[0].split()]
    begin, end = (tuple(map(float, point.split())) for point in limits[0].removeprefix("M").split("L"))
    assert curve[0] == begin and curve[2] == end, "as many times as long lies on the line"
    assert curve[1][1] > (begin[1] + end[1]) / 2, "faster lies below it"
    assert "16× work: 160 ms" in html


@pytest.mark.parametrize(
    ("contestant", "kind"),
    [
        ("ours", "ours"),
        ("ours, balanced, webgpu", "ours"),
        ("webgpu-f16", "ours"),
        ("ours before, weights of 4 bits", "peer"),
        ("float32 loop", "peer"),
        ("bare model", "peer"),
        ("fp32", "peer"),
    ],
)
def test_report_has_one_colour_for_ours_and_another_for_all_that_it_is_compared_with(
    contestant: str, kind: str
) -> None:
    other = replace(RESULT.measures[1], contestant=contestant)
    assert f'class="part {kind}"' in render_report([replace(RESULT, measures=(other,))])
