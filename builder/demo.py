"""demo: the whole way on the embedded models, from their fp32 web models to both pages in a browser.

It chains the verbs, which do not know each other, and so stands beside the CLI and above them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from builder.embedded import model_dir
from builder.errors import SiteError
from builder.folders import new_folder
from builder.paths import cache_folder
from builder.preview import check_port, preview
from builder.quantize import quantize
from builder.site import BuiltSite, build, default_models, write_index
from builder.verify import verify

DTYPES = ("fp16", "q8", "q4", "q4f16", "uint8")
MARK = ".webgpu-demo"
TITLE = "Models that run in this browser"


def demo(
    *,
    port: int | None = None,
    open_browser: bool = True,
    work: Path | None = None,
    report: Callable[[str], None] | None = None,
    on_ready: Callable[[str], None] = print,
) -> None:
    """Quantize and verify the embedded models, build their pages, and serve them until Ctrl-C.

    All is made below ``work`` (default: the user's cache folder), anew each time.

    Raises:
        BuilderError: the port is taken, the folder cannot be written, or a verb failed.
    """
    if port is not None:
        check_port(port)
    root = work if work is not None else cache_folder() / "demo"
    build_demo(root, report=report)
    preview(root / "site", port=port, open_browser=open_browser, landing=False, report=report, on_ready=on_ready)


def build_demo(work: Path, *, report: Callable[[str], None] | None = None) -> tuple[BuiltSite, ...]:
    """Make ``work/models`` and ``work/site``: one site per page that an embedded model fits, and an index of them.

    Raises:
        BuilderError: see `demo`.
    """
    _claim(work)
    pages = default_models()
    for name in sorted(set(pages.values())):
        _prepare(model_dir(name), work / "models" / name, report)
    sites = tuple(
        build(page, model=work / "models" / name, out=work / "site" / page, report=report)
        for page, name in pages.items()
    )
    write_index(work / "site", list(pages), title=TITLE)
    return sites


def _claim(work: Path) -> None:
    """Mark the folder as the demo's, and refuse one that holds something else: what is in it is made anew each time."""
    mark = work / MARK
    if work.is_dir() and any(work.iterdir()) and not mark.is_file():
        raise SiteError(f"{work} holds other things than a demo", hint="give an empty or a new folder with --work")
    try:
        work.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        raise SiteError(
            f"{work} cannot be written: {(error.strerror or str(error)).lower()}",
            hint="give another folder with --work",
        ) from error


def _prepare(source: Path, target: Path, report: Callable[[str], None] | None) -> None:
    """Copy an fp32 web model and add to it what a site needs."""
    if report is not None:
        report(f"quantizing {target.name}")
    with new_folder(target, error=SiteError) as part:
        shutil.copytree(source, part, dirs_exist_ok=True)
        quantize(part, dtypes=DTYPES, every=False)
        if report is not None:
            report(f"verifying {target.name}")
        verify(part)
