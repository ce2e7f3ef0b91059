"""What a bench is and what it gives: measures of contestants side by side, and goals that are reached or not.

A file of this folder that defines ``BENCH`` is found by discovery. A contestant is "ours" or the name of a peer; a case
is what both did. All values of one case were taken in one run, in turns, after a warm-up that is not among them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OURS = "ours"
BEFORE = "ours before"
"""Begins the name of a contestant that is ours without a fix: it shows what the fix brought."""
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What one contestant took or gave in one case, once per repetition; ``note`` says what is not in the numbers.

    ``work`` is how many times the work of the case's smallest it is, where a case is about growth.
    """

    case: str
    contestant: str
    unit: str
    values: tuple[float, ...]
    note: str = ""
    work: int = 1

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return min(self.values), max(self.values)

    def cells(self) -> tuple[str, str]:
        """The median with its unit, and the spread where it was taken more than once."""
        low, high = self.spread
        spread = f"{number(low)} to {number(high)}" if len(self.values) > 1 else ""
        return f"{number(self.median)} {self.unit}".strip(), spread


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What was to be reached. ``value`` is None where it could not be measured, and ``text`` says what it is about."""

    text: str
    limit: float
    value: float | None
    at_most: bool = True
    unit: str = ""

    @property
    def reached(self) -> bool:
        if self.value is None:
            return False
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def line(self) -> str:
        """The goal and what was reached of it."""
        unit = f" {self.unit}" if self.unit not in ("", "×") else self.unit
        sign = "≤" if self.at_most else "≥"
        found = "not measured" if self.value is None else f"{number(self.value)}{unit}"
        return f"{self.text}: {found}, goal {sign} {number(self.limit)}{unit}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a bench found. ``notes`` say what has to be known to read the numbers, and where cited ones come from."""

    measures: tuple[Measure, ...]
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a bench may use: ``work`` is a folder for what can be made again, kept between runs.

    ``against`` are the peers that were asked for, None all of them; ``models`` the user's own web models, and
    ``evaluation`` their pictures.
    """

    work: Path
    report: Report
    against: tuple[str, ...] | None = None
    models: tuple[Path, ...] = ()
    evaluation: Path | None = None

    def wants(self, peer: str) -> bool:
        """Whether a peer is to be measured."""
        return self.against is None or peer in self.against


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One file of this folder. ``peers`` are the names that ``--against`` takes for it."""

    name: str
    summary: str
    run: Callable[[Setting], Outcome]
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """An outcome with all that is needed to judge it, as it is kept in a JSON file."""

    bench: str
    summary: str
    command: str
    date: str
    seconds: float
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    measures: tuple[Measure, ...]
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()

    def by_case(self) -> dict[str, list[Measure]]:
        """Measures of each case, in the order in which they were taken."""
        cases: dict[str, list[Measure]] = {}
        for measure in self.measures:
            cases.setdefault(measure.case, []).append(measure)
        return cases


def as_data(result: Result) -> dict[str, Any]:
    """A result for JSON: every value that was taken, with medians and with goals reached or not."""
    found = asdict(result)
    found["measures"] = [
        {**asdict(m), "median": m.median, "low": m.spread[0], "high": m.spread[1]} for m in result.measures
    ]
    found["goals"] = [{**asdict(goal), "reached": goal.reached} for goal in result.goals]
    return found


def from_data(data: Mapping[str, Any]) -> Result:
    """A result as `as_data` gave it.

    Raises:
        KeyError, TypeError: it was written by another version.
    """
    plain = dict(data)
    measures = tuple(
        Measure(values=tuple(m["values"]), **{name: m[name] for name in ("case", "contestant", "unit", "note", "work")})
        for m in plain.pop("measures")
    )
    goals = tuple(
        Goal(**{name: goal[name] for name in ("text", "limit", "value", "at_most", "unit")})
        for goal in plain.pop("goals")
    )
    return Result(measures=measures, goals=goals, notes=tuple(plain.pop("notes")), **plain)


def number(value: float) -> str:
    """Three digits that matter, without an exponent; whole numbers as such."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"
