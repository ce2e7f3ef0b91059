"""Growth as small plots side by side: what n times the work takes, on logarithmic scales, beside n times as long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from builder.reports.plots import WIDTH, svg

COLUMNS, HEIGHT = 3, 190
LEFT, TOP, RIGHT, BOTTOM = 40, 30, 22, 34


@dataclass(frozen=True, kw_only=True)
class Grown:
    """One point: so many times the work took ``value``, at least ``low`` and at most ``high``; ``text`` tells it."""

    work: int
    value: float
    low: float
    high: float
    text: str


def growth(cases: Sequence[tuple[str, Sequence[Grown]]], *, title: str, description: str) -> Markup:
    """A plot for each case: times as much work along, times as long up, and a dashed line where both are the same."""
    parts = list[str]()
    width = WIDTH / COLUMNS
    for number, (case, points) in enumerate(cases):
        parts += _plot(case, points, number % COLUMNS * width, number // COLUMNS * HEIGHT, width)
    return svg(math.ceil(len(cases) / COLUMNS) * HEIGHT, title, description, parts)


def _plot(case: str, points: Sequence[Grown], left: float, top: float, width: float) -> list[str]:
    first, most = points[0].value, max(point.work for point in points)
    steps = [point.work for point in points]
    bottom, span = top + HEIGHT - BOTTOM, HEIGHT - TOP - BOTTOM

    def x(work: float) -> float:
        return left + LEFT + math.log(work, most) * (width - LEFT - RIGHT)

    def y(times: float) -> float:
        return bottom - math.log(max(times, 1 / most), most) * span

    parts = [f'<text class="label" x="{left + 4:g}" y="{top + 14:g}">{escape(case)}</text>']
    for step in steps:
        parts += [
            f'<path class="grid" d="M{x(1):.1f} {y(step):.1f}H{x(most):.1f}"/>',
            f'<text x="{x(step):.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{step}×</text>',
            f'<text x="{x(1) - 6:.1f}" y="{y(step) + 4:.1f}" text-anchor="end">{step}×</text>',
        ]
    parts.append(f'<path class="limit" d="M{x(1):.1f} {y(1):.1f}L{x(most):.1f} {y(most):.1f}"/>')
    ends = " ".join(f"{x(point.work):.1f},{y(point.value / first):.1f}" for point in points)
    parts.append(f'<g class="line ours"><polyline points="{ends}"/>')
    for point in points:
        place, high, low = x(point.work), y(point.high / first), y(point.low / first)
        parts.append(f'<path class="spread" d="M{place:.1f} {high:.1f}V{low:.1f}"/>')
        parts.append(f'<circle cx="{place:.1f}" cy="{y(point.value / first):.1f}" r="3.5">')
        parts.append(f"<title>{escape(point.text)}</title></circle>")
    parts.append("</g>")
    return parts
