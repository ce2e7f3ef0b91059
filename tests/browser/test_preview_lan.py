"""`preview --lan --https`: a browser on another host, which trusts the authority, gets a secure page and its camera.

The other host is a network namespace. Where the system lets us make none, the browser runs on this host and comes over
an address of its own network: that shows the guide, but proves nothing of a camera elsewhere, and that test is skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Playwright

import builder
from builder.errors import PreviewError
from builder.preview.lan import find_lan
from tests.browser.conftest import ARTIFACTS, CAMERA, DESKTOP, PHONE, Watch
from tests.conftest import cli_process

pytestmark = pytest.mark.browser

ADDRESS, PHONES = "10.213.77.1", "10.213.77.2"


@dataclass(frozen=True, kw_only=True)
class OtherHost:
    """Where the browser runs: the address that it finds us at, and what its command line begins with."""

    address: str
    command: tuple[str, ...]


@pytest.fixture
def other_host() -> Iterator[OtherHost]:
    name, near, far = f"phone{os.getpid()}", f"pv{os.getpid()}a"[-15:], f"pv{os.getpid()}b"[-15:]
    inside = ("ip", "netns", "exec", name)
    steps = (
        ("ip", "netns", "add", name),
        ("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name),
        ("ip", "address", "add", f"{ADDRESS}/30", "dev", near),
        ("ip", "link", "set", near, "up"),
        (*inside, "ip", "address", "add", f"{PHONES}/30", "dev", far),
        (*inside, "ip", "link", "set", far, "up"),
        (*inside, "ip", "link", "set", "lo", "up"),
    )
    try:
        if shutil.which("ip") is None or any(
            subprocess.run(s, capture_output=True, check=False).returncode for s in steps
        ):
            try:
                yield OtherHost(address=find_lan().address, command=())
            except PreviewError:
                pytest.skip("this machine may make no network namespace and is in no network: nothing but loopback")
        else:
            yield OtherHost(address=ADDRESS, command=inside)
    finally:
        if shutil.which("ip") is not None:
            subprocess.run(("ip", "link", "delete", near), capture_output=True, check=False)
            subprocess.run(("ip", "netns", "delete", name), capture_output=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builder.build("camera-caption", out=tmp_path_factory.mktemp("lan") / "site").path


@pytest.fixture
def told(tmp_path: Path, site: Path, other_host: OtherHost) -> Iterator[dict[str, Any]]:
    """What the command prints; it serves camera-caption to the network until the end of the test."""
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data"), "PYTHONPATH": str(Path(__file__).parents[2])}
    process = cli_process(
        "preview", str(site), "--lan", "--https", "--no-open", "--json", "--quiet", cwd=tmp_path, env=environment
    )
    assert process.stdout is not None
    text = ""
    while not text.endswith("\n}\n"):
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        text += line
    yield json.loads(text)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.fixture
def launch(
    tools: Playwright, chromium: str, tmp_path: Path, other_host: OtherHost
) -> Iterator[Callable[[Path | None], Browser]]:
    """Start Chromium on the other host, with a home of its own in which it trusts ``authority``."""
    certutil = shutil.which("certutil")
    if certutil is None:
        pytest.skip("Chromium trusts a certificate only from an NSS database: apt-get install libnss3-tools")
    started: list[Browser] = []

    def start(authority: Path | None) -> Browser:
        home = tmp_path / f"home{len(started)}"
        database = home / ".pki/nssdb"
        database.mkdir(parents=True)
        place = ("-d", f"sql:{database}")
        subprocess.run((certutil, *place, "-N", "--empty-password"), check=True, timeout=60)
        if authority is not None:
            trust = ("-A", "-t", "C,,", "-n", "webgpu-demo", "-i", str(authority))
            subprocess.run((certutil, *place, *trust), check=True, timeout=60)
        script = home / "browser"
        script.write_text(f'#!/bin/sh\nexec {" ".join((*other_host.command, chromium))} "$@"\n')
        script.chmod(0o755)
        arguments = ["--headless=new", "--no-sandbox", "--disable-quic", *CAMERA]
        environment = {**os.environ, "HOME": str(home)}
        started.append(
            tools.chromium.launch(executable_path=str(script), headless=False, args=arguments, env=environment)
        )
        return started[-1]

    yield start
    for browser in started:
        browser.close()


@pytest.mark.soak
def test_a_phone_that_trusts_the_authority_gets_the_camera(
    told: dict[str, Any], other_host: OtherHost, launch: Callable[[Path | None], Browser]
) -> None:
    if not other_host.command:
        pytest.skip("this machine may make no network namespace, and a browser on the same host proves nothing")
    port = told["address"].rstrip("/").rpartition(":")[2]
    address = f"https://{other_host.address}:{port}/"
    browser = launch(Path(told["certificate"]))
    context = browser.new_context(viewport=PHONE)
    context.grant_permissions(["camera"], origin=address.rstrip("/"))
    page = context.new_page()
    answer = page.goto(f"{address}?source=camera&autostart=1")
    assert answer is not None
    security = answer.security_details()
    assert security is not None
    assert security.get("issuer", "").startswith("webgpu-demo on ")
    assert page.evaluate("isSecureContext && crossOriginIsolated")
    asked = "navigator.mediaDevices.getUserMedia({ video: true }).then((s) => s.getVideoTracks()[0].readyState)"
    assert page.evaluate(f"() => {asked}") == "live"
    Watch(page=page).wait_until("document.querySelector('[data-role=video]').videoWidth > 0", seconds=120)


def test_a_phone_that_does_not_trust_it_is_refused_and_led_to_the_guide(
    told: dict[str, Any], other_host: OtherHost, launch: Callable[[Path | None], Browser]
) -> None:
    port = told["address"].rstrip("/").rpartition(":")[2]
    browser = launch(None)
    context = browser.new_context(viewport=PHONE)
    with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
        context.new_page().goto(f"https://{other_host.address}:{port}/")
    with pytest.raises(Error, match=r"ERR_(EMPTY_RESPONSE|CONNECTION_RESET|CONNECTION_CLOSED|INVALID_HTTP_RESPONSE)"):
        context.new_page().goto(f"http://{other_host.address}:{port}/")
    guide = told["phone"]["trust"].replace(told["phone"]["page"].split("//")[1].split(":")[0], other_host.address)
    page = context.new_page()  # the old one is still on its way to its error page
    page.goto(guide)
    assert page.inner_text("h1") == "Open the preview on this phone"
    ARTIFACTS.mkdir(exist_ok=True)
    for name, size in (("phone", PHONE), ("desktop", DESKTOP)):
        for scheme in ("light", "dark"):
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=str(ARTIFACTS / f"preview-guide-{name}-{scheme}.png"), full_page=True)
