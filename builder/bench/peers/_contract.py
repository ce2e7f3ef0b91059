"""What a peer is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Peer:
    """``requirements`` are installed into an environment of its own when it is first measured; none where it only has
    published numbers."""

    name: str
    summary: str
    requirements: tuple[str, ...] = ()
