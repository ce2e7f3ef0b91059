"""What a command says: progress to stderr, data to stdout.

``--json`` makes stdout one JSON document, ``--quiet`` silences progress; errors are always shown. The verbs know
nothing of this module's settings: they are handed `Console.progress` as their ``report``. Names and words of others
come through here, so what would steer a terminal is shown and not sent.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console as Terminal
from rich.table import Table
from rich.text import Text

from builder.redaction import redact

UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and newline, and those that turn the direction of what follows."""


def shown(text: str) -> str:
    """A text as a terminal may have it: without tokens, and with control characters as escapes (``\\x1b``)."""
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), redact(text))


@dataclass(frozen=True, kw_only=True)
class Console:
    """One command's output."""

    as_json: bool = False
    quiet: bool = False

    def progress(self, line: str) -> None:
        """Say what is being done."""
        if not self.quiet:
            Terminal(stderr=True, highlight=False).print(Text(shown(line), style="dim"))

    def text(self, line: str) -> None:
        """Print one line of the answer for people; with ``--json`` `data` answers instead."""
        if not self.as_json:
            Terminal(highlight=False, soft_wrap=True).print(Text(shown(line)))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print the answer as a table; every column but the first two is made of numbers."""
        if self.as_json:
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for number, name in enumerate(columns):
            table.add_column(name, justify="left" if number < 2 else "right", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(shown(cell)) for cell in row))
        Terminal(highlight=False).print(table)

    def data(self, value: object) -> None:
        """Print the answer as JSON, where it was asked for. Dataclasses become objects, paths strings.

        In ASCII: then it is the same in every encoding, and holds nothing that steers a terminal.
        """
        if self.as_json:
            print(redact(json.dumps(value, indent=2, default=_plain)), flush=True)


def print_error(message: str, hint: str = "") -> None:
    """Print what went wrong, and the hint below it."""
    terminal = Terminal(stderr=True, highlight=False, soft_wrap=True)
    terminal.print(Text.assemble(("error: ", "bold red"), shown(message)))
    if hint:
        terminal.print(Text.assemble(("hint: ", "bold"), shown(hint)))


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of a bug as Python does, but for tokens: an exception may quote what was being sent."""
    sys.stderr.write(shown("".join(traceback.format_exception(kind, error, trace))))


def megabytes(size_bytes: int) -> str:
    """Write a size for people, as in ``12.3 MB``."""
    return f"{size_bytes / 1e6:.1f} MB"


def gigabytes(size_bytes: int) -> str:
    """Write a large size for people, as in ``7.3 GB``."""
    return f"{size_bytes / 1e9:.1f} GB"


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
