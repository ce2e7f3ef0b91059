"""publish: plan everything, show it, then do it step by step, each of which finds what is done already."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from builder.paths import web_template
from builder.publish._contract import Applied, Plan, Report
from builder.publish.gradio_space import RefusedError
from builder.publish.live import require
from builder.publish.remembered import Publication, remember
from builder.publish.session import open_session
from builder.publishing.outcome import Agree, Published
from builder.publishing.prepare import prepare
from builder.publishing.request import AUTO, Options, check_form, remembered, resolve
from builder.publishing.steps import Steps
from builder.publishing.to_folder import find_copy, publish_to_folder
from builder.site.page import find_page


def publish(
    page: str | None = None,
    *,
    space: str | None = None,
    model: str | None = None,
    model_repo: str | None = None,
    fallback: str | None = None,
    private: bool | None = None,
    title: str | None = None,
    threads: bool | None = None,
    folder: Path | None = None,
    dry_run: bool = False,
    rollback: bool = False,
    wait_s: float = 600,
    look: bool = True,
    agree: Agree | None = None,
    report: Report | None = None,
) -> Published:
    """Publish a page with its model as a static Space, the model in a repository of its own, and a server beside it.

    ``page`` is a page or a site that `build` made; ``space`` and ``model_repo`` are ``owner/name``; ``model`` is a
    checkpoint, a web model folder or an embedded model. ``fallback`` is "auto", "none", "zero-a10g", "cpu-basic" or the
    address of a server. What is not said is taken from the last run in this folder. ``threads`` asks the Hub for the
    headers that give WebAssembly threads. With ``folder`` the site goes there and not to the Hub. ``agree`` is shown
    the plans and decides; None does it. ``wait_s`` is how long to wait for the Space, ``look`` opens a browser if there
    is one, to see that the page comes up and to take its picture; ``rollback`` restores the version before where the
    page does not come up.

    Raises:
        BuilderError: no token, a refusal, a failed verb, a secret in a file, or a page that does not come up.
    """
    say = report or _silent
    options = Options(
        page=page,
        space=space,
        model=model,
        model_repo=model_repo,
        fallback=fallback,
        private=private,
        title=title,
        threads=threads,
    )
    here = Path.cwd()
    copy = find_copy(options, folder, here)
    if folder is not None or copy is not None:
        return publish_to_folder(options, folder, copy, here=here, dry_run=dry_run, agree=agree, say=say)
    check_form(options)
    earlier = remembered(options, here)
    with ExitStack() as stack:
        session = stack.enter_context(open_session(say))
        request = resolve(options, earlier, session)
        ready = prepare(request.page, request.model, say)
        if request.fallback == AUTO and not find_page(ready.page, web_template()).server:
            request = replace(request, hardware=None)
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webgpu-demo-publish-")))
        steps = Steps(session=session, request=request, ready=ready, work=work, look=look, report=say)
        plans = steps.plan()
        if dry_run or (agree is not None and not agree(plans)):
            return Published(plans=plans, done=False)
        entry = _first_entry(steps, plans, here)
        model_done = steps.publish_model()
        if model_done is not None:
            entry = _note(here, entry, model_repo=model_done.place, model_commit=model_done.commit)
        server, server_note = request.server, ""
        server_done: Applied | None = None
        try:
            server_done = steps.publish_server(model_done)
        except RefusedError as refused:
            server_note = f"{refused.message}; {refused.hint}"
            say(server_note)
            unmade = tuple(name for name in entry.made if name != f"space {request.server_space}")
            entry = replace(entry, server_space=None, made=unmade)
        if server_done is not None:
            server = server_done.address
            entry = _note(here, entry, server_space=server_done.place, server_commit=server_done.commit)
        page_done = steps.publish_page(model_done, server)
        entry = _note(
            here,
            entry,
            previous=page_done.previous or entry.previous,
            commit=page_done.commit,
            address=page_done.address,
            server=server,
        )
        say(page_done.address)
        checks = steps.check(page_done, model_done, wait_s=wait_s)
        restored = steps.roll_back(page_done) if rollback and any(check.ok is False for check in checks) else None
        if restored is not None:
            _note(here, entry, commit=restored)
        require(checks, page_done.address, is_restored=restored is not None)
        if server_done is not None:
            checks = (*checks, steps.check_server(server_done, wait_s=wait_s))
        changed = any(done.changed for done in (model_done, server_done, page_done) if done is not None)
        return Published(
            plans=plans,
            done=True,
            changed=changed,
            address=page_done.address,
            hub_page=f"{session.endpoint}/spaces/{request.space}",
            model_repo=model_done.place if model_done else None,
            server=server,
            server_note=server_note,
            commit=page_done.commit,
            checks=checks,
        )


def _first_entry(steps: Steps, plans: Sequence[Plan], here: Path) -> Publication:
    """Note what is about to be made before anything is, so that `unpublish` knows it after an interruption too."""
    request = steps.request
    new = tuple(f"{_kind(plan.target)} {plan.place}" for plan in plans if not plan.exists)
    entry = Publication(
        page=steps.ready.page,
        space=request.space,
        model=request.model or steps.ready.model,
        model_repo=steps.model_repo,
        fallback=request.fallback,
        private=request.private,
        title=request.title or steps.ready.title,
        threads=request.threads,
        server_space=request.server_space if request.hardware is not None else None,
        made=new,
    )
    old = request.earlier
    if old is not None and old.space == request.space:
        entry = replace(
            old,
            page=entry.page,
            model=entry.model,
            model_repo=entry.model_repo,
            fallback=entry.fallback,
            private=entry.private,
            title=entry.title,
            threads=entry.threads,
            server_space=entry.server_space or old.server_space,
            made=tuple(dict.fromkeys((*old.made, *new))),
        )
    remember(here, entry)
    return entry


def _note(here: Path, entry: Publication, **values: str | None) -> Publication:
    entry = replace(entry, **values)  # type: ignore[arg-type]
    remember(here, entry)
    return entry


def _kind(target: str) -> str:
    return "model" if target == "model repo" else "space"


def _silent(line: str) -> None:
    del line
