"""What goes wrong while publishing, as one message and one hint each; and which of it passes by itself.

Text of the server is shown only where it says what no status does, and never with anything in it that looks like a
token. builder/hub/problems.py has the words for reading.
"""

from __future__ import annotations

import json
import re

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # public by its docs

from builder.errors import PublishError
from builder.redaction import redact

FAILURES: tuple[type[Exception], ...] = (httpx2.HTTPError, OSError, RuntimeError, ValueError, KeyError, TypeError)
"""What a call of huggingface_hub or hf_xet may raise: most is OSError, hf_xet's own are RuntimeErrors and
ConnectionErrors, an answer that should be JSON and is none is a ValueError, one that lacks something a KeyError."""
LIBRARIES = ("huggingface_hub", "hf_xet")
REFUSED = re.compile(r"\b40[13] (?:Unauthorized|Forbidden)\b")
"""How hf_xet quotes a status: it tells refusals only in words, in which any number may stand."""
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
STALE = 412
LONGEST_WAIT_S = 300.0
AGAIN = "run the command again: it goes on where it stopped"
TOKENS = "https://huggingface.co/settings/tokens"


class BusyError(RuntimeError):
    """The Hub does what was asked for only after something else."""


def root_of(error: Exception) -> Exception:
    """What an exception was raised from, where that says more: uploads and downloads wrap what happened to them."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, HfHubHTTPError | httpx2.TransportError):
            return seen
        seen = seen.__cause__
    return error


def status_of(error: Exception) -> int | None:
    """The HTTP status behind an exception."""
    root = root_of(error)
    return int(root.response.status_code) if isinstance(root, HfHubHTTPError) else None


def is_bug(error: Exception) -> bool:
    """Tell whether a KeyError or TypeError is this program's own: the Hub's answers are read in its libraries."""
    trace, module = error.__traceback__, ""
    while trace is not None:
        module, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    return isinstance(error, KeyError | TypeError) and module.partition(".")[0] not in LIBRARIES


def is_odd(error: Exception) -> bool:
    """Tell whether the answer is none that the Hub gives: a proxy's or a failing server's page."""
    return isinstance(error, json.JSONDecodeError | KeyError | TypeError)


def is_passing(error: Exception) -> bool:
    """Tell whether the same request may well succeed a moment later."""
    error = root_of(error)
    if isinstance(error, OfflineModeIsEnabled | HFValidationError | httpx2.LocalProtocolError):
        return False
    status = status_of(error)
    if status is not None:
        return status in PASSING or status == STALE
    if is_odd(error):
        return True
    if isinstance(error, httpx2.TransportError | ConnectionError | RuntimeError):
        return not REFUSED.search(str(error))
    return False


def wait_of(error: Exception, default_s: float) -> float:
    """Seconds to wait before asking again: what the server says, where it does."""
    root = root_of(error)
    if isinstance(root, HfHubHTTPError):
        limits = parse_ratelimit_headers(root.response.headers)
        if root.response.status_code == 429 and limits is not None:
            return min(limits.reset_in_seconds + 1.0, LONGEST_WAIT_S)
        if root.response.status_code == STALE:
            return 0.0
    return default_s


def in_short(error: Exception) -> str:
    """What happened, in a few words for a line of progress."""
    error = root_of(error)
    status = status_of(error)
    if status == STALE:
        return "somebody else has committed in between"
    if status == 429:
        return "too many requests"
    if status is not None:
        return f"the Hub failed with status {status}"
    if isinstance(error, BusyError):
        return str(error)
    if isinstance(error, httpx2.TimeoutException):
        return "the Hub did not answer in time"
    if is_odd(error):
        return "the answer was none of the Hub's"
    return "the connection was cut off"


def explain(error: Exception, doing: str) -> PublishError:
    """Say what ``error`` means for what was being done, as in "writing owner/name"."""
    message, hint = _words(root_of(error), doing)
    return PublishError(redact(message), hint=redact(hint))


def _words(error: Exception, doing: str) -> tuple[str, str]:
    status = status_of(error)
    if isinstance(error, OfflineModeIsEnabled):
        return f"{doing} is not possible: HF_HUB_OFFLINE forbids to ask the Hub", "unset HF_HUB_OFFLINE"
    if isinstance(error, httpx2.LocalProtocolError):
        return f"{doing} is not possible: a header cannot be sent", "check HF_TOKEN: the token alone, in one line"
    if status is not None:
        return _refused(error, status, doing)
    if isinstance(error, httpx2.ConnectError | httpx2.ProxyError | httpx2.UnsupportedProtocol):
        return f"{constants.ENDPOINT} cannot be reached for {doing}", "check the connection, HF_ENDPOINT, HTTPS_PROXY"
    if isinstance(error, httpx2.TimeoutException):
        return f"{constants.ENDPOINT} did not answer in time while {doing}", AGAIN
    if isinstance(error, BusyError):
        return f"{doing} was not possible: {error}", "try again in a few minutes"
    if isinstance(error, httpx2.HTTPError | ConnectionError | RuntimeError):
        return f"{doing} was cut off: {_first_line(error)}", AGAIN
    if is_odd(error):
        return f"{constants.ENDPOINT} does not answer as the Hub does while {doing}", f"check HF_ENDPOINT; {AGAIN}"
    if isinstance(error, ValueError):
        return (
            f"the Hub does not take what was sent while {doing}: {_first_line(error)}",
            "correct it, and publish again",
        )
    return f"{doing} failed: {_first_line(error)}", AGAIN


def _refused(error: Exception, status: int, doing: str) -> tuple[str, str]:
    said = f": {error.server_message}" if isinstance(error, HfHubHTTPError) and error.server_message else ""
    if status == 401:
        return (
            "the Hub refuses this machine's token: it is wrong or has expired",
            f"run `hf auth login`, or set HF_TOKEN anew; tokens are made on {TOKENS}",
        )
    if status == 402:
        return f"{doing} needs a paid plan{said}", "see https://huggingface.co/pricing"
    if status == 403:
        return (
            f"the account or its token may not do that: {doing}{said}",
            f"a fine-grained token needs write access to the repositories of the owner: {TOKENS}",
        )
    if status == 404:
        return f"{doing} is not possible: there is no such repository, or the token may not see it", "check the name"
    if status == STALE:
        return f"{doing} was not possible: others kept committing in between", AGAIN
    if status == 429:
        return f"{doing} was not possible: the Hub has had too many requests from here", "try again in a few minutes"
    if status >= 500:
        return f"the Hub failed with status {status} while {doing}", f"later, {AGAIN}"
    return f"the Hub answered with status {status} while {doing}{said}", AGAIN


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
