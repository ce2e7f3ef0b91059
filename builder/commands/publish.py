"""webgpu-demo publish: from a checkpoint to a live Space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import builder
from builder.commands._options import Json, Quiet, agreed
from builder.console import Console, megabytes

if TYPE_CHECKING:
    from builder.publish._contract import Plan


HUB_ONLY = ("space", "model_repo", "private", "threads", "rollback", "look")
"""What asks the Hub for something; --no-look, --public and --wait ask for nothing, and do no harm without it."""


def publish(
    context: typer.Context,
    page: Annotated[
        str | None,
        typer.Argument(metavar="[PAGE_OR_DIR]", help="A page, or a site that build made; the last one by default."),
    ] = None,
    space: Annotated[str | None, typer.Option(metavar="OWNER/NAME", help="The static Space.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="CHECKPOINT_OR_DIR", help="A checkpoint, a web model, or an embedded model.")
    ] = None,
    model_repo: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Where the model goes; OWNER/MODEL-ONNX by default.")
    ] = None,
    fallback: Annotated[
        str | None,
        typer.Option(
            metavar="auto|none|zero-a10g|cpu-basic|URL",
            help="The server for browsers that cannot run the model; auto tries ZeroGPU.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Write the site to this folder, for another host, and not to the Hub.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="The page's title.")] = None,
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="A private Space, which carries its model itself.")
    ] = None,
    threads: Annotated[
        bool | None,
        typer.Option("--threads/--no-threads", help="Headers that give WebAssembly threads; WebGPU needs none."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing on the Hub.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Restore the version before if the page does not come up.")
    ] = False,
    look: Annotated[bool, typer.Option("--look/--no-look", help="Open the page in a browser, if there is one.")] = True,
    wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for a Space to run.")] = 600,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish a page and its model: what is missing is exported, quantized, verified, built and uploaded."""
    if folder is not None:
        _refuse_for_folder(context)
    console = Console(as_json=as_json, quiet=quiet)

    def agree(plans: Sequence[Plan]) -> bool:
        show_plans(console, plans, kept=False)
        places = ", ".join(plan.place for plan in plans)
        return agreed(f"Publish to {places}?", yes=yes, default=True)

    result = builder.publish(
        page,
        space=space,
        model=model,
        model_repo=model_repo,
        fallback=fallback,
        folder=folder,
        title=title,
        private=private,
        threads=threads,
        dry_run=dry_run,
        rollback=rollback,
        wait_s=wait,
        look=look,
        agree=None if dry_run else agree,
        report=console.progress,
    )
    if dry_run:
        show_plans(console, result.plans, kept=True)
    if not result.done:
        console.text("nothing was changed")
    else:
        console.text(result.address or "")
        if result.hub_page:
            console.text(f"on the Hub: {result.hub_page}" + ("" if result.changed else " (nothing had changed)"))
        if result.server:
            console.text(f"server for other browsers: {result.server}")
        if result.server_note:
            console.text(f"without a server: {result.server_note}")
        for check in result.checks:
            mark = {True: "ok", False: "wrong", None: "not known"}[check.ok]
            console.text(f"{mark:9} {check.said}")
    for name, value in result.headers.items():
        console.text(f"the host should send  {name}: {value}")
    console.data(result)


def _refuse_for_folder(context: typer.Context) -> None:
    """Say so where an option would do nothing."""
    given = [
        param.opts[0]
        for param in context.command.params
        if param.name in HUB_ONLY and context.params[param.name] and _was_said(context, param.name)
    ]
    if given:
        raise typer.BadParameter(f"{', '.join(given)}: for the Hub only, and --folder writes to this machine")


def _was_said(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def show_plans(console: Console, plans: Sequence[Plan], *, kept: bool) -> None:
    """The files of each target below what it costs; with ``kept``, those that stay as they are are listed too.

    A path stands last in its line, which is never cut: a terminal may be narrow.
    """
    for plan in plans:
        console.text(f"{plan.target} {plan.place} ({'exists' if plan.exists else 'new'})")
        console.text(f"  {plan.cost}")
        for note in plan.notes:
            console.text(f"  note: {note}")
        for path, action, size in plan.rows():
            if kept or action != "keep":
                console.text(f"  {action:6}  {size:>11}  {path}")
        stay = len(plan.changes) - len(plan.pending)
        console.text(f"  {len(plan.pending)} to change, {stay} to keep, {megabytes(plan.upload_bytes)} to send")
