"""Publish to a folder of this machine: the site carries its model, and asks no account."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from builder.errors import PublishError
from builder.manifest import FILE_NAME, file_entry
from builder.publish._contract import Report
from builder.publish.files import from_folder
from builder.publish.folder import Folder, wanted_headers
from builder.publish.remembered import LocalCopy, read_all, read_copies, remember_copy
from builder.publish.secret_scan import scan
from builder.publishing.outcome import Agree, Published
from builder.publishing.prepare import page_of, prepare
from builder.publishing.request import AUTO, NONE, Options
from builder.site import build


def find_copy(options: Options, folder: Path | None, here: Path) -> LocalCopy | None:
    """What an earlier run noted about a folder: the one that is named, or the only one where nothing is named at all.

    Raises:
        PublishError: several could be meant.
    """
    copies = read_copies(here)
    if folder is not None:
        return copies.get(_name(folder, here))
    if not copies or options.page is not None or options.space is not None:
        return None
    names = [*read_all(here), *copies]
    if len(names) > 1:
        raise PublishError(
            f"{len(names)} places are remembered here: {', '.join(names)}", hint="name one with --space or --folder"
        )
    return next(iter(copies.values()))


def publish_to_folder(
    options: Options,
    folder: Path | None,
    copy: LocalCopy | None,
    *,
    here: Path,
    dry_run: bool,
    agree: Agree | None,
    say: Report,
) -> Published:
    """Write the site to ``folder``, or to that of ``copy``; what is not said is taken from ``copy``.

    Raises:
        BuilderError: nothing says which page, the folder holds other things, or a verb failed.
    """
    page = options.page or (copy.page if copy else None)
    same = copy if copy and page is not None and copy.page == page_of(page) else None
    if same and same.site and page == same.page and options.model is None:
        page = same.site
    if page is None:
        raise PublishError("what is to be published is not named", hint="webgpu-demo publish PAGE --folder DIR")
    target = (here / (folder if folder is not None else Path(copy.folder if copy else "."))).absolute()
    if target == here:
        raise PublishError("the project's own folder cannot be the site", hint="give one below it: --folder public")
    model = options.model or (same.model if same else None)
    with tempfile.TemporaryDirectory(prefix="webgpu-demo-publish-") as work:
        ready = prepare(page, model, say)
        title = options.title or (same.title if same else None)
        server = _server(options.fallback, ready.server, same)
        site = build(
            ready.page,
            model=ready.folder,
            out=Path(work) / "site",
            title=title or ready.title,
            server=server,
            index=ready.index,
            photos_url=ready.photos_url,
        )
        own = file_entry(site.path, FILE_NAME)
        files = tuple(from_folder(site.path, [*site.files, own], is_fresh=True))
        place = Folder(path=target, files=files)
        plans = (place.plan(),)
        scan(files)
        policy = json.loads((site.path / FILE_NAME).read_text(encoding="utf-8"))["policy"]
        headers = dict(wanted_headers(policy))
        if dry_run or (agree is not None and not agree(plans)):
            return Published(plans=plans, done=False, headers=headers)
        done = place.apply(say)
        noted = LocalCopy(
            folder=_name(target, here),
            page=ready.page,
            manifest=own.sha256,
            site=str(ready.site) if ready.site is not None else None,
            model=model if ready.site is None else None,
            server=server,
            title=title,
        )
        remember_copy(here, noted)
        return Published(
            plans=plans, done=True, changed=done.changed, address=done.address, server=server, headers=headers
        )


def _server(fallback: str | None, built: str | None, copy: LocalCopy | None) -> str | None:
    """The address of a server, of those that were named, ``built`` into a site and remembered; it gets no Space.

    Raises:
        PublishError: a Space was asked for.
    """
    if fallback is None:
        return built or (copy.server if copy else None)
    if fallback in (AUTO, NONE):
        return None
    if "://" not in fallback:
        raise PublishError(
            f"with --folder there is no Space to make on {fallback}",
            hint="run `webgpu-demo fallback` where you like, and give its address: --fallback https://…",
        )
    return fallback


def _name(folder: Path, here: Path) -> str:
    """How a folder is noted: relative to the project, so that the project may be moved, else as it is."""
    whole = (here / folder).absolute()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else str(whole)
