"""What a rule is: a function that looks at a web model and yields what it found wrong.

A module of this folder that uses `rule` is found by discovery; there is no list to edit. A rule states one fact about
transformers.js or about browsers, in words that somebody can act on; it never changes the folder and never raises.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.export.rules._model import WebModel


class Severity(StrEnum):
    """``error``: it does not load, or answers wrongly. ``warning``: it fails for some. ``info``: good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One place where a rule is broken; ``fix`` and ``severity`` replace the rule's own where they are given."""

    where: str
    message: str
    fix: str | None = None
    severity: Severity | None = None


Check = Callable[["WebModel"], Iterator[Hit]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One fact that a web model must satisfy."""

    code: str
    severity: Severity
    title: str
    fix: str
    theme: str
    check: Check


_RULES: dict[str, Rule] = {}


def rule(code: str, severity: Severity, title: str, *, fix: str) -> Callable[[Check], Check]:
    """Register a function as a rule; ``title`` says what must hold, ``fix`` is one command or one edit."""

    def register(check: Check) -> Check:
        if code in _RULES:
            raise ValueError(f"{code} is given twice: {check.__name__} and {_RULES[code].check.__name__}")
        theme = check.__module__.rpartition(".")[2]
        _RULES[code] = Rule(code=code, severity=severity, title=title, fix=fix, theme=theme, check=check)
        return check

    return register


def all_rules() -> tuple[Rule, ...]:
    """Every rule of this folder, by code."""
    package = importlib.import_module("builder.export.rules")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(_RULES[code] for code in sorted(_RULES))
