"""Disk, memory, and who this machine is to the Hub (the name only)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from builder.doctor._finding import Finding
from builder.paths import cache_folder

ROOM_BYTES = 5_000_000_000
"""A small vision-language model with its variants, and a site of it."""
MEMORY_BYTES = 8_000_000_000
"""What export of a model of half a billion parameters took at most, with room for the system."""


def look_at_machine() -> Iterator[Finding]:
    """Room on the disks where this program writes, and memory."""
    import psutil

    for name, folder in (("disk, here", Path.cwd()), ("disk, cache", cache_folder())):
        place = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(place).free
        writable = os.access(place, os.W_OK)
        enough = free >= ROOM_BYTES and writable
        what = f"{free / 1e9:.1f} GB free, {folder}" + ("" if writable else " (cannot be written)")
        yield Finding(
            group="machine",
            name=name,
            state="ok" if enough else "problem",
            what=what,
            remedy=""
            if enough
            else "free some space; set XDG_CACHE_HOME to another disk"
            if writable
            else "go to a folder that you may write to",
            facts={"free_bytes": free, "path": str(folder), "writable": writable},
        )
    memory = psutil.virtual_memory()
    yield Finding(
        group="machine",
        name="memory",
        state="ok" if memory.available >= MEMORY_BYTES else "note",
        what=f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB available, {os.cpu_count()} processors",
        remedy="" if memory.available >= MEMORY_BYTES else "close other programs before you export a large model",
        facts={"available_bytes": memory.available, "total_bytes": memory.total, "processors": os.cpu_count()},
    )


def look_at_hub() -> Iterator[Finding]:
    """Ask the Hub for the name that the token of this machine has. Only publish and private models need one."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    remedy = "hf auth login"
    if huggingface_hub.get_token() is None:
        yield Finding(group="Hub", name="login", state="note", what="none; only publish needs it", remedy=remedy)
        return
    try:
        answer = huggingface_hub.HfApi().whoami(cache=False)
        name = str(answer["name"])
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            yield Finding(group="Hub", name="login", state="problem", what="the token is not valid", remedy=remedy)
        else:
            what = f"there is a token; the Hub answered {status}, so its name is not known"
            yield Finding(group="Hub", name="login", state="note", what=what, remedy="try again later")
    except Exception as error:  # whatever the network does, the rest of the diagnosis stands
        what = f"there is a token; the Hub cannot be reached ({type(error).__name__})"
        yield Finding(group="Hub", name="login", state="note", what=what, remedy="check the connection")
    else:
        yield Finding(group="Hub", name="login", state="ok", what=name, facts={"name": name})
