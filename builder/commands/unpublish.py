"""webgpu-demo unpublish: remove what publish made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

import builder
from builder.commands._options import Json, Quiet, agreed
from builder.console import Console


def unpublish(
    space: Annotated[
        str | None,
        typer.Argument(metavar="[OWNER/NAME]", help="The Space, or folder; the one published from here by default."),
    ] = None,
    keep_model: Annotated[bool, typer.Option("--keep-model", help="Leave the model repository.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Remove a published page, its server and its model from the Hub, or a published folder."""
    console = Console(as_json=as_json, quiet=quiet)

    def agree(names: Sequence[str]) -> bool:
        return agreed(f"Remove {', '.join(names)} for good?", yes=yes, default=False)

    result = builder.unpublish(space, keep_model=keep_model, dry_run=dry_run, agree=agree, report=console.progress)
    for name in result.repositories:
        console.text(f"{'removed' if result.done else 'would remove'} {name}")
    for name in result.kept:
        console.text(f"kept {name}")
    console.data(result)
