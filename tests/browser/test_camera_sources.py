"""Where the caption page's pictures come from: every source, and every way in which one refuses."""

from __future__ import annotations

import base64
import io
import struct
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from tests.browser.camera_page import CAMERA_ON, CAPTION, CAPTIONS, RECORD, until_captioned, until_running
from tests.browser.conftest import OpenPage
from tests.browser.video import scene_pixels, write_camera

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SAMPLE = Path(__file__).parents[2] / "builder" / "embedded" / "sample" / "scenes.webm"
TWO_CAMERAS = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream=device-count=2")
REFUSE = """([name, message]) => {
  navigator.mediaDevices.getUserMedia = async () => {
    throw new DOMException(message, name);
  };
}"""
GIVE_FILE = """([type, name, base64, kind]) => {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type }));
  const event = kind === 'paste'
    ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true })
    : new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""

RECORD_TURNED = """async ([base64, turn]) => {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
  const canvas = Object.assign(document.createElement('canvas'), { width: 480, height: 384 });
  const context = canvas.getContext('2d');
  context.translate(240, 192);
  context.rotate((-turn * Math.PI) / 180);
  const options = { mimeType: 'video/mp4;codecs=vp9', videoBitsPerSecond: 4e6 };
  const recorder = new MediaRecorder(canvas.captureStream(10), options);
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  for (let frame = 0; frame < 10; frame++) {
    context.drawImage(picture, -192, -192);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  recorder.stop();
  await ended;
  const video = new Uint8Array(await new Blob(parts).arrayBuffer());
  return btoa(String.fromCharCode(...video));
}"""
"""Records a second of a scene as a sensor sees it in a phone that is held on its side."""
PIXELS = """(role) => {
  const context = new OffscreenCanvas(32, 32).getContext('2d');
  context.drawImage(document.querySelector(`[data-role=${role}]`), 0, 0, 32, 32);
  return [...context.getImageData(0, 0, 32, 32).data];
}"""
MATRICES = {90: (0, 1, -1, 0, 384, 0), 180: (-1, 0, 0, -1, 480, 384)}


def turned_back(video: bytes, turn: int) -> bytes:
    """Write into an MP4 file that it is to be shown turned clockwise (the matrix of ISO/IEC 14496-12, 8.3.2)."""
    at = video.index(b"tkhd") + 56  # of version 1, after its times, number, duration, layer and volume
    a, b, c, d, x, y = (value << 16 for value in MATRICES[turn])
    return video[:at] + struct.pack(">9i", a, b, 0, c, d, 0, x, y, 1 << 30) + video[at + 36 :]


def png(scene: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(scene_pixels(scene, 384).astype("uint8")).save(file, "PNG")
    return file.getvalue()


def source_value(page: Page) -> str:
    return str(page.evaluate("document.querySelector('[name=source]:checked').value"))


def test_video_of_the_visitor_plays_and_can_be_sought(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1", device="wasm")
    page = until_running(watch)
    page.set_input_files("[data-role=pick]", SAMPLE)
    watch.wait_until("document.querySelector('video').currentSrc.startsWith('blob:')", seconds=20)
    page.wait_for_selector("[data-role=seek]", state="visible")
    assert source_value(page) == "file"
    page.fill("[data-role=seek]", "21.5")  # the sixth scene, of four seconds each
    watch.wait_until(f"{CAPTION} === {CAPTIONS[5]!r}", seconds=30)
    assert "of 0:40" in (page.get_attribute("[data-role=seek]", "aria-valuetext") or "")
    page.focus("[data-role=seek]")
    said = page.get_attribute("[data-role=seek]", "aria-valuetext")
    page.wait_for_timeout(2500)
    assert page.get_attribute("[data-role=seek]", "aria-valuetext") == said, "a screen reader reads every second"
    # Some systems name no type for a file.
    page.evaluate(GIVE_FILE, ["", "scenes.mkv", base64.b64encode(SAMPLE.read_bytes()).decode(), "drop"])
    watch.wait_until("document.querySelector('video').currentTime < 5", seconds=20)
    page.wait_for_selector('html[data-state="running"]')
    assert source_value(page) == "file"
    assert page.is_visible("[data-role=seek]")
    watch.assert_clean()


def test_video_that_a_phone_turns_is_read_upright(demo_address: str, open_page: OpenPage) -> None:
    address = f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1&prompt=read"
    watch = open_page(address, device="wasm", before=RECORD)
    page = until_running(watch)
    for turn, shape in ((90, [384, 480]), (180, [480, 384])):
        recorded = page.evaluate(RECORD_TURNED, [base64.b64encode(png(2)).decode(), turn])
        video = turned_back(base64.b64decode(recorded), turn)
        page.set_input_files(
            "[data-role=pick]", files=[{"name": "phone.mp4", "mimeType": "video/mp4", "buffer": video}]
        )
        size = "[document.querySelector('video').videoWidth, document.querySelector('video').videoHeight]"
        watch.wait_until(
            f"document.querySelector('video').currentSrc.startsWith('blob:') && {size}[0] === {shape[0]}", seconds=20
        )
        assert page.evaluate(size) == shape
        assert page.evaluate("new VideoFrame(document.querySelector('video')).rotation") == turn, (
            "this video does not show what this test is about"
        )
        page.evaluate("window.captions.length = 0")
        page.click("[data-role=describe]")
        watch.wait_until("window.captions.includes('EXIT')", seconds=30)
        page.click("[data-role=freeze]")
        page.wait_for_selector("html[data-frozen]")
        taken, shown = (np.array(page.evaluate(PIXELS, role)) for role in ("still", "video"))
        assert np.corrcoef(taken, shown)[0, 1] > 0.98, "the model sees another picture than the visitor"
    watch.assert_clean()


def test_picture_chosen_pasted_or_dropped_is_captioned(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1", device="wasm")
    page = until_running(watch)
    page.set_input_files("[data-role=pick]", files=[{"name": "scene.png", "mimeType": "image/png", "buffer": png(3)}])
    watch.wait_until(f"{CAPTION} === {CAPTIONS[3]!r}", seconds=20)
    for kind, scene in (("paste", 2), ("drop", 5)):
        page.evaluate(GIVE_FILE, ["image/png", "scene.png", base64.b64encode(png(scene)).decode(), kind])
        watch.wait_until(f"{CAPTION} === {CAPTIONS[scene]!r}", seconds=20)
    assert page.is_visible("[data-role=still]")
    assert page.is_hidden("[data-role=seek]"), "a picture has no position"
    page.set_input_files(
        "[data-role=pick]", files=[{"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}]
    )
    page.wait_for_selector("[data-role=error]", state="visible")
    assert "notes.txt" in page.inner_text("[data-role=error]")
    page.click("[data-role=error] [data-part=retry]")
    page.wait_for_selector('html[data-state="running"]')
    watch.assert_clean()


def test_two_cameras_can_be_chosen_turned_and_are_remembered(demo_address: str, open_page: OpenPage) -> None:
    address = f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1"
    watch = open_page(address, device="wasm", flags=TWO_CAMERAS, permissions=["camera"])
    page = until_running(watch)
    page.wait_for_selector("[data-role=camera]", state="visible")
    ids = page.eval_on_selector_all("[data-role=camera] option", "options => options.map((o) => o.value)")
    assert len(ids) == 2
    used = "document.querySelector('video').srcObject?.getVideoTracks()[0].getSettings().deviceId"
    first = page.evaluate(used)
    second = next(value for value in ids if value != first)
    page.focus("[data-role=camera]")
    page.select_option("[data-role=camera]", second)
    watch.wait_until(f"{used} === {second!r}", seconds=20)
    page.wait_for_selector('html[data-state="running"]')
    assert page.evaluate("document.activeElement.dataset.role") == "camera"
    page.reload()
    until_running(watch)
    watch.wait_until(f"{used} === {second!r}", seconds=20)
    page.click("[data-role=flip]")
    watch.wait_until(f"{used} === {first!r}", seconds=20)
    page.wait_for_selector('html[data-state="running"]')
    assert page.evaluate("document.activeElement.dataset.role") == "flip"
    page.evaluate("document.querySelector('video').srcObject.getVideoTracks()[0].dispatchEvent(new Event('mute'))")
    assert "no picture at the moment" in watch.status()
    page.click("[data-role=pause]")
    page.wait_for_selector('html[data-state="paused"]')
    assert not page.evaluate(CAMERA_ON), "the camera is on while the page is paused"
    page.keyboard.press("p")
    page.wait_for_selector('html[data-state="running"]')
    assert page.evaluate(used) == first
    watch.assert_clean()


def test_shared_screen_is_captioned_and_its_end_is_said(demo_address: str, open_page: OpenPage) -> None:
    flags = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    watch = open_page(
        f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1", device="wasm", flags=flags
    )
    page = until_running(watch)
    page.click("[data-role=share]")
    watch.wait_until("!!document.querySelector('video').srcObject", seconds=20)
    page.wait_for_selector('html[data-state="running"]')
    assert source_value(page) == "screen"
    page.click("[data-role=pause]")
    page.wait_for_selector('html[data-state="paused"]')
    page.click("[data-role=pause]")
    page.wait_for_selector('html[data-state="running"]')
    page.evaluate("""() => {
      const [track] = document.querySelector('video').srcObject.getVideoTracks();
      track.stop();
      track.dispatchEvent(new Event('ended'));
    }""")
    page.wait_for_selector("[data-role=error]", state="visible")
    assert "shar" in page.inner_text("[data-role=error]").lower()
    page.click("[data-role=source] label:has-text('Sample')")
    page.wait_for_selector('html[data-state="running"]')
    watch.assert_clean()


def test_screen_is_not_offered_where_the_browser_has_none(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(
        f"{demo_address}camera-caption/?device=wasm&source=screen&prompt=nonsense&lang=fr&length=endless",
        device="wasm",
        before="delete MediaDevices.prototype.getDisplayMedia;",
    )
    watch.page.wait_for_selector("[data-role=start]", state="visible")
    assert watch.page.is_hidden("[data-role=share]")
    refused = ("source=screen", "prompt=nonsense", "lang=fr", "length=endless")
    assert [given for given in refused if f"“{given}” was ignored" not in watch.status()] == []


def test_unplugged_camera_is_said_and_can_be_opened_again(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    camera = write_camera(tmp_path / "boat.y4m", [scene_pixels(1)], seconds_each=2)
    address = f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1"
    watch = open_page(address, device="wasm", camera=camera, before=RECORD)
    assert until_captioned(watch) == CAPTIONS[1]
    page = watch.page
    page.evaluate("""() => {
      const [track] = document.querySelector('video').srcObject.getVideoTracks();
      track.stop();
      track.dispatchEvent(new Event('ended'));
    }""")
    page.wait_for_selector("[data-role=error]", state="visible")
    assert page.get_attribute("[data-role=error]", "role") == "alert", "only this is said at once"
    assert "unplugged" in page.inner_text("[data-role=error]")
    page.click("[data-role=error] [data-part=retry]")
    page.wait_for_selector('html[data-state="running"]')
    watch.wait_until(CAMERA_ON, seconds=10)
    watch.assert_clean()


REFUSALS = (
    ("NotAllowedError", "Permission denied", "Allow the camera for this site"),
    ("NotAllowedError", "Permission denied by system", "privacy settings of the system"),
    ("NotFoundError", "Requested device not found", "Connect a camera"),
    ("NotReadableError", "Could not start video source", "Close other programs"),
    ("OverconstrainedError", "", "Choose another frame size"),
)


def test_each_refusal_of_the_camera_says_what_to_do(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm&source=sample&autostart=1", device="wasm")
    page = until_running(watch)
    for name, message, words in REFUSALS:
        page.evaluate(REFUSE, [name, message])
        page.click("[data-role=source] label:has-text('Camera')")
        page.wait_for_selector("[data-role=error]", state="visible")
        assert words in page.inner_text("[data-role=error]")
        assert page.is_visible("[data-role=error] [data-part=retry]")
        page.click("[data-role=source] label:has-text('Sample')")
        page.wait_for_selector('html[data-state="running"]')
    assert not watch.errors


def test_page_on_an_insecure_address_says_so(demo_address: str, open_page: OpenPage) -> None:
    watch = open_page(f"{demo_address}camera-caption/?device=wasm", device="wasm")
    page = watch.page
    page.route(
        "http://demo.test/**",
        lambda route: route.fulfill(
            response=route.fetch(url=route.request.url.replace("http://demo.test/", demo_address))
        ),
    )
    page.goto("http://demo.test/camera-caption/?device=wasm&source=camera&autostart=1")
    page.wait_for_selector("[data-role=error]", state="visible", timeout=60_000)
    assert "https" in page.inner_text("[data-role=error]")


def test_page_in_a_frame_that_withholds_the_camera_says_so(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    inside = f"{demo_address}camera-caption/?device=wasm&source=camera&autostart=1"
    (tmp_path / "around.html").write_text(f"<iframe src='{inside}'></iframe>", encoding="utf-8")
    (tmp_path / "passing.html").write_text(f"<iframe src='{inside}' allow='camera'></iframe>", encoding="utf-8")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:  # another port is another origin
        Thread(target=server.serve_forever, daemon=True).start()
        watch = open_page(f"http://127.0.0.1:{server.server_port}/around.html", device="wasm")
        error = watch.page.frame_locator("iframe").locator("[data-role=error]")
        error.wait_for(state="visible", timeout=60_000)
        assert "tab of its own" in error.inner_text()
        watch.page.add_init_script(f"({REFUSE})(['NotAllowedError', 'Permission denied'])")
        watch.page.goto(f"http://127.0.0.1:{server.server_port}/passing.html")
        error.wait_for(state="visible", timeout=60_000)
        assert "Allow the camera for this site" in error.inner_text(), "the page around it passes the camera on"
        server.shutdown()
