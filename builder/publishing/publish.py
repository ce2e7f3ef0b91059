"""publish: plan everything, show it, then do it step by step, each of which finds what is done already."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from builder.errors import PublishError
from builder.paths import web_template
from builder.publish._contract import Applied, Plan, Report, silent
from builder.publish.gradio_space import RefusedError
from builder.publish.live import require
from builder.publish.session import open_session
from builder.publishing.ledger import Ledger, open_ledger
from builder.publishing.outcome import Agree, Published
from builder.publishing.prepare import prepare
from builder.publishing.request import AUTO, NONE, Options, check_form, remembered, resolve, with_server
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
    say = report or silent
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
        if options.fallback is None and ready.server is not None:
            request = with_server(request, ready.server)
        if request.fallback == AUTO and not find_page(ready.page, web_template()).server:
            request = replace(request, hardware=None)
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webgpu-demo-publish-")))
        steps = Steps(session=session, request=request, ready=ready, work=work, look=look, report=say)
        plans = steps.plan()
        if dry_run or (agree is not None and not agree(plans)):
            return Published(plans=plans, done=False)
        ledger = open_ledger(here, request, ready, steps.model_repo)
        return _publish(replace(steps, note=ledger.note_made), plans, ledger, rollback=rollback, wait_s=wait_s)


def _publish(steps: Steps, plans: tuple[Plan, ...], ledger: Ledger, *, rollback: bool, wait_s: float) -> Published:
    """Do what was planned, and look at what has come of it."""
    model = steps.publish_model()
    if model is not None:
        ledger.note(model_repo=model.place, model_commit=model.commit)
    server, note = _publish_server(steps, model, ledger)
    address = server.address if server is not None else steps.request.server
    page = steps.publish_page(model, address)
    previous = page.previous or ledger.entry.previous
    ledger.note(previous=previous, commit=page.commit, address=page.address, server=address)
    steps.report(page.address)
    checks = steps.check(page, model, wait_s=wait_s)
    restored = steps.roll_back(page) if rollback and any(check.ok is False for check in checks) else None
    if restored is not None:
        ledger.note(commit=restored)
    require(checks, page.address, is_restored=restored is not None)
    if server is not None:
        checks = (*checks, *steps.check_server(server, model, wait_s=wait_s))
    return Published(
        plans=plans,
        done=True,
        changed=any(done.changed for done in (model, server, page) if done is not None),
        address=page.address,
        hub_page=f"{steps.session.endpoint}/spaces/{page.place}",
        model_repo=model.place if model else None,
        server=address,
        server_note=note,
        commit=page.commit,
        checks=checks,
    )


def _publish_server(steps: Steps, model: Applied | None, ledger: Ledger) -> tuple[Applied | None, str]:
    """The server is an addition: whatever keeps it from being there, the page goes on without; the text says why."""
    try:
        server = steps.publish_server(model)
    except PublishError as error:
        note = f"{error.message}; {error.hint}"
        steps.report(note)
        if isinstance(error, RefusedError):  # asked for again only when somebody says so
            ledger.note(fallback=NONE)
        return None, note
    if server is not None:
        ledger.note(server_space=server.place, server_commit=server.commit)
    return server, ""
