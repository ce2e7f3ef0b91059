"""preview: serve a site on this machine as a static host would, for looking at it and for tests.

Start with `preview`. server.py holds all of it; nothing here knows what is in the folder.
"""

from builder.preview.server import check_port, preview, running_server

__all__ = ["check_port", "preview", "running_server"]
