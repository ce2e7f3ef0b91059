"""The outlines of the objects that scenes are made of.

Each kind has at least two styles, so that a model has to learn the object and not one outline. A style is a tuple of
primitives in a unit frame: x to the right, y down, both from -1 to 1. Roles name a paint, not a colour: ``main`` is
the colour that the caption names, ``shade`` and ``tint`` are darker and lighter versions of it, ``wood`` and
``detail`` are neutral paints that no caption mentions. Nothing here knows about pixels; see scenes.py for those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Primitive:
    """One painted piece: a filled polygon, or a line of ``width`` when ``width`` is set."""

    role: str
    points: tuple[Point, ...]
    width: float | None = None


def _fill(role: str, *points: Point) -> Primitive:
    return Primitive(role=role, points=points)


def _line(role: str, width: float, *points: Point) -> Primitive:
    return Primitive(role=role, points=points, width=width)


def _rect(role: str, x0: float, y0: float, x1: float, y1: float) -> Primitive:
    return _fill(role, (x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, steps: int = 20) -> tuple[Point, ...]:
    """Points on an ellipse from ``start`` to ``stop`` degrees, clockwise on screen, 0 pointing right."""
    angles = (math.radians(start + (stop - start) * i / steps) for i in range(steps + 1))
    return tuple((cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles)


def _disc(role: str, cx: float, cy: float, rx: float, ry: float | None = None) -> Primitive:
    return Primitive(role=role, points=_arc(cx, cy, rx, rx if ry is None else ry, 0, 360, 24)[:-1])


def _star(role: str, tips: int, inner: float) -> Primitive:
    radii = (1.0, inner)
    return _fill(
        role,
        *(
            (radii[i % 2] * math.sin(math.pi * i / tips), -radii[i % 2] * math.cos(math.pi * i / tips))
            for i in range(2 * tips)
        ),
    )


Style = tuple[Primitive, ...]

STYLES: dict[str, tuple[Style, ...]] = {
    "cup": (
        (  # mug with a handle
            _line("main", 0.2, *_arc(0.55, 0.0, 0.38, 0.42, -80, 80)),
            _fill("main", (-0.75, -0.8), (0.6, -0.8), (0.5, 0.85), (-0.65, 0.85)),
            _disc("shade", -0.075, -0.78, 0.67, 0.18),
        ),
        (  # tea cup on a saucer
            _line("main", 0.17, *_arc(0.68, -0.15, 0.27, 0.27, -100, 110)),
            _fill("main", *_arc(0.0, -0.5, 0.75, 1.15, 0, 180)),
            _disc("shade", 0.0, -0.48, 0.75, 0.2),
            _disc("main", 0.0, 0.75, 0.95, 0.17),
        ),
    ),
    "ball": (
        (_disc("main", 0, 0, 0.92), _disc("tint", -0.3, -0.35, 0.25)),
        (  # beach ball with seams
            _disc("main", 0, 0, 0.92),
            _line("shade", 0.1, *_arc(-1.1, 0, 1.1, 1.1, -48, 48)),
            _line("shade", 0.1, *_arc(1.1, 0, 1.1, 1.1, 132, 228)),
        ),
    ),
    "star": (
        (_star("main", 5, 0.42),),
        (_star("main", 6, 0.5), _disc("shade", 0, 0, 0.2)),
    ),
    "house": (
        (  # gable front
            _rect("main", -0.7, -0.15, 0.7, 0.9),
            _fill("shade", (-0.95, -0.15), (0, -0.95), (0.95, -0.15)),
            _rect("detail", -0.18, 0.35, 0.18, 0.9),
            _rect("detail", -0.55, 0.1, -0.28, 0.38),
            _rect("detail", 0.28, 0.1, 0.55, 0.38),
        ),
        (  # long cottage with a chimney
            _rect("shade", 0.4, -0.85, 0.62, -0.3),
            _rect("main", -0.9, 0.0, 0.9, 0.75),
            _fill("shade", (-1.0, 0.0), (-0.65, -0.6), (0.65, -0.6), (1.0, 0.0)),
            _rect("detail", -0.65, 0.25, -0.3, 0.75),
            _rect("detail", 0.1, 0.2, 0.6, 0.5),
        ),
    ),
    "tree": (
        (  # round crown
            _rect("wood", -0.14, 0.2, 0.14, 0.98),
            _disc("main", 0, -0.3, 0.68),
            _disc("main", -0.42, 0.05, 0.42),
            _disc("main", 0.42, 0.05, 0.42),
        ),
        (  # fir
            _rect("wood", -0.12, 0.6, 0.12, 0.98),
            _fill("main", (0, -0.98), (0.5, -0.3), (-0.5, -0.3)),
            _fill("main", (0, -0.6), (0.65, 0.2), (-0.65, 0.2)),
            _fill("main", (0, -0.15), (0.8, 0.7), (-0.8, 0.7)),
        ),
    ),
    "fish": (
        (  # oval body
            _fill("main", (0.4, 0), (0.98, -0.5), (0.98, 0.5)),
            _disc("main", -0.15, 0, 0.8, 0.48),
            _disc("detail", -0.55, -0.12, 0.1),
        ),
        (  # long body with fins
            _fill("main", (0.45, 0), (0.95, -0.45), (0.8, 0), (0.95, 0.45)),
            _fill("shade", (-0.2, -0.3), (0.15, -0.7), (0.3, -0.2)),
            _fill("shade", (-0.1, 0.3), (0.1, 0.65), (0.25, 0.2)),
            _fill(
                "main", (-0.98, 0.05), (-0.5, -0.33), (0.1, -0.36), (0.6, -0.08), (0.6, 0.08), (0.1, 0.36), (-0.5, 0.35)
            ),
            _disc("detail", -0.62, -0.06, 0.09),
        ),
    ),
    "car": (
        (  # saloon
            _fill("main", (-0.6, -0.05), (-0.35, -0.5), (0.35, -0.5), (0.62, -0.05)),
            _fill("main", (-0.98, -0.1), (0.9, -0.1), (0.98, 0.35), (-0.98, 0.35)),
            _fill("detail", (-0.4, -0.08), (-0.26, -0.38), (-0.03, -0.38), (-0.03, -0.08)),
            _fill("detail", (0.07, -0.08), (0.07, -0.38), (0.28, -0.38), (0.45, -0.08)),
            _disc("wheel", -0.52, 0.36, 0.24),
            _disc("wheel", 0.52, 0.36, 0.24),
        ),
        (  # van
            _fill("main", (-0.95, -0.55), (0.5, -0.55), (0.9, -0.02), (0.97, 0.4), (-0.95, 0.4)),
            _rect("detail", -0.75, -0.38, -0.3, -0.05),
            _fill("detail", (0.05, -0.38), (0.42, -0.38), (0.65, -0.05), (0.05, -0.05)),
            _disc("wheel", -0.5, 0.42, 0.23),
            _disc("wheel", 0.5, 0.42, 0.23),
        ),
    ),
    "book": (
        (  # closed, seen from the front
            _rect("main", -0.65, -0.9, 0.65, 0.9),
            _rect("shade", -0.65, -0.9, -0.42, 0.9),
            _rect("tint", -0.2, -0.6, 0.45, -0.3),
            _rect("tint", -0.2, -0.1, 0.45, 0.0),
        ),
        (  # open
            _fill("main", (-0.98, -0.5), (0, -0.35), (0.98, -0.5), (0.98, 0.62), (0, 0.78), (-0.98, 0.62)),
            _fill("tint", (-0.82, -0.45), (-0.06, -0.3), (-0.06, 0.6), (-0.82, 0.48)),
            _fill("tint", (0.82, -0.45), (0.06, -0.3), (0.06, 0.6), (0.82, 0.48)),
            _line("shade", 0.08, (0, -0.35), (0, 0.78)),
        ),
    ),
    "flower": (
        (  # round petals
            _line("stem", 0.12, (0, 0.1), (0.05, 0.98)),
            *(_disc("main", 0.4 * math.sin(t), -0.35 - 0.4 * math.cos(t), 0.3) for t in (0, 1.26, 2.51, 3.77, 5.03)),
            _disc("detail", 0, -0.35, 0.2),
        ),
        (  # tulip
            _line("stem", 0.12, (0, 0.0), (0, 0.98)),
            _fill("stem", (0, 0.9), (0.5, 0.3), (0.2, 0.85)),
            _fill(
                "main",
                (-0.55, -0.85),
                (-0.25, -0.5),
                (0, -0.95),
                (0.25, -0.5),
                (0.55, -0.85),
                (0.5, -0.15),
                (0.2, 0.15),
                (-0.2, 0.15),
                (-0.5, -0.15),
            ),
        ),
    ),
    "hat": (
        (  # top hat
            _rect("main", -0.5, -0.75, 0.5, 0.4),
            _rect("shade", -0.5, 0.1, 0.5, 0.35),
            _disc("main", 0, 0.45, 0.98, 0.2),
        ),
        (  # pointed party hat with a bobble
            _fill("main", (0, -0.8), (0.7, 0.85), (-0.7, 0.85)),
            _disc("shade", 0, -0.8, 0.18),
            _fill("shade", (-0.36, 0.05), (0.36, 0.05), (0.45, 0.3), (-0.45, 0.3)),
        ),
    ),
    "key": (
        (  # round bow
            _line("main", 0.22, *_arc(-0.55, 0, 0.34, 0.34, 0, 360)),
            _line("main", 0.2, (-0.2, 0), (0.95, 0)),
            _line("main", 0.18, (0.85, 0), (0.85, 0.38)),
            _line("main", 0.18, (0.5, 0), (0.5, 0.32)),
        ),
        (  # square bow
            _line("main", 0.22, (-0.9, -0.35), (-0.25, -0.35), (-0.25, 0.35), (-0.9, 0.35), (-0.9, -0.4)),
            _line("main", 0.2, (-0.2, 0), (0.98, 0)),
            _fill(
                "main", (0.5, 0), (0.98, 0), (0.98, 0.4), (0.82, 0.4), (0.82, 0.2), (0.66, 0.2), (0.66, 0.4), (0.5, 0.4)
            ),
        ),
    ),
    "boat": (
        (  # sailing boat
            _line("wood", 0.09, (0, -0.95), (0, 0.4)),
            _fill("main", (0.08, -0.9), (0.75, 0.25), (0.08, 0.25)),
            _fill("tint", (-0.08, -0.6), (-0.08, 0.25), (-0.6, 0.25)),
            _fill("main", (-0.95, 0.38), (0.95, 0.38), (0.6, 0.85), (-0.6, 0.85)),
        ),
        (  # steamer
            _rect("shade", -0.1, -0.75, 0.2, -0.2),
            _rect("main", -0.5, -0.25, 0.55, 0.25),
            _disc("detail", -0.25, 0.0, 0.11),
            _disc("detail", 0.25, 0.0, 0.11),
            _fill("main", (-0.98, 0.2), (0.98, 0.2), (0.75, 0.8), (-0.7, 0.8)),
        ),
    ),
    "umbrella": (
        (  # open, with scallops
            _line("wood", 0.1, (0, -0.2), (0, 0.75), (0.06, 0.9), (0.2, 0.92), (0.28, 0.75)),
            _fill(
                "main",
                *_arc(0, 0.05, 0.95, 0.95, 180, 360),
                (0.63, -0.12),
                (0.32, 0.05),
                (0, -0.12),
                (-0.32, 0.05),
                (-0.63, -0.12),
            ),
            _line("shade", 0.07, (0, -0.9), (-0.32, 0.05)),
            _line("shade", 0.07, (0, -0.9), (0.32, 0.05)),
        ),
        (  # parasol with a straight edge
            _line("wood", 0.1, (0, -0.3), (0, 0.98)),
            _fill("main", (0, -0.95), (0.98, 0.0), (-0.98, 0.0)),
            _fill("shade", (0, -0.95), (0.3, 0.0), (-0.3, 0.0)),
        ),
    ),
    "box": (
        (  # open frame that things can be inside of
            _fill("main", (-1, -1), (1, -1), (1, 1), (-1, 1)),
            _rect("hollow", -0.8, -0.8, 0.8, 0.8),
        ),
        (  # crate: a frame with corner plates
            _fill("main", (-1, -0.9), (1, -0.9), (1, 0.9), (-1, 0.9)),
            _rect("hollow", -0.84, -0.74, 0.84, 0.74),
            *(
                _fill("shade", (x, y), (x * 0.62, y), (x, y * 0.6))
                for x, y in ((-1, -0.9), (1, -0.9), (1, 0.9), (-1, 0.9))
            ),
        ),
    ),
}
"""kind → its styles. The order of the kinds is part of the seed contract: append, never reorder."""
