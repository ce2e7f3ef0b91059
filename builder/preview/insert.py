"""What the preview adds to a page and to its worker: one script each, and nothing to any other file.

The script reports requests to other addresses, takes away what a mode takes away, and reloads the page when it changed.
A site as it is published has none of this; `running_server` serves it without.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlencode

from builder.preview.catalog import Found
from builder.preview.modes import Modes

HEAD = re.compile(rb"<head(\s[^>]*)?>", re.IGNORECASE)
WORKER = re.compile(r"(^|/)app/.*\.js$")
"""Workers of pages, which are modules; the runtime's own workers are left alone."""


class Insert:
    """Adds the preview's script. ``version`` counts reloads, so that a page knows whether it is the newest."""

    def __init__(self, *, version: Callable[[], int | None]) -> None:
        self._version = version

    def into(self, body: bytes, found: Found, *, worker: bool, modes: Modes) -> bytes:
        """Return the file as the preview sends it.

        The worker's first line grows and no line is added, so that errors keep their numbers.
        """
        asked = {"as": ",".join(modes.words())} if modes.words() else {}
        if found.name.endswith(".html"):
            version = self._version()
            watched = {} if version is None else {"version": str(version)}
            query = urlencode(asked | watched).replace("&", "&amp;")
            script = f'<script type="module" src="/_preview/client.js?{query}"></script>'.encode()
            return HEAD.sub(lambda match: match[0] + script, body, count=1)
        if worker and WORKER.search(found.name):
            return f'import "/_preview/worker.js?{urlencode(asked)}"; '.encode() + body
        return body
