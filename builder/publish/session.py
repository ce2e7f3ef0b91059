"""Logged in to the Hub: whose token this is, and how one asks again after a failure that passes.

Start with `open_session`. No message and no progress line ever holds the token.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2
from huggingface_hub import HfApi, constants, get_session, get_token
from huggingface_hub.errors import OIDCError
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from builder.errors import PublishError
from builder.publish._contract import Report
from builder.publish.problems import FAILURES, TOKENS, BusyError, explain, in_short, is_bug, is_passing, wait_of
from builder.redaction import keep_secret, redact

SENDABLE = re.compile(r"[!-~]+")
"""What an HTTP header can carry. The client quotes a header that it cannot send in its exception."""
TIMEOUT_S = 120.0
"""How long the Hub may be silent. huggingface_hub's client has no limit of its own and would wait for ever."""
TRIES = 5
LOGGER = "huggingface_hub"
CONFLICT = b"another conflicting operation is in progress"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Session:
    """``account`` is the name behind the token, ``owners`` all names that it is said to belong to.

    ``pause_s`` is how long to wait after the first failure; each further one doubles it.
    """

    api: HfApi
    token: str = field(repr=False)
    account: str
    owners: tuple[str, ...]
    report: Report
    pause_s: float = 1.0

    @property
    def is_anonymous(self) -> bool:
        """Nobody is logged in: only what is public can be seen."""
        return not self.token

    @property
    def endpoint(self) -> str:
        return self.api.endpoint

    def attempt(self, doing: str, step: Callable[[], T]) -> T:
        """Run ``step``, again after failures that pass; it must look at the state of things anew each time.

        Raises:
            PublishError: it failed for good, or too often.
        """
        for number in range(1, TRIES + 1):
            try:
                get_session().timeout = _timeout()  # the library makes its client anew after a failed connection
                return step()
            except FAILURES as error:
                if is_bug(error):
                    raise
                if number == TRIES or not is_passing(error):
                    raise explain(error, doing) from None
                pause_s = wait_of(error, self.pause_s * 2 ** (number - 1))
                self.report(f"{doing}: {in_short(error)}; trying again" + (f" in {pause_s:.0f} s" if pause_s else ""))
                time.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")


@contextmanager
def open_session(report: Report, *, pause_s: float | None = None, needs_token: bool = True) -> Iterator[Session]:
    """Log in with this machine's token; yields the session, with the library's own output silenced meanwhile.

    With ``needs_token`` False a machine without a token looks on as anybody may. ``pause_s`` is how long to wait after
    a first failure: a second, or what WEBGPU_DEMO_RETRY_S says.

    Raises:
        PublishError: no token, or one that the Hub refuses.
    """
    token = read_token() if needs_token or _find_token() is not None else ""
    pause_s = _seconds("WEBGPU_DEMO_RETRY_S", 1.0) if pause_s is None else pause_s
    level, bars = logging.getLogger(LOGGER).level, are_progress_bars_disabled()
    patience = get_session().timeout
    logging.getLogger(LOGGER).setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        api = HfApi(endpoint=constants.ENDPOINT, token=token or False)
        asking = Session(api=api, token=token, account="", owners=(), report=report, pause_s=pause_s)
        if asking.is_anonymous:
            yield asking
            return
        name, owners = asking.attempt("logging in", lambda: _names(api.whoami()))
        yield Session(api=api, token=token, account=name, owners=owners, report=report, pause_s=pause_s)
    finally:
        get_session().timeout = patience
        logging.getLogger(LOGGER).setLevel(level)
        if not bars:
            enable_progress_bars()


@contextmanager
def busy_as_error() -> Iterator[None]:
    """Let `HfApi.create_repo` fail while another repository of the account is being made.

    It would ask again at once, without a pause and without an end ("Cannot create repo: another conflicting operation
    is in progress"; huggingface_hub 2.4.0, hf_api.py). `Session.attempt` waits in between, and gives up.
    """
    client = get_session()
    before = client.event_hooks

    def look(answer: httpx2.Response) -> None:
        if answer.status_code == 409 and CONFLICT in answer.read():
            raise BusyError("the Hub is busy making another repository of this account")

    client.event_hooks = {**before, "response": [*before.get("response", ()), look]}
    try:
        yield
    finally:
        client.event_hooks = before


def read_token() -> str:
    """The token that huggingface_hub would use.

    Raises:
        PublishError: there is none, or it cannot be sent.
    """
    token = _find_token()
    if token is None:
        raise PublishError(
            "publishing needs a Hub token, and this machine has none",
            hint=f"run `hf auth login`, or set HF_TOKEN; a fine-grained token with write access is enough: {TOKENS}",
        )
    keep_secret(token)
    if not SENDABLE.fullmatch(token):
        raise PublishError(
            "the Hub token holds characters that cannot be sent",
            hint="set HF_TOKEN to the token alone, without spaces or line breaks, or run `hf auth login`",
        )
    return token


def _find_token() -> str | None:
    try:
        return get_token()
    except OIDCError as error:
        raise PublishError(
            f"HF_OIDC_RESOURCE is set, and this machine gets no token by it: {redact(str(error))}",
            hint="unset HF_OIDC_RESOURCE, or let the workflow ask for an id token",
        ) from None


def _names(me: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The account's name, and all names that it belongs to.

    Raises:
        json.JSONDecodeError: the Hub does not answer like this; somebody else does.
    """
    if not isinstance(me.get("name"), str):
        raise json.JSONDecodeError("there is no name", "", 0)
    return me["name"], (me["name"], *(str(organization["name"]) for organization in me.get("orgs") or ()))


def _timeout() -> httpx2.Timeout:
    """WEBGPU_DEMO_TIMEOUT_S changes how long the Hub may be silent."""
    seconds = _seconds("WEBGPU_DEMO_TIMEOUT_S", TIMEOUT_S)
    return httpx2.Timeout(seconds, connect=min(seconds, 15.0))


def _seconds(variable: str, default: float) -> float:
    """A length of time from the environment; one that is no number is ignored."""
    try:
        return float(os.environ.get(variable, default))
    except ValueError:
        return default
