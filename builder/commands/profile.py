"""webgpu-demo profile: where the time of a web model goes, by operator."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

import builder
from builder.commands._options import AnyModel, Json, Quiet
from builder.console import Console

SHOWN = 12


def profile(
    model_dir: AnyModel,
    component: Annotated[str | None, typer.Option(help="Only this one, as decoder_model_merged.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Another dtype than the device tier ships.")] = None,
    provider: Annotated[str, typer.Option(help="cpu, webgpu, cuda, coreml or directml.")] = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the time of each operator of a web model's components, and what fell from the GPU to the CPU."""
    console = Console(as_json=as_json, quiet=quiet)
    profiles = builder.profile(model_dir, component=component, dtype=dtype, provider=provider, report=console.progress)
    for found in profiles:
        nodes = sum(operator.nodes for operator in found.operators)
        console.text(
            f"\n{found.component} {found.dtype}, {found.load}, on {provider}: "
            f"{found.milliseconds:.1f} ms in {nodes} nodes, the median of {found.runs} runs"
        )
        rows = [
            (
                o.name,
                o.provider.removesuffix("ExecutionProvider"),
                str(o.nodes),
                f"{o.milliseconds:.2f}",
                f"{o.low:.2f} to {o.high:.2f}",
                f"{o.milliseconds / found.milliseconds:.0%}",
            )
            for o in found.operators[:SHOWN]
        ]
        console.table(["operator", "ran on", "nodes", "ms", "spread", "share"], rows)
        if found.elsewhere:
            left = ", ".join(f"{o.name} {o.nodes}×" for o in found.elsewhere)
            console.text(f"left to the CPU: {left}")
    console.data([{**asdict(found), "elsewhere": [asdict(o) for o in found.elsewhere]} for found in profiles])
