"""The steps of a publication: each plans, applies or checks one target, with what the steps before it left."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from builder.errors import PublishError
from builder.manifest import FILE_NAME, FileEntry, Manifest, file_entry, parse
from builder.paths import web_template
from builder.publish import live
from builder.publish._contract import Applied, Plan, Report
from builder.publish.arrival import PAUSES_S, check_files, model_origins
from builder.publish.browser import BrowserError, find_browser, look
from builder.publish.files import LocalFile, from_folder
from builder.publish.gradio_space import REPO, REVISION, GradioSpace, program_files, render_server_readme, with_manifest
from builder.publish.model_repo import ModelRepo, model_files
from builder.publish.repository import Repository
from builder.publish.secret_scan import scan
from builder.publish.session import Session
from builder.publish.static_space import OWN, StaticSpace, render_readme
from builder.publishing.prepare import Prepared
from builder.publishing.request import Request, default_model_repo
from builder.site import BuiltSite, build
from builder.site.assets import site_manifest
from builder.site.page import find_page

UNKNOWN = "0" * 40
"""Stands for a commit that is not made yet."""
HUB = "https://huggingface.co"
HUB_ORIGINS = (HUB, "https://*.hf.co")
"""Where the Hub keeps large files: https://huggingface.co/.well-known/meta.json names hosts below these."""
PICTURE_S, SETTLE_S = 90.0, 4.0
LOOK_S = 240.0


@dataclass(frozen=True, kw_only=True)
class Steps:
    """``work`` is a folder for what is built on the way; ``look`` allows to open a browser.

    ``built`` are the sites made so far, by the model's commit and the server's address; the last one is published.
    ``note`` is told what repositories are about to be made (repository.py).
    """

    session: Session
    request: Request
    ready: Prepared
    work: Path
    look: bool
    report: Report
    built: dict[tuple[str | None, str | None], BuiltSite] = field(default_factory=dict)
    note: Callable[[str, bool], None] | None = None

    @cached_property
    def shipped(self) -> Manifest:
        """What of the model some device gets: the rest stays in the working folder."""
        return site_manifest(self.ready.manifest)

    @cached_property
    def model_repo(self) -> str | None:
        """None where the page carries its model: a private model could not be fetched by it."""
        if self.request.private:
            return None
        return self.request.model_repo or default_model_repo(self.request, self.shipped.name)

    @property
    def title(self) -> str:
        return self.request.title or self.ready.title or find_page(self.ready.page, web_template()).title

    def plan(self) -> tuple[Plan, ...]:
        """Look at all targets; every file is scanned for secrets. A server that cannot be is left out, with a note.

        Raises:
            PublishError: a place holds other things, or a file a secret.
        """
        plans = []
        commit = None
        if (model := self._model()) is not None:
            plans.append(model.plan())
            head = model.repository.head()
            commit = head.commit if head is not None and not plans[-1].pending else UNKNOWN
            scan(model.files, token=self.session.token)
        server, notes = self.request.server, list[str]()
        if (space := self._server(commit)) is not None:
            scan(space.files, token=self.session.token)
            try:
                plans.append(space.plan())
                there = space.repository.head()
                server = there.host if there is not None and there.host else _guess_host(space.repository.id)
            except PublishError as error:
                notes.append(f"there will be no server: {error.message}")
        page = self._page(commit, server)
        scan([*page.files, page.card(None)], token=self.session.token)
        return (*plans, replace(page.plan(), notes=tuple(notes)))

    def publish_model(self) -> Applied | None:
        model = self._model()
        return None if model is None else model.apply(self.report)

    def publish_server(self, model: Applied | None) -> Applied | None:
        space = self._server(model.commit if model is not None else None)
        return None if space is None else space.apply(self.report)

    def publish_page(self, model: Applied | None, server: str | None) -> Applied:
        return self._page(model.commit if model is not None else None, server).apply(self.report)

    def check(self, page: Applied, model: Applied | None, *, wait_s: float) -> tuple[live.Check, ...]:
        """Look at the page as its visitors get it."""
        space = self._space()
        stage = live.attempt("stage", lambda: live.wait_for_stage(space, seconds=wait_s, report=self.report))
        files = self._site_files(list(self.built.values())[-1].path)
        checks = [stage, live.attempt("checksums", lambda: live.check_tree(space, page.commit or "", files))]
        commit = model.commit if model is not None else None
        if commit is not None and (target := self._model()) is not None:
            checks.append(live.attempt("checksums", lambda: live.check_tree(target.repository, commit, target.files)))
            checks.append(model_origins(self._model_url(commit), target.files)[1])
        if stage.ok is not True:
            return tuple(checks)
        self.report("fetching every file of the page")
        arrived = check_files(
            page.host,
            files,
            must_hold=commit or "page-config",
            threads=self.request.threads,
            report=self.report,
            token=self.session.token if self.request.private else None,
            pauses_s=[self.session.pause_s * pause for pause in PAUSES_S],
        )
        checks.append(arrived)
        if self.request.private:
            said = "a private page opens only in a browser that is logged in to the Hub: look at it there"
            checks.append(live.Check(name="browser", ok=None, said=said))
        elif self.look and page.host is not None and arrived.ok:
            checks.append(live.check_in_browser(page.host, seconds=LOOK_S, report=self.report))
        return tuple(checks)

    def check_server(self, server: Applied, model: Applied | None, *, wait_s: float) -> tuple[live.Check, ...]:
        """Look at the server; the page does without one that does not come up."""
        space = self._server(model.commit if model is not None else None)
        assert space is not None, "a server that was published is one that was asked for"
        there, commit = space.repository, server.commit or ""
        return (
            live.attempt(
                "server", lambda: live.wait_for_stage(there, seconds=wait_s, report=self.report, name="server")
            ),
            live.attempt("checksums", lambda: live.check_tree(there, commit, space.files)),
        )

    def roll_back(self, page: Applied) -> str | None:
        """Bring back the page that was there before this run; returns its new commit, None where that is not done."""
        if page.previous is None:
            self.report("there is no earlier version of the page to go back to")
            return None
        self.report(f"restoring {page.place} as it was at {page.previous[:8]}")
        try:
            return self._space().restore(page.previous, message="Restore the version before").oid
        except PublishError as error:
            self.report(f"it was not restored: {error.message}; {error.hint}")
            return None

    def _space(self) -> Repository:
        return Repository(session=self.session, id=self.request.space, kind="space", ours=OWN, note=self.note)

    def _model(self) -> ModelRepo | None:
        if self.model_repo is None:
            return None
        files = model_files(self.ready.folder, self.ready.manifest, self.shipped, self.model_repo)
        repository = Repository(session=self.session, id=self.model_repo, kind="model", note=self.note)
        return ModelRepo(repository=repository, files=files, origin=self.ready.manifest.origin)

    def _server(self, commit: str | None) -> GradioSpace | None:
        if self.request.hardware is None or self.model_repo is None:
            return None
        readme = render_server_readme(
            title=f"{self.title}: server",
            task=self.shipped.task,
            model=self.shipped.name,
            model_repo=self.model_repo,
            model_revision=commit or UNKNOWN,
            page=f"{self.session.endpoint}/spaces/{self.request.space}",
            hardware=self.request.hardware,
            license=self.ready.manifest.origin.license,
            endpoint=self.session.endpoint,
        )
        return GradioSpace(
            repository=Repository(session=self.session, id=self.request.server_space, kind="space", note=self.note),
            files=with_manifest((*program_files(), readme)),
            hardware=self.request.hardware,
            variables={REPO: self.model_repo, REVISION: commit or UNKNOWN},
        )

    def _page(self, commit: str | None, server: str | None) -> StaticSpace:
        site = self.built.pop((commit, server), None) or self._build(commit, server)
        self.built[commit, server] = site  # as the last one
        page = find_page(self.ready.page, web_template())

        def render(host: str | None, has_picture: bool) -> LocalFile:
            return render_readme(
                title=self.title,
                summary=page.summary,
                short=page.short,
                space=self.request.space,
                address=host or _guess_host(self.request.space, "static."),
                page=page.slug,
                model=self.shipped.name,
                model_repo=self.model_repo,
                license=self.ready.manifest.origin.license,
                server=server,
                isolated=self.request.threads,
                endpoint=self.session.endpoint,
                has_picture=has_picture,
            )

        return StaticSpace(
            repository=self._space(),
            files=tuple(self._site_files(site.path)),
            render=render,
            private=self.request.private,
            photograph=self._photograph if self.look and find_browser() is not None else None,
        )

    def _build(self, commit: str | None, server: str | None) -> BuiltSite:
        origins: tuple[str, ...] = ()
        if commit is not None and self.session.endpoint == HUB:
            origins = HUB_ORIGINS
        elif commit not in (None, UNKNOWN) and (model := self._model()) is not None:
            # Another Hub keeps its large files where it likes: the way there is asked for. `check` judges what it is.
            origins, _ = model_origins(self._model_url(str(commit)), model.files)
        return build(
            self.ready.page,
            model=self.ready.folder,
            out=self.work / f"site-{len(self.built)}",
            title=self.title,
            index=self.ready.index,
            photos_url=self.ready.photos_url,
            model_url=None if commit is None else self._model_url(commit),
            server=server,
            origins=origins,
        )

    def _model_url(self, commit: str) -> str:
        return f"{self.session.endpoint}/{self.model_repo}/resolve/{commit}/"

    @staticmethod
    def _site_files(site: Path) -> list[LocalFile]:
        listed = json.loads((site / FILE_NAME).read_text(encoding="utf-8"))["files"]
        entries = [parse(FileEntry, entry) for entry in listed]
        return from_folder(site, [*entries, file_entry(site, FILE_NAME)], is_fresh=True)

    def _photograph(self) -> bytes | None:
        """The page with its model on this machine, once there is something to see."""
        from builder.preview import running_server

        executable = find_browser()
        if executable is None:
            return None
        site = build(
            self.ready.page,
            model=self.ready.folder,
            out=self.work / "picture",
            title=self.title,
            index=self.ready.index,
            photos_url=self.ready.photos_url,
        )
        try:
            with running_server(site.path) as address:
                url = f"{address}?source=sample&autostart=1"
                return look(executable, url, seconds=PICTURE_S, settle_s=SETTLE_S).picture
        except (BrowserError, OSError) as error:
            self.report(f"no picture was taken: {error}")
            return None


def _guess_host(space: str, kind: str = "") -> str:
    """The address that the Hub will give a Space; once it is made, the Hub says it itself."""
    subdomain = re.sub(r"[^a-z0-9]+", "-", space.lower()).strip("-")
    return f"https://{subdomain}.{kind}hf.space"
