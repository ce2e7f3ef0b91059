"""One byte range of a file, as RFC 9110 §14 has it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.datastructures import Headers

ONE_RANGE = re.compile(r"bytes=(\d{1,19})-(\d{0,19})|bytes=-(\d{1,19})", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Span:
    """``count`` bytes from ``start``; ``whole`` unless a range was asked for. ``count`` None: it cannot be met."""

    start: int
    count: int | None
    whole: bool


def wanted_span(method: str, headers: Headers, *, size: int, etag: str) -> Span:
    """What of a file of ``size`` bytes a request wants.

    Several ranges, other units and what is no range give the whole file, which a server may always send (§14.2); so
    does an If-Range that names another version. A range is one of GET only.
    """
    whole = Span(start=0, count=size, whole=True)
    match = ONE_RANGE.fullmatch(headers.get("range", "").strip())
    if method != "GET" or match is None or headers.get("if-range", etag) != etag:
        return whole
    if match[3] is not None:
        last = int(match[3])
        return Span(start=max(0, size - last), count=min(last, size) if last and size else None, whole=False)
    start, end = int(match[1]), min(int(match[2] or size), size - 1)
    if match[2] and int(match[2]) < start:
        return whole
    return Span(start=start, count=end - start + 1 if start < size else None, whole=False)


def names_version(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match has this version."""
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return etag in tags or tags == ["*"]
