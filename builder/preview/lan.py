"""The names under which other devices reach this machine: addresses of its networks, and its ``.local`` name."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from builder.errors import PreviewError

PRIVATE_NETWORKS = (
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
)
"""Networks that the web never leads to: private, shared and link-local ones, and those of examples and laboratories."""
PRIVATE_DOMAINS = ("local", "localhost")
ELSEWHERE = ("192.0.2.1", 9)
"""An address that nobody has (RFC 5737). Connecting a datagram socket to it sends nothing; it picks a network."""


@dataclass(frozen=True, kw_only=True)
class Lan:
    """``address`` is the one to give to others, a private one if there is one; ``names`` are all, that one first."""

    address: str
    names: tuple[str, ...]


def find_lan() -> Lan:
    """Look up the addresses of this machine's networks.

    Raises:
        PreviewError: it is in no network.
    """
    import psutil

    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    found = [
        entry.address
        for name, entries in psutil.net_if_addrs().items()
        if name in up
        for entry in entries
        if entry.family == socket.AF_INET and not ipaddress.ip_address(entry.address).is_loopback
    ]
    if not found:
        raise PreviewError("this machine is in no network that a phone could be in", hint="join the phone's Wi-Fi")
    outward = _outward_address()
    addresses = sorted(set(found), key=lambda a: (not is_private(a), a != outward, found.index(a)))
    return Lan(address=addresses[0], names=(*addresses, *local_names()))


def local_names() -> tuple[str, ...]:
    """The name under which multicast DNS announces this machine, where it has one that is a host name."""
    name = socket.gethostname().partition(".")[0].lower()
    return (f"{name}.local",) if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) else ()


def is_private(name: str) -> bool:
    """Whether a host name or an address is of a local network, so that no name on the web can be it."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.rpartition(".")[2] in PRIVATE_DOMAINS
    return any(address in ipaddress.ip_network(network) for network in PRIVATE_NETWORKS)


def _outward_address() -> str | None:
    """The address that this machine has towards the rest of the world; None where it has no such way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return address
