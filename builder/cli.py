"""The command line: one command per verb, each of them parse → call one function → report.

Nothing heavy is imported here; `builder` loads a verb when it is called. `main` is the one place where a `BuilderError`
becomes words: message and hint, exit 1, like Ctrl-C. Usage errors exit 2; any other exception is a bug and keeps its
traceback.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import builder
from builder.console import Console, megabytes, print_error
from builder.manifest import ErrorMeasure

app = typer.Typer(
    name="webgpu-demo",
    help="Turn a vision-language or image-text checkpoint into a web page that runs it on the visitor's own GPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing about progress.")]
ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A web model folder, with its manifest.json.")]
Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="The port to serve on; the first free one from 8000 by default.")
]
NoOpen = Annotated[bool, typer.Option("--no-open", help="Open no browser.")]


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        app()
    except builder.BuilderError as error:
        print_error(error.message, error.hint)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as stop:  # Typer turns the first into the second while a command runs
        if isinstance(stop, SystemExit) and stop.code != 130:
            raise
        print_error("interrupted; nothing was left half-written")
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"webgpu-demo {builder.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command()
def export(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="A checkpoint folder with safetensors.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the web model goes.")] = None,
    family: Annotated[str | None, typer.Option(help="The kind of model, where it is not recognised.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export a checkpoint to an fp32 web model."""
    console = Console(as_json=as_json, quiet=quiet)
    result = builder.export(checkpoint, out=out, family=family, report=console.progress)
    console.table(["component", "dtype", "size"], [(n, "fp32", megabytes(s)) for n, s in result.components.items()])
    console.text(f"{result.family} model in {result.path}")
    console.data(result)


@app.command()
def quantize(
    model_dir: ModelDir,
    dtype: Annotated[list[str], typer.Option(help="fp16, q8, q4 or q4f16; may be given more than once.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add dtypes to a web model, from its fp32 graphs."""
    console = Console(as_json=as_json, quiet=quiet)
    result = builder.quantize(model_dir, dtypes=dtype, report=console.progress)
    rows = [
        (component, name, megabytes(size), f"{size / sizes['fp32']:.0%}")
        for component, sizes in result.sizes.items()
        for name, size in sizes.items()
    ]
    console.table(["component", "dtype", "size", "of fp32"], rows)
    console.data(result)


@app.command()
def verify(model_dir: ModelDir, as_json: Json = False, quiet: Quiet = False) -> None:
    """Run every dtype of a web model against fp32 and write its manifest.json."""
    console = Console(as_json=as_json, quiet=quiet)
    manifest = builder.verify(model_dir, report=console.progress)
    rows = [
        (component, dtype, megabytes(variant.total_bytes), *_errors(variant.error))
        for component, variants in manifest.components.items()
        for dtype, variant in variants.items()
    ]
    console.table(["component", "dtype", "size", "max abs", "relative", "cosine"], rows)
    for tier, dtypes in manifest.tiers.items():
        parts = ", ".join(f"{component} {dtype}" for component, dtype in dtypes.items())
        console.text(f"{tier}: {parts} ({megabytes(manifest.tier_bytes(tier))})")
    console.data(manifest)


@app.command()
def build(
    page: Annotated[str, typer.Argument(metavar="PAGE", help="camera-caption, photo-search, or another page.")],
    model: Annotated[
        str | None, typer.Option(help="An embedded model's name, or a web model folder.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The site's folder; site/PAGE by default.")] = None,
    title: Annotated[str | None, typer.Option(help="The page's title.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Render a page and a web model into a folder of static files."""
    console = Console(as_json=as_json, quiet=quiet)
    site = builder.build(page, model=model, out=out, title=title, report=console.progress)
    console.text(
        f"{site.page} with {site.model} in {site.path} ({len(site.files)} files, {megabytes(site.size_bytes)})"
    )
    console.data(site)


@app.command()
def preview(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The site's folder.")],
    port: Port = None,
    no_open: NoOpen = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve a site on this machine until Ctrl-C."""
    console = Console(as_json=as_json, quiet=quiet)
    builder.preview(directory, port=port, open_browser=not no_open, on_ready=lambda a: _show_address(console, a))
    console.progress("stopped")


@app.command()
def demo(
    port: Port = None,
    no_open: NoOpen = False,
    work: Annotated[Path | None, typer.Option(help="Where to make it; the user's cache folder by default.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build both pages on the embedded models and serve them until Ctrl-C."""
    console = Console(as_json=as_json, quiet=quiet)
    builder.demo(
        port=port,
        open_browser=not no_open,
        work=work,
        report=console.progress,
        on_ready=lambda a: _show_address(console, a),
    )
    console.progress("stopped")


def _show_address(console: Console, address: str) -> None:
    console.text(address)
    console.data({"address": address})
    console.progress("stop with Ctrl-C")


def _errors(error: ErrorMeasure | None) -> tuple[str, str, str]:
    if error is None:
        return ("", "", "")
    return (f"{error.max_abs:.2g}", f"{error.relative:.2g}", f"{error.cosine:.6f}")
