"""webgpu-demo doctor: what is installed, what this machine can do, and what to do about what it cannot."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from builder.commands._options import Json, Quiet
from builder.console import Console

MARKS = {"ok": "✓", "note": "·", "problem": "✗"}


def doctor(
    browsers: Annotated[bool, typer.Option("--browsers/--no-browsers", help="Start each browser once.")] = True,
    hub: Annotated[bool, typer.Option("--hub/--no-hub", help="Ask the Hub for your name.")] = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look at what is installed and what this machine can do; exits 1 where something must be mended."""
    import builder

    console = Console(as_json=as_json, quiet=quiet)
    found = builder.doctor(browsers=browsers, hub=hub, report=console.progress)
    group = ""
    for finding in found:
        if finding.group != group:
            console.text(f"{finding.group}:")
            group = finding.group
        console.text(f"  {MARKS[finding.state]} {finding.name}: {finding.what}")
        if finding.remedy:
            console.text(f"      → {finding.remedy}")
    problems = [finding for finding in found if finding.state == "problem"]
    console.text("all is well" if not problems else f"{len(problems)} to mend: {', '.join(p.name for p in problems)}")
    console.data({"ok": not problems, "findings": [asdict(finding) for finding in found]})
    if problems:
        raise typer.Exit(1)
