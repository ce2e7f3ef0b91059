"""Both pages in WebKitGTK, the nearest to Safari that runs on Linux: it has no WebGPU, so they say so and use WASM."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.webkitgtk.options import Options
from selenium.webdriver.webkitgtk.service import Service

from builder.embedded.samples import album_scenes, video_scenes

pytestmark = pytest.mark.browser

PATIENCE_SECONDS = 240
NEEDED = ("WebKitWebDriver", "Xvfb", "dbus-daemon")
BROWSERS = ("/usr/lib/*/webkit2gtk-4.1/MiniBrowser", "/usr/lib/*/webkit2gtk-4.0/MiniBrowser")


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A screen in memory and a message bus of its own, which WebKitGTK needs to start."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"WebKitGTK is not here ({', '.join(missing)}): run .ci/other-browsers")
    folder = tmp_path_factory.mktemp("screen")
    before = {name: os.environ.get(name) for name in ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR")}
    reading, writing = os.pipe()
    shown = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as answer:
        display = answer.readline().strip()
    bus = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", f"--address=unix:path={folder}/bus"], stderr=subprocess.DEVNULL
    )
    os.environ |= {
        "DISPLAY": f":{display}",
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/bus",
        "XDG_RUNTIME_DIR": str(folder),
    }
    yield
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    for process in (bus, shown):
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def webkit(screen: None) -> Iterator[webdriver.WebKitGTK]:
    browser = next((path for pattern in BROWSERS for path in Path("/").glob(pattern.lstrip("/"))), None)
    if browser is None:
        pytest.skip("WebKitGTK's MiniBrowser is not here: run .ci/other-browsers")
    options = Options()
    options.binary_location = str(browser)
    options.add_argument("--automation")
    # A container has no user namespaces to spare for WebKit's own sandbox.
    os.environ["WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS"] = "1"
    driver = webdriver.WebKitGTK(options=options, service=Service(shutil.which("WebKitWebDriver")))
    try:
        yield driver
    finally:
        driver.quit()
        os.environ.pop("WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS")


def wait_for(driver: webdriver.WebKitGTK, selector: str) -> None:
    """Wait for an element; on failure say what the page shows."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not driver.find_elements(By.CSS_SELECTOR, selector):
        assert time.monotonic() < deadline, driver.find_element(By.TAG_NAME, "body").text
        time.sleep(0.3)


def role(driver: webdriver.WebKitGTK, name: str) -> str:
    return str(driver.find_element(By.CSS_SELECTOR, f"[data-role={name}]").get_property("textContent"))


def test_camera_caption_in_webkit_explains_and_captions_the_sample(
    webkit: webdriver.WebKitGTK, demo_address: str
) -> None:
    webkit.get(f"{demo_address}camera-caption/?source=sample")
    wait_for(webkit, "html[data-state=paused]")
    assert "no WebGPU" in webkit.find_element(By.TAG_NAME, "main").text
    webkit.find_element(By.CSS_SELECTOR, "[data-role=start]").click()
    wait_for(webkit, "[data-role=caption][data-caption][data-done=true]")
    known = {scene.caption for scene in video_scenes()}
    caption = webkit.find_element(By.CSS_SELECTOR, "[data-role=caption]").get_attribute("data-caption")
    assert caption in known, caption
    assert role(webkit, "device").startswith("Runs on the processor (WebAssembly)")


def test_photo_search_in_webkit_finds_a_photo_of_the_sample(webkit: webdriver.WebKitGTK, demo_address: str) -> None:
    name, scene = next(iter(album_scenes().items()))
    webkit.get(f"{demo_address}photo-search/?source=sample&autostart=1&q={quote(scene.caption)}")
    wait_for(webkit, "html[data-state=done] [data-role=results] [data-photo]")
    first = webkit.find_element(By.CSS_SELECTOR, "[data-role=results] [data-photo]")
    assert first.get_attribute("data-name") == name
