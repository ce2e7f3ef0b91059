"""Plots as SVG text: size against error, errors along the layers, value ranges, downloads.

Every plot carries a title and a description for those who do not see it; colours are classes of report.css, and no
dtype is told by its colour alone. Numbers come in, SVG comes out: what they mean is for the reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from markupsafe import Markup, escape

WIDTH = 720
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 14, 44
_numbers = count(1)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One mark of a scatter; ``kind`` is a dtype, ``label`` what is written beside a chosen one."""

    x: float
    y: float
    kind: str
    note: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One row of bars: parts of (kind, value, note), and what is written behind them."""

    name: str
    parts: tuple[tuple[str, float, str], ...]
    text: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """Values along an axis of whole numbers; None is a gap."""

    kind: str
    name: str
    values: tuple[float | None, ...]
    notes: tuple[str, ...]


def scatter(points: Sequence[Point], *, limit: float, title: str, description: str) -> Markup:
    """Megabytes against relative error on a logarithmic scale, with the budget as a line."""
    height = 320
    x_ticks = _linear_ticks(min(p.x for p in points), max(p.x for p in points))
    low, high = _decades([*(p.y for p in points), limit])
    x = _scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT)
    y = _log_scale(low, high, height - BOTTOM, TOP)
    parts = [*_frame(height, x, x_ticks, y, _log_ticks(low, high), "size of the file in MB", "error relative to fp32")]
    parts.append(_limit(y(limit), "budget"))
    for point in sorted(points, key=lambda p: bool(p.label)):
        chosen = " chosen" if point.label else ""
        parts.append(f'<g class="mark {point.kind}{chosen}">{_shape(point.kind, x(point.x), y(point.y))}')
        parts.append(f"<title>{escape(point.note)}</title></g>")
    taken: list[tuple[float, float]] = []
    for point in sorted((p for p in points if p.label), key=lambda p: -p.y):
        parts.append(_label(point.label, x(point.x), y(point.y), taken))
    return svg(height, title, description, parts)


def lines(series: Sequence[Line], *, title: str, description: str) -> Markup:
    """Relative error of one layer after the other, on a logarithmic scale."""
    height = 260
    length = max(len(line.values) for line in series)
    shown = [value for line in series for value in line.values if value]
    low, high = _decades(shown or [0.1])
    x = _scale(0, max(length - 1, 1), LEFT + 8, WIDTH - RIGHT - 8)
    y = _log_scale(low, high, height - BOTTOM, TOP)
    ticks = [tick for tick in _linear_ticks(0, max(length - 1, 1)) if tick <= length - 1 and tick == int(tick)]
    parts = [
        *_frame(height, x, ticks, y, _log_ticks(low, high), "layer, from input to output", "error relative to fp32")
    ]
    for line in series:
        at = [(x(i), y(max(v, low)), line.notes[i]) for i, v in enumerate(line.values) if v is not None]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py, _ in at)
        parts.append(f'<g class="line {line.kind}"><polyline points="{path}"/>')
        parts += [f"<g>{_shape(line.kind, px, py, 2.6)}<title>{escape(note)}</title></g>" for px, py, note in at]
        parts.append("</g>")
    return svg(height, title, description, parts)


def bars(rows: Sequence[Bar], *, title: str, description: str, label_width: int = 110) -> Markup:
    """Rows of stacked bars from zero, with a text behind each."""
    step, height = 34, 34 * len(rows) + 8
    longest = max(sum(value for _, value, _ in row.parts) for row in rows) or 1
    x = _scale(0, longest, label_width, WIDTH - 150)
    parts = []
    for number, row in enumerate(rows):
        top, left = 6 + step * number, x(0)
        parts.append(
            f'<text class="name" x="{label_width - 8}" y="{top + 16}" text-anchor="end">{escape(row.name)}</text>'
        )
        for kind, value, note in row.parts:
            width = x(value) - x(0)
            parts.append(
                f'<rect class="part {kind}" x="{left:.1f}" y="{top}" width="{max(width - 1, 0.5):.1f}" height="22">'
                f"<title>{escape(note)}</title></rect>"
            )
            left += width
        parts.append(f'<text class="value" x="{left + 8:.1f}" y="{top + 16}">{escape(row.text)}</text>')
    return svg(height, title, description, parts)


def ranges(rows: Sequence[tuple[str, float, bool]], *, limit: float, title: str, description: str) -> Markup:
    """Greatest magnitudes by name on a logarithmic scale; marked are those that are kept in float32."""
    step, left = 22, 250
    height = step * len(rows) + BOTTOM
    low, high = _decades([*(value for _, value, _ in rows if value), limit])
    x = _log_scale(low, high, left, WIDTH - 70)
    parts = []
    for tick in _log_ticks(low, high):
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="0" y2="{height - BOTTOM + 6}"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{height - BOTTOM + 22}" text-anchor="middle">{_number(tick)}</text>')
    for number, (name, value, kept) in enumerate(rows):
        top = step * number
        kind = "fp32" if kept else "fp16"
        parts.append(
            f'<text class="name" x="{left - 8}" y="{top + 15}" text-anchor="end">{escape(_short(name))}</text>'
        )
        width = max(x(max(value, low)) - left, 1)
        parts.append(f'<rect class="part {kind}" x="{left}" y="{top + 3}" width="{width:.1f}" height="15">')
        parts.append(f"<title>{escape(name)}: {value:,.4g}{', kept in float32' if kept else ''}</title></rect>")
        note = f"{_number(value)}{' · fp32' if kept else ''}"
        parts.append(f'<text class="value" x="{left + width + 6:.1f}" y="{top + 15}">{escape(note)}</text>')
    at = x(limit)
    parts.append(f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height - BOTTOM + 6}"/>')
    parts.append(f'<text class="limit-name" x="{at:.1f}" y="{height - 6}" text-anchor="middle">largest float16</text>')
    return svg(height, title, description, parts)


def legend(kinds: Sequence[tuple[str, str]]) -> Markup:
    """What the marks mean: (kind, text)."""
    items = [
        f'<span class="key"><svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" class="mark {kind}">'
        f"{_shape(kind, 8, 8)}</svg>{escape(text)}</span>"
        for kind, text in kinds
    ]
    return Markup('<p class="legend">' + "".join(items) + "</p>")


def svg(height: float, title: str, description: str, parts: Sequence[str]) -> Markup:
    """A plot of ``parts`` that is as wide as the page, told by title and description to those who do not see it."""
    name = f"plot{next(_numbers)}"
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-text">{escape(description)}</desc>'
        + "".join(parts)
        + "</svg>"
    )


def _frame(
    height: float,
    x: Callable[[float], float],
    x_ticks: Sequence[float],
    y: Callable[[float], float],
    y_ticks: Sequence[float],
    x_name: str,
    y_name: str,
) -> list[str]:
    bottom = height - BOTTOM
    parts = []
    for tick in y_ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for tick in x_ticks:
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{_number(tick)}</text>')
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 6}" text-anchor="middle">{x_name}</text>'
    )
    turned = f'x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})"'
    parts.append(f'<text class="axis" {turned}>{y_name}</text>')
    return parts


def _limit(at: float, name: str) -> str:
    return (
        f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        f'<text class="limit-name" x="{WIDTH - RIGHT - 4}" y="{at - 5:.1f}" text-anchor="end">{name}</text>'
    )


def _label(text: str, x: float, y: float, taken: list[tuple[float, float]]) -> str:
    """A text above a mark: to the side where there is room, and above those that are there already."""
    at = y - 9
    while any(abs(at - other) < 15 and abs(x - beside) < 300 for beside, other in taken):
        at -= 15
    taken.append((x, at))
    left = x > WIDTH * 0.55
    return (
        f'<text class="label" x="{x - 8 if left else x + 8:.1f}" y="{at:.1f}" '
        f'text-anchor="{"end" if left else "start"}">{escape(text)}</text>'
    )


def _shape(kind: str, x: float, y: float, r: float = 5) -> str:
    if kind == "q8":
        return f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r:g}" height="{2 * r:g}"/>'
    if kind == "q4":
        return f'<path d="M{x:.1f} {y - 1.2 * r:.1f}l{1.2 * r:g} {2.1 * r:g}h{-2.4 * r:g}z"/>'
    if kind == "q4f16":
        d = 1.3 * r
        return f'<path d="M{x:.1f} {y - d:.1f}l{d:g} {d:g}l{-d:g} {d:g}l{-d:g} {-d:g}z"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:g}"/>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / ((high - low) or 1) * (end - start)


def _log_scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    plain = _scale(math.log10(low), math.log10(high), start, end)
    return lambda value: plain(math.log10(max(value, low)))


STEPS = (1.0, 2.0, 5.0)


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """1, 2 or 5 times a power of ten below and above the values; what is zero stands at the lower one."""
    real = [value for value in values if 0 < value < math.inf] or [1.0]
    least, most = min(real) / 1.15, max(real) * 1.15
    powers = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 2)
    round_numbers = [step * 10.0**power for power in powers for step in STEPS]
    return max(n for n in round_numbers if n <= least), min(n for n in round_numbers if n >= most)


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between both, with what lies between where there are few, without some where there are many."""
    decades = math.log10(high / low)
    steps = STEPS if decades <= 2.5 else (1.0,)
    every = max(1, math.ceil(decades / 8))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1, every)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]


def _linear_ticks(low: float, high: float) -> list[float]:
    """Around five round numbers that enclose both."""
    if high <= low:
        low, high = low * 0.9, (high * 1.1) or 1.0
    rough = (high - low) / 5
    base = 10.0 ** math.floor(math.log10(rough))
    step = next(base * factor for factor in (1, 2, 5, 10) if base * factor >= rough)
    first = math.floor(low / step)
    return [step * number for number in range(first, math.ceil(high / step) + 1)]


def _number(value: float) -> str:
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        power = math.floor(math.log10(abs(value)))
        factor = value / 10.0**power
        power_text = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"10{power_text}" if round(factor, 2) == 1 else f"{factor:.2g}×10{power_text}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _short(name: str) -> str:
    return name if len(name) <= 34 else f"{name[:15]}…{name[-18:]}"
