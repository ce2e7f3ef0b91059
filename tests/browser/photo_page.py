"""The search page as its tests use it: opened with a model, photos taken in, searched, its grid read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.embedded.samples import ALBUM_SIZE
from tests.browser.conftest import OpenPage, Watch

STATE = "document.documentElement.dataset.state"
IDLE = f"['ready', 'done'].includes({STATE}) && document.documentElement.dataset.model === 'loaded'"
PLACES = "all => all.map(e => e.dataset.name).filter(Boolean)"

RECORD_STATUS = """
window.said = [];
addEventListener('DOMContentLoaded', () => {
  const status = document.querySelector('[data-role=status]');
  const note = () => window.said.push(status.textContent);
  new MutationObserver(note).observe(status, { childList: true, characterData: true, subtree: true });
});
"""
"""Notes everything that the polite live region has said."""


def open_photos(
    open_page: OpenPage, address: str, query: str = "", *, device: str = "wasm", **options: object
) -> Watch:
    """Open the page and wait until it has its model and its album, the sample album too if ``query`` asks for it."""
    watch = open_page(f"{address}photo-search/?device={device}&autostart=1{query}", device=device, **options)
    until_idle(watch, f"{ALBUM_SIZE} photos" if "source=sample" in query else "")
    return watch


def until_idle(watch: Watch, status: str = "", *, seconds: float = 240) -> None:
    """Wait until nothing is loaded or read, and the status holds these words."""
    said = f"document.querySelector('[data-role=status]').textContent.includes({status!r})"
    watch.wait_until(f"{IDLE} && {said}", seconds=seconds)


def take(watch: Watch, files: Sequence[Path] | Path, *, status: str = "", role: str = "") -> None:
    """Choose files, or a folder, and wait until they are read."""
    folder = isinstance(files, Path)
    paths = str(files) if isinstance(files, Path) else [str(path) for path in files]
    watch.page.set_input_files(f"[data-role={role or ('pick-folder' if folder else 'pick')}]", paths)
    until_idle(watch, status)


def search(watch: Watch, text: str) -> list[str]:
    """Search, and return the names of what matches, best first."""
    watch.page.fill("[data-role=query]", text)
    watch.page.wait_for_selector(f"[data-role=status]:has-text('“{text}”')", timeout=60_000)
    return shown(watch)


def shown(watch: Watch, role: str = "results") -> list[str]:
    """Names of the photos in the grid, once all of those in view have one."""
    unnamed = f"document.querySelectorAll('[data-role={role}] li:not([data-name])').length === 0"
    watch.wait_until(unnamed, seconds=30)
    return list(watch.page.eval_on_selector_all(f"[data-role={role}] [data-photo]", PLACES))


def count(watch: Watch) -> str:
    return watch.page.inner_text("[data-role=count]")
