"""webgpu-demo bench: this project's claims, measured on this machine beside what people would use instead."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import builder
from builder.commands._options import Json, Quiet
from builder.console import Console


def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="BENCH", help="size, quality and others; all by default: about two hours on two cores."),
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="A peer to measure beside; more than once; all by default.")
    ] = None,
    model: Annotated[
        list[Path] | None, typer.Option(help="A web model folder of your own in place of the bench's models.")
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option("--eval", help="Pictures for `quality` of your own model, with captions or without.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where JSON and report.html go.")] = Path("bench"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure side by side: tables here, JSON and a report with plots in a folder."""
    from builder.bench import BenchesFailedError
    from builder.bench._contract import as_data

    console = Console(as_json=as_json, quiet=quiet)
    failed: BenchesFailedError | None = None
    try:
        results = builder.bench(
            names or ["all"],
            against=against or None,
            models=model or (),
            evaluation=evaluation,
            out=out,
            report=console.progress,
        )
    except BenchesFailedError as error:
        results, failed = error.results, error
    for result in results:
        console.text(f"\n{result.bench}: {result.summary}")
        for case, measures in result.by_case().items():
            console.table([case, "median", "spread"], [(m.contestant, *m.cells()) for m in measures])
        for goal in result.goals:
            console.text(f"{'reached' if goal.reached else 'NOT REACHED'}: {goal.line()}")
    console.text(f"\n{out / 'report.html'}")
    console.data([as_data(result) for result in results])
    if failed is not None:
        raise failed
