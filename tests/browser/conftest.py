"""Real Chromium, with WebGPU on its software adapter or without an adapter, watched for anything that goes wrong."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Playwright, sync_playwright

import builder.site
from builder.embedded.samples import video_scenes
from builder.paths import web_template
from tests.browser.video import scene_pixels, write_camera
from tests.fallback.conftest import running

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
SOFTWARE_WEBGPU = [
    "--enable-unsafe-webgpu",
    "--use-angle=swiftshader",
    "--ignore-gpu-blocklist",
    "--enable-features=Vulkan",
    "--use-vulkan=swiftshader",
]
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}


@dataclass(kw_only=True)
class Watch:
    """What a page did that it must not: requests to other addresses, refused by its CSP, errors, 404s."""

    page: Page
    foreign: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)

    def assert_clean(self) -> None:
        assert not self.foreign, "requests left this machine"
        assert not self.violations, "the Content Security Policy was violated"
        assert not self.errors, "uncaught errors"
        assert not self.missing, "files are missing"

    def wait_until(self, expression: str, *, seconds: float) -> None:
        """Wait for a JavaScript expression to hold. Playwright's own wait evaluates strings, which the CSP refuses."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"{expression} is not true; status: {self.status()}"
            self.page.wait_for_timeout(200)

    def assert_device(self, device: str) -> None:
        """The page ran on the device it was asked for; a fallback from WebGPU names WebGPU too, as what failed."""
        text = self.page.inner_text("[data-role=device]")
        processor = "the graphics processor (WebGPU" if device == "webgpu" else "the processor (WebAssembly)"
        assert text.startswith(f"Runs on {processor}"), text

    def status(self) -> str:
        return self.page.inner_text("[data-role=status]")

    def states(self) -> list[str]:
        """Every value that the state attribute has had, in order."""
        return list(self.page.evaluate("window.seenStates"))


RECORD_STATES = """
window.seenStates = [];
const note = () => {
  const state = document.documentElement?.dataset.state;
  if (state && state !== window.seenStates.at(-1)) window.seenStates.push(state);
};
new MutationObserver(note).observe(document, { attributes: true, childList: true, subtree: true });
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""

RECORD_LOCKS = """
window.locks = [];
const request = navigator.wakeLock.request.bind(navigator.wakeLock);
navigator.wakeLock.request = async (kind) => {
  const lock = await request(kind);
  window.locks.push(lock);
  return lock;
};
"""
"""Keeps what the page asks to keep the screen on with."""
OpenPage = Callable[..., Watch]


@pytest.fixture(scope="package")
def caption_url() -> Iterator[str]:
    """The fallback's own app with the embedded captioner, in a process."""
    for app in running("scenes-vlm"):
        yield app.address


@pytest.fixture(scope="package")
def search_url() -> Iterator[str]:
    """Likewise with the embedded dual encoder."""
    for app in running("scenes-clip"):
        yield app.address


@pytest.fixture(scope="module")
def tools() -> Iterator[Playwright]:
    """Playwright, for no longer than a file: its loop runs in this thread, where other tests want one of their own."""
    with sync_playwright() as started:
        yield started


@pytest.fixture
def open_page(tools: Playwright, chromium: str) -> Iterator[OpenPage]:
    """Open an address in a fresh Chromium. device: webgpu (software adapter) or wasm (no adapter).

    ``flags`` are further ones of Chromium's, ``before`` is a script that runs before the page's own, ``options`` are
    those of Playwright's ``new_context``.
    """
    opened: list[tuple[Watch, object]] = []

    def start(
        address: str,
        *,
        device: str,
        camera: Path | None = None,
        viewport: dict[str, int] = DESKTOP,
        flags: Sequence[str] = (),
        before: str = "",
        **options: object,
    ) -> Watch:
        arguments = ["--headless=new", "--no-sandbox", "--disable-quic", *flags]
        arguments += SOFTWARE_WEBGPU if device == "webgpu" else []
        if camera is not None:
            arguments += [*CAMERA, f"--use-file-for-fake-video-capture={camera}"]
        browser = tools.chromium.launch(executable_path=chromium, headless=False, args=arguments)
        context = browser.new_context(viewport=viewport, **options)  # type: ignore[arg-type]
        if camera is not None:
            context.grant_permissions(["camera"])
        page = context.new_page()
        watch = Watch(page=page)
        opened.append((watch, browser))
        page.add_init_script(RECORD_STATES)
        if before:
            page.add_init_script(before)
        context.on("request", lambda request: _note_request(watch, request.url))
        context.on("response", lambda r: watch.missing.append(r.url) if r.status >= 400 else None)
        page.on("pageerror", lambda error: watch.errors.append(str(error)))
        page.on("console", lambda m: _note_console(watch, m.type, m.text))
        page.goto(address)
        return watch

    yield start
    for watch, browser in opened:
        watch.violations += watch.page.evaluate("window.violations") if not watch.page.is_closed() else []
        browser.close()  # type: ignore[attr-defined]


def _note_request(watch: Watch, url: str) -> None:
    watch.requested.append(url)
    parts = urlsplit(url)
    if parts.scheme not in ("blob", "data") and parts.hostname != "127.0.0.1":
        watch.foreign.append(url)


def _note_console(watch: Watch, kind: str, text: str) -> None:
    if "Content Security Policy" in text:
        watch.violations.append(text)
    elif kind == "error" and re.search(r"Uncaught|Unhandled", text):
        watch.errors.append(text)


@pytest.fixture(scope="session")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of known scenes for the fake camera, each shown for twelve seconds."""
    scenes = [scene_pixels(index) for index in range(len(video_scenes()))]
    return write_camera(tmp_path_factory.mktemp("camera") / "scenes.y4m", scenes, seconds_each=12)


def wait_until(page: Page, expression: str, *, seconds: float = 60) -> None:
    """Wait for a JavaScript expression to hold. Playwright's own wait evaluates strings, which the policy refuses."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"{expression} is not true; the page says: {page.inner_text('body')[:600]}"
        page.wait_for_timeout(200)


@pytest.fixture(scope="session")
def build_probe(quantized_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build the smallest page (probe/), with all that pages share: what it shows holds for every page."""
    template = tmp_path_factory.mktemp("template")
    for name in ("base.html", "_macros.html", "sw.js"):
        shutil.copy(web_template() / name, template / name)
    shutil.copytree(web_template() / "shared", template / "shared")
    shutil.copytree(Path(__file__).parent / "probe", template / "pages" / "probe")

    def make(out: Path | None = None, **options: str) -> Path:
        folder = out or tmp_path_factory.mktemp("probe") / "site"
        with patch.object(builder.site, "web_template", lambda: template):
            return builder.site.build("probe", model=quantized_models["scenes-clip"], out=folder, **options).path

    return make


@pytest.fixture(scope="session")
def probe_site(build_probe: Callable[..., Path]) -> Path:
    return build_probe()


@contextmanager
def screenshot_on_failure(watch: Watch, name: str) -> Iterator[None]:
    """Keep a picture of the page whatever happens; on failure its status says why."""
    ARTIFACTS.mkdir(exist_ok=True)
    try:
        yield
    finally:
        watch.page.screenshot(path=str(ARTIFACTS / f"{name}.png"))
