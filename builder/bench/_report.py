"""report.html of a bench run: bars with spread, peers beside ours, the goals, and what was measured where and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from builder.bench._contract import OURS, Goal, Measure, Result
from builder.bench.peers import all_peers
from builder.errors import BenchError
from builder.reports import render, write_whole
from builder.reports.comparison import Compared, comparison

FILE_NAME = "report.html"
OTHERS = (*all_peers(), "fp32")
"""How the contestants begin that are not ours; fp32 is what ours is compared with where there is no peer."""
TEMPLATE = Path(__file__).with_name(FILE_NAME)


@dataclass(frozen=True, kw_only=True)
class Section:
    """One bench: its plot, its rows (case, contestant, median, spread, runs, note) and its goals."""

    result: Result
    plot: Markup
    rows: tuple[tuple[str, str, str, str, int, str], ...]
    goals: tuple[Goal, ...]


def write_report(folder: Path, results: Sequence[Result]) -> Path:
    """Write ``report.html`` of ``results`` into the folder.

    Raises:
        BenchError: it cannot be written.
    """
    path = folder / FILE_NAME
    write_whole(path, render_report(results), error=BenchError)
    return path


def render_report(results: Sequence[Result]) -> str:
    """Return the HTML; the same results give the same text."""
    goals = [goal for result in results for goal in result.goals]
    return render(
        TEMPLATE,
        sections=[_section(result) for result in results],
        goals=goals,
        reached=sum(goal.reached for goal in goals),
        missed=[(result.bench, goal) for result in results for goal in result.goals if not goal.reached],
    )


def _section(result: Result) -> Section:
    return Section(
        result=result,
        plot=_plot(result),
        rows=tuple((m.case, m.contestant, *m.cells(), len(m.values), m.note) for m in result.measures),
        goals=result.goals,
    )


def _plot(result: Result) -> Markup:
    cases = result.by_case()
    groups = [(case, [_compared(measure) for measure in found]) for case, found in cases.items()]
    told = "; ".join(
        f"{case}: " + ", ".join(f"{m.contestant} {m.cells()[0]}" for m in ms) for case, ms in cases.items()
    )
    if not groups:
        return Markup("")
    return comparison(groups, title=f"{result.bench}: {result.summary}", description=told)


def _compared(measure: Measure) -> Compared:
    low, high = measure.spread
    return Compared(
        name=measure.contestant,
        kind="peer" if measure.contestant.startswith(OTHERS) else OURS,
        value=measure.median,
        low=low,
        high=high,
        text=measure.cells()[0],
    )
