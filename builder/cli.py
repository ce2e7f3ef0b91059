"""The command line: one command per verb, each of them parse → call one function → report.

Nothing heavy is imported here; `builder` loads a verb when it is called. `main` is the one place where a `BuilderError`
becomes words: message and hint, exit 1, like Ctrl-C. Usage errors exit 2; any other exception is a bug and keeps its
traceback.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import builder
from builder.console import Console, gigabytes, megabytes, print_error
from builder.errors import did_you_mean
from builder.manifest import SUFFIXES, ErrorMeasure, Manifest, read_manifest

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
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A folder with safetensors, or a Hub id such as owner/name.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the web model goes.")] = None,
    family: Annotated[str | None, typer.Option(help="The kind of model, where it is not recognised.")] = None,
    dtype: Annotated[
        str,
        typer.Option(help="fp32, or a smaller one to add and verify; auto adds all and picks for each tier."),
    ] = "fp32",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub id.")] = None,
    component: Annotated[
        list[str] | None, typer.Option(help="Write only this one, as text_model; may be given more than once.")
    ] = None,
    chunk_mb: Annotated[
        int | None,
        typer.Option(
            min=1, help="Keep weights beyond this many MB in files of that size; 268 by default.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Export a model too large for a browser tab.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Export a checkpoint to a web model."""
    console = Console(as_json=as_json, quiet=quiet)
    smaller = _smaller_dtypes(dtype)
    result = builder.export(
        checkpoint,
        out=out,
        family=family,
        revision=revision,
        components=component or None,
        chunk_bytes=None if chunk_mb is None else chunk_mb * 10**6,
        force=force,
        report=console.progress,
    )
    manifest = read_manifest(result.path)
    if smaller:
        builder.quantize(result.path, dtypes=smaller, report=console.progress)
        manifest = builder.verify(result.path, report=console.progress)
    rows = [
        (component, name, megabytes(variant.total_bytes))
        for component, variants in manifest.components.items()
        for name, variant in variants.items()
    ]
    console.table(["component", "dtype", "size"], rows)
    if smaller:
        _show_tiers(console, manifest)
    console.text(
        f"{result.family} model in {result.path}: {result.seconds:.0f} s, {gigabytes(result.peak_bytes)} of memory"
    )
    console.data({**asdict(result), "sizes": manifest.sizes(), "tiers": manifest.tiers})


def _smaller_dtypes(dtype: str) -> list[str]:
    """What to add to the fp32 graphs for ``--dtype``; refused here, before an export of minutes."""
    known = [name for name in SUFFIXES if name != "fp32"]
    if dtype == "auto":
        return known
    if dtype != "fp32" and dtype not in known:
        raise builder.BuilderError(f"there is no dtype {dtype!r}", hint=did_you_mean(dtype, ["auto", *SUFFIXES]))
    return [] if dtype == "fp32" else [dtype]


@app.command()
def quantize(
    model_dir: ModelDir,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="fp16, q8, q4 or q4f16, more than once if need be; by default what each device tier wants."),
    ] = None,
    quality: Annotated[
        str, typer.Option(help="high, balanced or small: how far from fp32 a dtype may be.")
    ] = "balanced",
    min_cosine: Annotated[float | None, typer.Option(help="Lowest cosine to fp32, in place of the quality's.")] = None,
    max_error: Annotated[float | None, typer.Option(help="Greatest error relative to fp32, likewise.")] = None,
    images: Annotated[Path | None, typer.Option(help="Pictures to measure on; drawn scenes by default.")] = None,
    every: Annotated[
        bool, typer.Option("--every/--first", help="Measure every candidate, or stop at the first that is good enough.")
    ] = True,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add dtypes to a web model, from its fp32 graphs: the smallest ones that keep the quality."""
    from builder.tiers import own_budget

    console = Console(as_json=as_json, quiet=quiet)
    result = builder.quantize(
        model_dir,
        dtypes=dtype or None,
        quality=own_budget(quality, cosine=min_cosine, relative=max_error),
        images=images,
        every=every,
        report=console.progress,
    )
    rows = [
        (component, name, megabytes(size), f"{size / sizes['fp32']:.0%}")
        for component, sizes in result.sizes.items()
        for name, size in sizes.items()
    ]
    console.table(["component", "dtype", "size", "of fp32"], rows)
    console.data(result)


@app.command()
def verify(
    model_dir: ModelDir,
    quality: Annotated[
        str | None, typer.Option(help="high, balanced or small; by default what quantize was given.")
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option("--eval", help="Pictures, with captions or without, to compare the tiers on.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run every dtype of a web model against fp32; write its manifest.json and report.html."""
    console = Console(as_json=as_json, quiet=quiet)
    manifest = builder.verify(model_dir, quality=quality, evaluation=evaluation, report=console.progress)
    rows = [
        (component, dtype, megabytes(variant.total_bytes), *_errors(variant.error))
        for component, variants in manifest.components.items()
        for dtype, variant in variants.items()
    ]
    console.table(["component", "dtype", "size", "max abs", "relative", "cosine"], rows)
    _show_tiers(console, manifest)
    console.data(manifest)


def _show_tiers(console: Console, manifest: Manifest) -> None:
    for tier, dtypes in manifest.tiers.items():
        parts = ", ".join(f"{component} {dtype}" for component, dtype in dtypes.items())
        console.text(f"{tier}: {parts} ({megabytes(manifest.tier_bytes(tier))})")


@app.command()
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
