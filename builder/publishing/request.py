"""What is to be published where: options, filled up from what an earlier run remembered, and checked together."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from builder.errors import PublishError, did_you_mean
from builder.publish.gradio_space import HARDWARE, ZERO
from builder.publish.remembered import Publication, find
from builder.publish.session import Session
from builder.publishing.prepare import page_of

AUTO, NONE = "auto", "none"
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
SERVER_SUFFIX = "-server"
MODEL_SUFFIX = "-ONNX"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was said; None is what was not."""

    page: str | None = None
    space: str | None = None
    model: str | None = None
    model_repo: str | None = None
    fallback: str | None = None
    private: bool | None = None
    title: str | None = None
    threads: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be done. ``hardware`` None: no Gradio Space; ``server`` is the address of somebody's own fallback.

    ``model_repo``, ``title`` and the like are those that somebody named, now or in the run before, ``is_repo_named``
    says so of the first; ``earlier`` is what that run noted of the same Space.
    """

    page: str
    space: str
    model: str | None
    model_repo: str | None
    is_repo_named: bool
    fallback: str
    hardware: str | None
    server: str | None
    private: bool
    title: str | None
    threads: bool
    earlier: Publication | None

    @property
    def server_space(self) -> str:
        return f"{self.space}{SERVER_SUFFIX}"


def remembered(options: Options, folder: Path) -> Publication | None:
    """What an earlier run noted about the same thing."""
    return find(folder, page=page_of(options.page) if options.page is not None else None, space=options.space)


def check_form(options: Options) -> None:
    """Refuse what no account and no earlier run could make right, before anybody is asked for a token.

    Raises:
        PublishError: a name is none, or the fallback.
    """
    for name in (options.space, options.model_repo):
        if name is not None:
            _check_name(name)
    if options.fallback is not None:
        _fallback(options.fallback, private=bool(options.private))


def resolve(options: Options, earlier: Publication | None, session: Session) -> Request:
    """Fill up and check; nothing is written.

    Raises:
        PublishError: the page or the Space is not named, a name or the fallback is none, or the account may not write
            there.
    """
    # What was said of another page, in the same Space, says nothing of this one.
    same = earlier if earlier and (options.page is None or page_of(options.page) == earlier.page) else None
    page = options.page or (same.page if same else None)
    if same and same.site and page == same.page and options.model is None:
        page = same.site
    if page is None:
        raise PublishError(
            "what is to be published is not named", hint="webgpu-demo publish camera-caption --space NAME"
        )
    space = options.space or (earlier.space if earlier else None)
    if space is None:
        raise PublishError(
            "where it is to be published is not named", hint=f"give --space {session.account}/a-name-for-it"
        )
    private = earlier.private if options.private is None and earlier else bool(options.private)
    if private and options.model_repo:
        raise PublishError(
            "a private page carries its model itself: there is no model repository",
            hint="leave --model-repo out, or --private",
        )
    fallback = options.fallback or (same.fallback if same else AUTO)
    hardware, server = _fallback(fallback, private)
    model_repo = options.model_repo or (same.model_repo if same and same.is_repo_named else None)
    return Request(
        page=page,
        space=_repository(space, session),
        model=options.model or (same.model if same else None),
        model_repo=None if private or model_repo is None else _repository(model_repo, session),
        is_repo_named=model_repo is not None,
        fallback=fallback,
        hardware=hardware,
        server=server,
        private=private,
        title=options.title or (same.title if same else None),
        threads=same.threads if options.threads is None and same else bool(options.threads),
        earlier=earlier,
    )


def with_server(request: Request, address: str) -> Request:
    """The same with the server that a site was built with.

    Raises:
        PublishError: the page is private.
    """
    hardware, server = _fallback(address, request.private)
    return replace(request, fallback=address, hardware=hardware, server=server)


def default_model_repo(request: Request, model: str) -> str:
    """Where the model goes when nobody said: beside the Space, under the name that ONNX models have on the Hub."""
    owner = request.space.partition("/")[0]
    return f"{owner}/{model if model.lower().endswith('onnx') else model + MODEL_SUFFIX}"


def _fallback(choice: str, private: bool) -> tuple[str | None, str | None]:
    """Hardware of a Gradio Space, or the address of a server, or neither."""
    if choice == NONE or (private and choice == AUTO):
        return None, None
    if private:
        raise PublishError(
            "a private page can have no fallback: a server of the Hub that strangers may ask is not private",
            hint="leave --fallback out, or --private",
        )
    if choice == AUTO:
        return ZERO, None
    if choice in HARDWARE:
        return choice, None
    parts = urlsplit(choice)
    local = parts.hostname in ("127.0.0.1", "localhost")
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and local)):
        return None, choice
    known = [AUTO, NONE, *HARDWARE]
    raise PublishError(f"{choice!r} is no fallback", hint=f"{did_you_mean(choice, known)}, or give an https address")


def _check_name(name: str) -> tuple[str, str]:
    owner, slash, last = name.rpartition("/")
    if not NAME.fullmatch(last) or (slash and not NAME.fullmatch(owner)) or ".." in last or "--" in last:
        raise PublishError(f"{name!r} is no name for a repository", hint="letters, digits, - _ and ., as in owner/name")
    return owner, last


def _repository(name: str, session: Session) -> str:
    """owner/name. Whether the account may write there is for the Hub to say: it need not name every organisation.

    Raises:
        PublishError: it is none.
    """
    owner, last = _check_name(name)
    owner = owner or session.account
    if owner not in session.owners:
        session.report(f"the Hub does not name {owner} as one of {session.account}'s organisations, and may refuse")
    return f"{owner}/{last}"
