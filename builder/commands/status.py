"""webgpu-demo status: how what was published from here stands."""

from __future__ import annotations

from typing import Annotated

import typer

import builder
from builder.commands._options import Json, Quiet
from builder.console import Console

WORDS = {False: "removed", None: "removed or private"}
"""What is said of a place that is not seen."""


def status(
    space: Annotated[
        str | None, typer.Argument(metavar="[OWNER/NAME]", help="One Space; all that were published from here.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say how the Spaces and models stand that were published from this folder."""
    console = Console(as_json=as_json, quiet=quiet)
    states = builder.status(space, report=console.progress)
    rows = [
        (
            state.kind,
            state.place,
            WORDS[state.exists] if not state.exists else (state.stage or "there"),
            "as published" if state.is_current else "changed since" if state.exists else "",
            state.address,
        )
        for state in states
    ]
    console.table(["kind", "name", "state", "files", "address"], rows)
    if any(state.exists is None for state in states):
        console.text("without a token private ones are not seen: run `hf auth login`, or set HF_TOKEN")
    console.data(states)
