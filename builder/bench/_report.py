"""report.html of a bench run: bars with spread, peers beside ours, the goals, and what was measured where and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from builder.bench._contract import BEFORE, OURS, Goal, Measure, Result
from builder.errors import BenchError
from builder.manifest import TIERS
from builder.reports import render, write_whole
from builder.reports.comparison import Compared, comparison
from builder.reports.growth import Grown, growth

FILE_NAME = "report.html"
BARS = "Bars of one case share a scale."
GROWTH = (
    "How many times as long it takes, over how many times the work; dashed: as many times as long. Both scales are "
    "logarithmic."
)
TEMPLATE = Path(__file__).with_name(FILE_NAME)


@dataclass(frozen=True, kw_only=True)
class Section:
    """One bench: its plot, its rows (case, contestant, median, spread, runs, note) and its goals."""

    result: Result
    plot: Markup
    caption: str
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
        caption=GROWTH if _is_growth(result) else BARS,
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
    title = f"{result.bench}: {result.summary}"
    if _is_growth(result):
        grown = [(case, [_grown(measure) for measure in found]) for case, found in cases.items()]
        return growth(grown, title=title, description=told)
    return comparison(groups, title=title, description=told)


def _is_growth(result: Result) -> bool:
    return all(len({measure.work for measure in found}) > 1 for found in result.by_case().values())


def _grown(measure: Measure) -> Grown:
    low, high = measure.spread
    text = f"{measure.work}× work: {measure.cells()[0]}"
    return Grown(work=measure.work, value=measure.median, low=low, high=high, text=text)


def _is_ours(contestant: str) -> bool:
    """Ours is called so, or by the device tier that it is for; everything else it is compared with, as it was too."""
    return contestant.startswith((OURS, *TIERS)) and not contestant.startswith(BEFORE)


def _compared(measure: Measure) -> Compared:
    low, high = measure.spread
    return Compared(
        name=measure.contestant,
        kind=OURS if _is_ours(measure.contestant) else "peer",
        value=measure.median,
        low=low,
        high=high,
        text=measure.cells()[0],
    )
