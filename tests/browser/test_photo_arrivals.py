"""The ways by which photos come and go: real drops of folders, the folder picker and its refusal, the clipboard."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.conftest import OpenPage, Watch, screenshot_on_failure
from tests.browser.photo_album import packaged_photographs, write_variants
from tests.browser.photo_page import count, open_photos, shown, until_idle

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CLIPBOARD = ["clipboard-read", "clipboard-write"]
ARRIVE = """([bytes, name, selector]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/jpeg' }));
  const paste = new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(paste);
}"""
PICKER = """
window.showDirectoryPicker = async () => {
  if (window.refuses) throw new DOMException('not in this frame', 'SecurityError');
  return (await navigator.storage.getDirectory()).getDirectoryHandle('Phone', { create: true });
};"""
"""The system's own window cannot be driven; the folder that it would give is a real one of the browser's."""
FILL = """async (bytes) => {
  let folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('Phone', { create: true });
  for (const name of ['DCIM', '100']) folder = await folder.getDirectoryHandle(name, { create: true });
  const writer = await (await folder.getFileHandle('IMG_1.JPG', { create: true })).createWritable();
  await writer.write(new Uint8Array(bytes));
  await writer.close();
}"""
FETCHED = "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/photos.js')).length"
READ_PICTURE = "navigator.clipboard.read().then(([item]) => item.types)"


def picture(number: int) -> list[int]:
    content = io.BytesIO()
    with Image.open(packaged_photographs()[number]) as opened:
        opened.convert("RGB").save(content, "JPEG")
    return list(content.getvalue())


def drop(watch: Watch, path: Path) -> None:
    """Let go of a file or folder over the page, as the system does: with real entries."""
    inspector = watch.page.context.new_cdp_session(watch.page)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        inspector.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def test_a_dropped_folder_of_folders_is_read_and_a_drop_before_the_start_is_no_harm(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    write_variants(tmp_path / "Years", 12)
    watch = open_page(f"{demo_address}photo-search/?device=wasm", device="wasm", permissions=CLIPBOARD)
    page = watch.page
    with screenshot_on_failure(watch, "photo-drop"):
        page.wait_for_selector("[data-role=start]:visible", timeout=60_000)
        assert not page.evaluate(FETCHED), "what the start needs comes with the start"
        drop(watch, tmp_path / "Years")
        page.wait_for_selector("[data-role=status]:has-text('Start the page first')")
        page.click("[data-role=start]")
        until_idle(watch, "No photos yet")
        drop(watch, tmp_path / "Years")
        until_idle(watch, "12 photos")
        folders = page.eval_on_selector_all("[data-role=folder] option", "all => all.map((each) => each.value)")
        assert {"Years", "Years/0", "Years/0/0"} <= set(folders)
        page.evaluate(ARRIVE, [picture(1), "pasted.jpg", "main"])
        until_idle(watch, "13 photos")
        page.evaluate(ARRIVE, [picture(1), "asked.jpg", "[data-role=query]"])
        page.wait_for_selector(".part.example:has-text('like asked.jpg')")
        page.wait_for_selector("[data-role=status]:has-text('like it')")
        assert shown(watch)[0] == "pasted.jpg"
        page.click('[data-name="pasted.jpg"] .choose')
        page.click("[data-role=selection] [data-part=copy]")
        page.wait_for_selector("[data-role=status]:has-text('1 names are in the clipboard')")
        assert page.evaluate("navigator.clipboard.readText()") == "pasted.jpg"
        page.click('[data-name="pasted.jpg"] button')
        page.wait_for_selector("[data-role=viewer] img[data-shows=original]")
        page.click("[data-role=viewer] [data-part=copy]")
        page.wait_for_selector("[data-role=viewer] [data-part=hint]:has-text('in the clipboard')")
        assert page.evaluate(READ_PICTURE) == ["image/png"]
    watch.assert_clean()


def test_a_picked_folder_is_open_again_on_the_next_visit_and_a_refused_picker_has_a_stand_in(
    demo_address: str, open_page: OpenPage, tmp_path: Path
) -> None:
    write_variants(tmp_path / "Trip", 3)
    watch = open_photos(open_page, demo_address, before=PICKER)
    page = watch.page
    with screenshot_on_failure(watch, "photo-picker"):
        page.evaluate(FILL, picture(2))
        page.click(".button.folder")
        until_idle(watch, "1 photo is")
        page.reload()
        until_idle(watch, "1 photo is")
        shown(watch, "album")
        page.click('[data-role=album] [data-name="IMG_1.JPG"] button')
        page.wait_for_selector("[data-role=viewer] img[data-shows=original]", timeout=30_000)
        page.keyboard.press("Escape")
        page.evaluate("window.refuses = true")
        with page.expect_file_chooser() as chooser:
            page.click(".button.folder")
        chooser.value.set_files(tmp_path / "Trip")
        until_idle(watch, "4 photos")
        assert count(watch) == "4 photos"
    watch.assert_clean()
