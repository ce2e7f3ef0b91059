"""The commands of `webgpu-demo`: one file for each, named like it, found by discovery.

A file holds one public function of the file's name (`export.py`: `export`), which is the command: its parameters are
the options, its docstring the help. It parses, calls one function of `builder`, and reports through `builder.console`.
A name that is no Python word ends in an underscore. Nothing heavy is imported at the top of such a file.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator

import typer


def all_commands() -> Iterator[tuple[str, Callable[..., None] | typer.Typer]]:
    """Yield name and function (or a `typer.Typer` with sub-commands) of every command, by the alphabet."""
    for found in pkgutil.iter_modules(__path__):
        if not found.name.startswith("_"):
            module = importlib.import_module(f"{__name__}.{found.name}")
            yield found.name.rstrip("_"), getattr(module, found.name)
