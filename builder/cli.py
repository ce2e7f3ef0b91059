"""The command line: one command per verb, each of them parse → call one function → report; they lie in commands/.

Nothing heavy is imported here; `builder` loads a verb when it is called. `main` is the one place where a `BuilderError`
becomes words: message and hint, exit 1, like Ctrl-C. Usage errors exit 2; any other exception is a bug and keeps its
traceback. SIGTERM unwinds like Ctrl-C, and ends the process as whoever sent it expects.
"""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

import builder
from builder.commands import all_commands
from builder.console import print_error, print_traceback

app = typer.Typer(
    name="webgpu-demo",
    help="Turn a vision-language or image-text checkpoint into a web page that runs it on the visitor's own GPU.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class _Terminated(SystemExit):
    """SIGTERM has come: what is half-written is removed on the way out."""


def main() -> None:
    """Run the command line and exit with its code."""
    sys.excepthook = print_traceback
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what the terminal's encoding lacks is shown as an escape
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except builder.BuilderError as error:
        print_error(error.message, error.hint)
        sys.exit(1)
    except _Terminated:
        print_error("ended from outside; nothing was left half-written")
        signal.raise_signal(signal.SIGTERM)
    except (KeyboardInterrupt, SystemExit) as stop:  # Typer turns the first into the second while a command runs
        if isinstance(stop, SystemExit) and stop.code != 130:
            raise
        print_error("interrupted; nothing was left half-written")
        sys.exit(1)


def _terminate(number: int, frame: FrameType | None) -> None:
    del frame
    signal.signal(number, signal.SIG_DFL)  # a second one does not wait
    raise _Terminated(128 + number)


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
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise builder.BuilderError("the folder that this was started in is gone", hint="cd into another one") from error


for _name, _command in all_commands():
    if isinstance(_command, typer.Typer):
        app.add_typer(_command, name=_name)
    else:
        app.command(_name)(_command)
