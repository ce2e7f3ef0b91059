"""Bars of contestants side by side, case by case, with the spread of what was measured more than once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from builder.reports.plots import WIDTH, svg

NAME, STEP, HEAD, END = 230, 26, 30, 170
"""Widths of the names and of the texts behind the bars; heights of a bar with its gap and of a case's heading."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One bar: its value, the smallest and the largest measured, and what is written behind it."""

    name: str
    kind: str
    value: float
    low: float
    high: float
    text: str


def comparison(cases: Sequence[tuple[str, Sequence[Compared]]], *, title: str, description: str) -> Markup:
    """Groups of bars from zero; those of one case share a scale, which its largest value fills."""
    parts, top = list[str](), 4.0
    for case, rows in cases:
        longest = max(row.high for row in rows) or 1.0
        scale = (WIDTH - END - NAME) / longest
        parts.append(f'<text class="label" x="0" y="{top + 16:g}">{escape(case)}</text>')
        top += HEAD - 6
        for row in rows:
            parts += _row(row, top, scale)
            top += STEP
        top += 10
    return svg(top, title, description, parts)


def _row(row: Compared, top: float, scale: float) -> list[str]:
    width = max(row.value * scale, 0.5)
    middle = top + 9
    parts = [
        f'<text class="name" x="{NAME - 8}" y="{top + 13:g}" text-anchor="end">{escape(row.name)}</text>',
        f'<rect class="part {row.kind}" x="{NAME}" y="{top:g}" width="{width:.1f}" height="18">'
        f"<title>{escape(row.name)}: {escape(row.text)}</title></rect>",
    ]
    if row.high > row.low:
        left, right = NAME + row.low * scale, NAME + row.high * scale
        parts.append(f'<path class="spread" d="M{left:.1f} {middle:g}H{right:.1f}M{left:.1f} {middle - 4:g}v8')
        parts[-1] += f'M{right:.1f} {middle - 4:g}v8"/>'
    end = NAME + max(width, row.high * scale)
    parts.append(f'<text class="value" x="{end + 8:.1f}" y="{top + 13:g}">{escape(row.text)}</text>')
    return parts
