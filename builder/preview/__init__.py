"""preview: serve a site on this machine as the Space will show it, also to a phone, and reload it while it is edited.

Start with `preview` in server.py. protocol.py speaks HTTP; catalog.py says what may be served and files.py serves it;
headers.py, access.py and insert.py say what is added; modes.py and space.py are the page as others will see it;
watch.py reloads it; lan.py, certificates.py and phone.py bring it to a phone; tools.py and facts.py are the landing
page. Nothing here knows how a site is made.
"""

from builder.preview.modes import Modes
from builder.preview.server import Addresses, check_port, preview, running_server
from builder.preview.watch import Source

__all__ = ["Addresses", "Modes", "Source", "check_port", "preview", "running_server"]
