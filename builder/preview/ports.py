"""Ports and the sockets on them: bound here and handed to the server, so that nobody can take one in between."""

from __future__ import annotations

import os
import socket
from itertools import chain, islice

from builder.errors import PreviewError

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"
"""All networks of this machine; only `--lan` listens there."""
FIRST_PORT = 8000
HIGHEST_PORT = 65535
PORTS_TRIED = 100
WAITING_CONNECTIONS = 512


def free_port(first: int = FIRST_PORT, *, host: str = LOOPBACK) -> int:
    """Find the first port from ``first`` that nobody listens on; after the highest, 8000 follows.

    Raises:
        PreviewError: a hundred ports in a row are taken.
    """
    for port in islice(chain(range(first, HIGHEST_PORT + 1), range(FIRST_PORT, HIGHEST_PORT)), PORTS_TRIED):
        try:
            _bind(host, port).close()
        except OSError:
            continue
        return port
    raise PreviewError(f"no port from {first} on is free", hint="give a port with --port")


def check_port(port: int) -> None:
    """Make sure that a port can be used.

    Raises:
        PreviewError: it is taken; the hint names the next free one.
    """
    claim_port(port).close()


def claim_port(port: int | None, *, host: str = LOOPBACK) -> socket.socket:
    """Listen on ``port``; None is the first free one from 8000, 0 any free one.

    Raises:
        PreviewError: it is taken; the hint names the next free one.
    """
    if port is None:
        return _bind(host, free_port(host=host))
    try:
        return _bind(host, port)
    except OSError as error:
        raise PreviewError(
            f"port {port} cannot be used: {(error.strerror or str(error)).lower()}",
            hint=f"the next free one: --port {free_port(max(port + 1, 1024), host=host)}",
        ) from error


def port_of(listener: socket.socket) -> int:
    """The port that a socket listens on."""
    port: int = listener.getsockname()[1]
    return port


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # allows what another socket has just left; on Windows it would allow sharing
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(WAITING_CONNECTIONS)
    except BaseException:
        listener.close()
        raise
    return listener
