"""What goes wrong between here and the Hub, as one message and one hint each.

`explain` knows every exception that huggingface_hub 2.4 lets through. Text of the server is shown only where it says
what no status does, and never with anything in it that looks like a token.
"""

from __future__ import annotations

import errno
import traceback

import httpx2
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    OIDCError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)

from builder.errors import BuilderError, did_you_mean
from builder.hub.source import Source
from builder.redaction import TOKEN, redact

UNREACHABLE: tuple[type[Exception], ...] = (OfflineModeIsEnabled, httpx2.TransportError)
FAILURES: tuple[type[Exception], ...] = (
    httpx2.HTTPError,
    OSError,
    EntryNotFoundError,
    OIDCError,
    XetDownloadError,
    RuntimeError,
)
"""What a call of huggingface_hub or hf_xet may raise. The second base of most is OSError; hf_xet's own are
RuntimeErrors and ConnectionErrors."""
AGAIN = "run the command again: files that are complete are kept"
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def is_unreachable(error: Exception) -> bool:
    """Tell whether the Hub gave no answer worth the name: no network, no time, offline mode, or a failing server."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500
    return isinstance(error, UNREACHABLE)


def explain(error: Exception, source: Source) -> BuilderError:
    """Say what ``error`` means for ``source``, in an exception of its kind."""
    while isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # "not in the cache either": why the Hub did not help says more
    message, hint = _words(error, source)
    return source.kind(message, hint=hint)


def cause(error: Exception) -> Exception | None:
    """What may stand behind an explanation in a traceback: ``error``, unless a token is shown in it or behind it."""
    return None if TOKEN.search("".join(traceback.format_exception(error))) else error


def _words(error: Exception, source: Source) -> tuple[str, str]:
    if isinstance(error, OfflineModeIsEnabled):
        return (
            f"{source} is not complete in the cache, and HF_HUB_OFFLINE forbids to ask the Hub",
            "unset HF_HUB_OFFLINE (and TRANSFORMERS_OFFLINE), or give a local folder",
        )
    if isinstance(error, HfHubHTTPError):
        return _refused(error, source)
    if isinstance(error, FileMetadataError):
        return (
            f"{constants.ENDPOINT} does not answer as the Hub does",
            "check HF_ENDPOINT, and whether a proxy or firewall stands between",
        )
    if isinstance(error, httpx2.LocalProtocolError):
        return ("a request could not be sent: a header holds characters that no header may hold", "check HF_TOKEN")
    if isinstance(error, httpx2.TimeoutException):
        return (f"{constants.ENDPOINT} did not answer in time for {source}", f"check the connection; {AGAIN}")
    if isinstance(error, httpx2.ConnectError | httpx2.ProxyError | httpx2.UnsupportedProtocol):
        return (
            f"{constants.ENDPOINT} cannot be reached, and the cache holds no complete copy of {source}",
            "check the connection (and HF_ENDPOINT, HTTPS_PROXY), or give a local folder",
        )
    if isinstance(error, httpx2.HTTPError | ConnectionError):
        return (f"the download of {source} was cut off", AGAIN)
    if isinstance(error, XetDownloadError | RuntimeError):
        return (f"the download of {source} failed: {redact(str(error))}", AGAIN)
    if isinstance(error, LocalEntryNotFoundError):
        return (f"the cache holds no complete copy of {source}", "check the connection, or give a local folder")
    if isinstance(error, OSError):
        return _disk(error, source)
    return (f"{source} cannot be fetched: {redact(str(error))}", "check how this machine logs in to the Hub")


def _refused(error: HfHubHTTPError, source: Source) -> tuple[str, str]:
    """Words for an answer of the Hub that is no success."""
    status, logged_in = error.response.status_code, get_token() is not None
    if isinstance(error, RevisionNotFoundError):
        return f"{source.repo} has no branch, tag or commit {source.revision!r}", _revisions(source)
    if isinstance(error, GatedRepoError):
        if logged_in:
            return (
                f"{source.repo} is gated, and the account of this machine's token may not read it",
                f"accept the terms on {source.page} with that account (`hf auth whoami` names it)",
            )
        return (
            f"{source.repo} is gated, and no token is set",
            f"accept the terms on {source.page}, then run `hf auth login`",
        )
    if isinstance(error, RepositoryNotFoundError):
        private = "not open to this machine's token" if logged_in else "private"
        return (
            f"there is no folder {source.repo}, and no model of that name on the Hub, or it is {private}",
            "check the spelling" + ("; see `hf auth whoami`" if logged_in else "; if it is private, `hf auth login`"),
        )
    if isinstance(error, DisabledRepoError):
        return f"{source.repo} has been disabled on the Hub", f"see {source.page}"
    if isinstance(error, EntryNotFoundError):
        return f"a file of {source} vanished from the Hub while it was fetched", "run the command again"
    if status == 401:
        return (
            "the Hub refuses this machine's token: it is wrong or has expired",
            "run `hf auth login`, or set HF_TOKEN anew; for open models, unset it",
        )
    if status == 403:
        return (
            f"the Hub forbids to read {source}{_said(error)}",
            f"check what the token may read, and the terms on {source.page}",
        )
    if status == 429:
        return (
            "the Hub has had too many requests from here",
            "run the command again in a few minutes" + ("" if logged_in else ", or log in: `hf auth login`"),
        )
    if status >= 500:
        return f"the Hub failed with status {status} on {source}", f"later, {AGAIN}; or give a local folder"
    return f"the Hub answered {source} with status {status}{_said(error)}", f"see {source.page}"


def _said(error: HfHubHTTPError) -> str:
    return f": {redact(error.server_message)}" if error.server_message else ""


def _revisions(source: Source) -> str:
    """Hint for a wrong revision: the nearest one, or all."""
    try:
        refs = HfApi().list_repo_refs(source.repo)
    except FAILURES:
        return f"see the branches on {source.page}/tree/main"
    names = [ref.name for ref in (*refs.branches, *refs.tags)]
    return did_you_mean(source.revision or "", names) if names else f"see {source.page}"


def _disk(error: OSError, source: Source) -> tuple[str, str]:
    if error.errno in NO_SPACE:
        return (
            f"the disk is full: {source} does not fit into {constants.HF_HUB_CACHE}",
            "free some space, or set HF_HOME to a folder on another disk",
        )
    if type(error) is OSError and error.errno is None:  # huggingface_hub's check of a file's length
        return f"the download of {source} arrived incomplete", AGAIN
    if error.errno is None:  # hf_xet's own: XetAuthenticationError, XetObjectNotFoundError
        return f"the download of {source} failed: {redact(str(error))}", AGAIN
    where = error.filename or constants.HF_HUB_CACHE
    return (
        f"{where} cannot be written: {(error.strerror or str(error)).lower()}",
        "set HF_HOME to a folder that you may write to",
    )
