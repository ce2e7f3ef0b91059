"""What a publication comes to, and who decides whether it happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from builder.publish._contract import Plan
from builder.publish.live import Check

Agree = Callable[[Sequence[Plan]], bool]


@dataclass(frozen=True, kw_only=True)
class Published:
    """What has come of it. ``address`` is the page's own, ``hub_page`` the one inside the Hub.

    ``done`` is False for a dry run and where nobody agreed; ``server_note`` says why there is no fallback, where one
    was wanted; ``headers`` are what a host of a folder should send.
    """

    plans: tuple[Plan, ...]
    done: bool
    changed: bool = False
    address: str | None = None
    hub_page: str | None = None
    model_repo: str | None = None
    server: str | None = None
    server_note: str = ""
    commit: str | None = None
    checks: tuple[Check, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
