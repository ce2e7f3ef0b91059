"""webgpu-demo index: an album of photos becomes one file that the photo-search page opens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console as Terminal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import builder
from builder.commands._options import Json, Quiet
from builder.console import Console, megabytes

SHOWN = 10
"""Unreadable files that are named; with --json all of them are."""


def index(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of photos, with the folders below it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The index.")] = Path("album.index"),
    model: Annotated[
        str | None,
        typer.Option(
            help="The model of the page: an embedded one's name, its folder, a built page, or its Hub id.",
            show_default=False,
        ),
    ] = None,
    thumbnails: Annotated[
        bool,
        typer.Option("--thumbnails/--no-thumbnails", help="Small pictures for a page that has not got the photos."),
    ] = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Index an album of photos; run again, it takes in what is new and drops what is gone."""
    console = Console(as_json=as_json, quiet=quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    terminal = Terminal(stderr=True)
    # Where there is no terminal, nothing of the bar would be left but an empty line.
    with Progress(*columns, console=terminal, transient=True, disable=quiet or not terminal.is_terminal) as bar:
        task = bar.add_task("reading photos", total=None, rate="")

        def progress(done: int, total: int) -> None:
            speed = bar.tasks[task].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.1f} photos/s" if speed else "")

        result = builder.index(
            folder, out=out, model=model, thumbnails=thumbnails, progress=progress, report=console.progress
        )
    for one in result.unreadable[:SHOWN]:
        console.text(f"not indexed: {one.name}: {one.why}")
    if len(result.unreadable) > SHOWN:
        console.text(f"not indexed: {len(result.unreadable) - SHOWN} more; --json names them all")
    console.text(
        f"{result.photos} photos with {result.model} in {result.path} ({megabytes(result.size_bytes)}): "
        f"{result.added} new or changed, {result.kept} kept, {result.removed} removed, in {result.seconds:.0f} s"
    )
    console.data(result)
