"""What every target does: plan (read, decide, touch nothing), show (the plan's rows), apply (make it so).

A target is a value that knows its place and its files. Planning twice gives the same plan as long as nothing changed;
applying a plan twice changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Report = Callable[[str], None]
Action = Literal["add", "change", "delete", "keep"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of one file; ``size_bytes`` is None where it is made only when it is uploaded."""

    path: str
    action: Action
    size_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a target would do. ``cost`` says in words what is free and what is not; ``exists`` whether it is there."""

    target: str
    place: str
    exists: bool
    changes: tuple[Change, ...]
    cost: str
    notes: tuple[str, ...] = ()

    @property
    def pending(self) -> tuple[Change, ...]:
        """The changes that do something."""
        return tuple(change for change in self.changes if change.action != "keep")

    @property
    def upload_bytes(self) -> int:
        return sum(change.size_bytes or 0 for change in self.changes if change.action in ("add", "change"))

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Path, action and size of every file, as a table shows them; what does something comes first."""
        order = {"add": 0, "change": 1, "delete": 2, "keep": 3}
        for change in sorted(self.changes, key=lambda change: (order[change.action], change.path)):
            yield change.path, change.action, "" if change.size_bytes is None else _size(change.size_bytes)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:,.1f} kB"


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a target has come to. ``commit`` is its state now, ``previous`` the one before (None: there was none).

    ``made`` tells whether this run created it, ``address`` where it is looked at; ``host`` is the address of a Space's
    own, where the Hub has told it.
    """

    target: str
    place: str
    address: str
    commit: str | None
    previous: str | None
    changed: bool
    made: bool
    host: str | None = None


def silent(line: str) -> None:
    """A report that nobody reads."""
    del line


class Target(Protocol):
    """One place that things are published to."""

    def plan(self) -> Plan:
        """Compare with what is there; change nothing."""
        ...

    def apply(self, report: Report) -> Applied:
        """Make it so: whole or not at all; nothing where nothing differs."""
        ...
