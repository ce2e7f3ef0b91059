"""What people would use instead, one file each: published sizes, or a program in an environment of its own.

A file that defines ``PEER`` is found by discovery; its name is what `webgpu-demo bench --against` takes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from builder.bench.peers._contract import Peer


def all_peers() -> Mapping[str, Peer]:
    """Name → peer, by the alphabet."""
    found = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    peers = [importlib.import_module(f"{__name__}.{name}").PEER for name in found]
    return {peer.name: peer for peer in peers}
