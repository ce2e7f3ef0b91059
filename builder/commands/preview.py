"""webgpu-demo preview: serves a site on this machine as the Space will show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from builder.commands._options import Json, Port, Quiet
from builder.console import Console

if TYPE_CHECKING:
    from builder.preview import Addresses

TO_SEE = "See the page as others will"
TO_A_PHONE = "Bring it to a phone"


def preview(
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="[DIR|PAGE]",
            help="A site's folder, or a page to build with its embedded model; site/ or all pages by default.",
            show_default=False,
        ),
    ] = None,
    port: Port = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Reload the page when its sources in web_template/ change.")
    ] = False,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser.")] = True,
    as_space: Annotated[
        bool, typer.Option("--as-space", help="Inside the Hub's frame, beside the page itself.", rich_help_panel=TO_SEE)
    ] = False,
    no_webgpu: Annotated[
        bool, typer.Option("--no-webgpu", help="As a browser without WebGPU shows it.", rich_help_panel=TO_SEE)
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="As if the network had gone after the page came.", rich_help_panel=TO_SEE)
    ] = False,
    throttle: Annotated[
        str | None, typer.Option(metavar="RATE", help="Over a slow line, such as 10mbit.", rich_help_panel=TO_SEE)
    ] = None,
    lan: Annotated[
        bool, typer.Option("--lan", help="Listen on all networks of this machine.", rich_help_panel=TO_A_PHONE)
    ] = False,
    https: Annotated[
        bool,
        typer.Option("--https", help="With a certificate, made here if none is given.", rich_help_panel=TO_A_PHONE),
    ] = False,
    cert: Annotated[
        Path | None, typer.Option(help="A certificate (PEM), with its chain.", rich_help_panel=TO_A_PHONE)
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).", rich_help_panel=TO_A_PHONE)] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve a site on this machine until Ctrl-C, as the Space will show it."""
    import builder
    from builder.live import live_source, resolve
    from builder.preview import Modes

    console = Console(as_json=as_json, quiet=quiet)
    directory, pages = resolve(place, report=console.progress)
    builder.preview(
        directory,
        port=port,
        open_browser=open_browser,
        lan=lan,
        https=https,
        cert=cert,
        key=key,
        modes=Modes(webgpu=not no_webgpu, offline=offline, throttle=throttle, space=as_space),
        source=live_source(directory, pages) if watch else None,
        report=console.progress,
        log=console.progress,
        on_ready=lambda address: None,
        on_addresses=lambda addresses: _show(console, addresses),
    )
    console.progress("stopped")


def _show(console: Console, addresses: Addresses) -> None:
    """Say where the page is, on this machine and for a phone, and how to stop."""
    console.text(addresses.site)
    if addresses.landing != addresses.site:
        console.text(f"{addresses.landing} has its models, checks, and views as others see it")
    if addresses.start not in (addresses.site, addresses.landing):
        console.text(f"{addresses.start} is the view that you asked for")
    data: dict[str, object] = {"address": addresses.site, "preview": addresses.landing, "start": addresses.start}
    if addresses.phone is not None:
        data["phone"] = {"page": addresses.phone.page, "trust": addresses.phone.trust}
        _invite(console, addresses)
    if addresses.certificate is not None:
        data["certificate"] = str(addresses.certificate)
    console.data(data)
    console.progress("stop with Ctrl-C")


def _invite(console: Console, addresses: Addresses) -> None:
    from rich.console import Console as Terminal
    from rich.text import Text

    from builder.preview.phone import fingerprint, qr_code, trust_steps

    if console.as_json or addresses.phone is None:
        return
    terminal = Terminal(highlight=False, soft_wrap=True)

    def show(title: str, address: str) -> None:
        console.text(f"\n{title}: {address}")
        for line in qr_code(address).splitlines():
            terminal.print(Text(line, style="black on white"))

    show("On a phone in this network, the page", addresses.phone.page)
    if addresses.phone.trust is not None and addresses.certificate is not None:
        show("Before the first time, the certificate", addresses.phone.trust)
        steps = trust_steps(addresses.certificate)
        for system, title in (("ios", "iPhone and iPad"), ("android", "Android")):
            console.text(f"\n{title}, on the page behind that code")
            for number, line in enumerate(steps[system], 1):
                console.text(f"  {number}. {line}")
            console.text(f"  To remove it: {' '.join(steps[f'{system}_remove'])}")
        console.text(f"\nThe certificate's SHA-256 fingerprint: {fingerprint(addresses.certificate)}\n")
