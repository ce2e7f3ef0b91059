"""What the doctor found: one line, and what to do where it is a problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    ``state``: "note" is something that is missing and that only some commands need. ``remedy`` is one command or one
    edit; every problem has one. ``facts`` are the same for machines.
    """

    group: str
    name: str
    state: State
    what: str
    remedy: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.state == "problem" and not self.remedy:
            raise ValueError(f"{self.name} is a problem without a remedy")
