"""Ways to see a page as other visitors will: without WebGPU, without a network, on a slow line, inside the Hub's frame.

A mode holds for the whole server (`--no-webgpu`) or for one address: ``/_preview/as/no-webgpu,throttle=10mbit/`` is the
site's root in those modes. Pages name their files by relative addresses, so everything they load is in the mode too.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from builder.errors import PreviewError

RATE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)(k|m|g)bit", re.IGNORECASE)
UNITS = {"k": 1e3, "m": 1e6, "g": 1e9}
SLOWEST_BITS_PER_SECOND = 8e3


@dataclass(frozen=True, kw_only=True)
class Modes:
    """How a page is shown.

    ``webgpu`` False takes ``navigator.gpu`` from the page and its worker. ``offline``: the page and its scripts come as
    if they had been kept, but the connection breaks at every file of the model, and nothing outside may be asked.
    ``throttle`` is a rate such as ``10mbit``, for all requests together. ``space``: inside the Hub's frame.
    """

    webgpu: bool = True
    offline: bool = False
    throttle: str | None = None
    space: bool = False

    def words(self) -> tuple[str, ...]:
        """The modes by name, in the order in which addresses have them."""
        named = (
            (not self.webgpu, "no-webgpu"),
            (self.offline, "offline"),
            (self.throttle is not None, f"throttle={self.throttle}"),
            (self.space, "space"),
        )
        return tuple(word for holds, word in named if holds)

    def joined(self, other: Modes) -> Modes:
        """Both together; the other's rate wins."""
        return Modes(
            webgpu=self.webgpu and other.webgpu,
            offline=self.offline or other.offline,
            throttle=other.throttle or self.throttle,
            space=self.space or other.space,
        )


def parse_modes(text: str) -> Modes | None:
    """Read the words of an address; None where one of them is unknown, or a rate that is none."""
    words = text.split(",")
    throttle = next((word.removeprefix("throttle=") for word in words if word.startswith("throttle=")), None)
    if throttle is not None and _bits_per_second(throttle) is None:
        return None
    known = {"no-webgpu", "offline", "space", f"throttle={throttle}"}
    if not set(words) <= known:
        return None
    return Modes(webgpu="no-webgpu" not in words, offline="offline" in words, throttle=throttle, space="space" in words)


def parse_rate(text: str) -> float:
    """Read a rate such as ``10mbit`` or ``1.5Mbit``, in bits per second.

    Raises:
        PreviewError: it is none, or too slow for a page ever to appear.
    """
    bits = _bits_per_second(text)
    if bits is None:
        raise PreviewError(
            f"{text!r} is no rate to slow down to", hint="such as --throttle 10mbit; kbit, mbit and gbit are known"
        )
    return bits


def _bits_per_second(text: str) -> float | None:
    match = RATE.fullmatch(text)
    bits = float(match[1]) * UNITS[match[2].lower()] if match else 0.0
    return bits if bits >= SLOWEST_BITS_PER_SECOND else None


class Throttle:
    """Lets bytes through at one rate, whoever sends them: a line is shared by all that a page loads."""

    def __init__(self, bits_per_second: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._bytes_per_second = bits_per_second / 8
        self._clock = clock
        self._free_at = clock()

    @property
    def chunk_bytes(self) -> int:
        """How much to send at once, so that a bar moves about ten times a second."""
        return max(1, min(256 << 10, int(self._bytes_per_second / 10)))

    def delay(self, size: int) -> float:
        """Take the line for ``size`` bytes; seconds until they have arrived."""
        self._free_at = max(self._free_at, self._clock()) + size / self._bytes_per_second
        return self._free_at - self._clock()

    async def wait(self, size: int) -> None:
        """Wait until ``size`` bytes more would have arrived."""
        await asyncio.sleep(max(0.0, self.delay(size)))
