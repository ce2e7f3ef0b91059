"""webgpu-demo check: what keeps a web model from running in transformers.js."""

from __future__ import annotations

from typing import Annotated

import typer

import builder
from builder.commands._options import Json, Quiet
from builder.console import Console


def check(
    target: Annotated[str, typer.Argument(metavar="DIR_OR_REPO", help="A web model folder, or owner/name on the Hub.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the repository.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what keeps a web model from running in transformers.js, and how to mend it."""
    console = Console(as_json=as_json, quiet=quiet)
    result = builder.check(target, revision=revision, report=console.progress)
    for finding in result.findings:
        console.text(f"{finding.severity:7} {finding.code}  {finding.sentence}")
        console.text(f"                fix: {finding.fix}")
    console.text(result.summary())
    console.data(result)
    if not result.ok:
        raise typer.Exit(1)
