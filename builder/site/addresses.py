"""Addresses that a page is told to fetch from, checked letter by letter: their origins become words of its policy.

In a Content Security Policy a space begins another origin and a semicolon another directive, so what is written there
must be a host and nothing else, as https://www.w3.org/TR/CSP3/#grammardef-host-source spells one.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from builder.errors import SiteError

LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
HOST = re.compile(rf"(?:{LABEL}(?:\.{LABEL})*|\[::1\])(?::[0-9]+)?")
LOCAL = ("127.0.0.1", "localhost", "::1")


def page_address(name: str, value: str | None, *, folder: bool = False) -> str | None:
    """Check an address that a page will be told to fetch from; that of a ``folder`` ends in a slash afterwards.

    Raises:
        SiteError: it is none, or one that pages on https may not use.
    """
    if value is None:
        return None
    parts = _split(value)
    local = parts is not None and parts.scheme == "http" and parts.hostname in LOCAL
    if parts is None or " " in value or not HOST.fullmatch(parts.netloc) or not (parts.scheme == "https" or local):
        shown = parts.hostname if parts is not None and "@" in parts.netloc else value  # no password in an error
        raise SiteError(f"{name} is no address for a page: {shown!r}", hint="give https://…, a host's name in ASCII")
    if folder and (parts.query or parts.fragment):
        raise SiteError(f"{name} is no address of a folder: {value!r}", hint="leave out what follows ? or #")
    return value if value.endswith("/") or not folder else f"{value}/"


def page_origin(name: str, value: str) -> str:
    """Check an origin that a page will be allowed to fetch from; raises as `page_address` does."""
    page_address(name, value)
    parts = urlsplit(value)
    if value != f"{parts.scheme}://{parts.netloc}":
        raise SiteError(f"{name} is no origin: {value!r}", hint=f"give {parts.scheme}://{parts.netloc}")
    return value


def photos_address(value: str | None, index: Path | None) -> str | None:
    """Check where photos are to be shown from: an address, or a path relative to index.html.

    Raises:
        SiteError: it is neither, or there is no index whose photos these are.
    """
    if value is None:
        return None
    if index is None:
        raise SiteError("photos_url says where the photos of an index lie", hint="give the index too, with --index")
    parts = _split(value)
    if parts is None or parts.scheme or parts.netloc or "\\" in value:
        return page_address("photos_url", value, folder=True)
    return value if value.endswith("/") else f"{value}/"


def _split(value: str) -> SplitResult | None:
    """The parts of an address; None where it has what no parser takes, or letters that are not seen."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises where it is beyond 65535
    except ValueError:
        return None
    # urlsplit, and a browser, take tabs and line breaks out of an address before they read it.
    return parts if value.isprintable() else None
