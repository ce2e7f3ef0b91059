"""What arrives at the Hub on loopback, and what is made to go wrong with it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from starlette.responses import Response, StreamingResponse


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    token: str | None
    range: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(kw_only=True)
class Fault:
    """What happens to requests in whose "GET /path" ``pattern`` is found, after the first ``skip`` of them.

    They get an answer of ``status`` (with ``body`` and ``headers``), none for ``hang_s``, a body that ends after byte
    ``cut_at`` of the file, or one whose last byte is wrong; ``drop`` closes the connection in the middle of an answer.
    ``late`` does what was asked for before it fails, so that only the answer is lost. ``times`` None is always.
    """

    pattern: str
    times: int | None = None
    skip: int = 0
    status: int | None = None
    message: str | None = None
    body: str = "fault"
    headers: Mapping[str, str] = field(default_factory=dict)
    hang_s: float = 0
    cut_at: int | None = None
    corrupt: bool = False
    drop: bool = False
    late: bool = False

    def answer(self) -> Response | None:
        """What is sent instead of the Hub's own answer; None where that goes out, changed perhaps."""
        if self.drop:
            return cut_off()
        if self.status is None:
            return None
        said = {"x-error-message": self.message} if self.message else {}
        return Response(self.body, status_code=self.status, headers={**said, **self.headers})


@dataclass(kw_only=True)
class Weather:
    """Faults at random, the same for the same seed: a share of all requests fails, and says so in ``words``."""

    seed: int
    share: float
    words: str
    statuses: tuple[int, ...] = (400, 401, 402, 403, 404, 409, 412, 500)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def next(self) -> Fault | None:
        """What happens to the next request."""
        if self._dice.random() >= self.share:
            return None
        status = self._dice.choice(self.statuses)
        code = self._dice.choice([None, "RepoNotFound", "EntryNotFound", "GatedRepo"])
        headers = {"x-error-code": code} if code else {}
        late = self._dice.random() < 0.5
        return Fault(pattern="", status=status, message=self.words, headers=headers, late=late)


def cut_off() -> Response:
    """An answer that breaks off."""

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        raise ConnectionAbortedError("cut off by the test")

    return StreamingResponse(body(), headers={"content-length": "100"})
