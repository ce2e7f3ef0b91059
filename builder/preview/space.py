"""How the Hub frames a static Space: permissions and sandbox of the frame on huggingface.co/spaces/….

The lists follow what is publicly known of the Hub's frame (its embed code, and clipboard, display capture and storage
access, which came later). The Hub promises none of it and may change it: the frame of a real Space has the last word.
What is not in them a framed page cannot have: folder pickers and cross-origin isolation, and so threads, among it; what
it stores is kept apart from what the same page stores when it is opened directly.
"""

from __future__ import annotations

ALLOW = (
    "accelerometer",
    "ambient-light-sensor",
    "autoplay",
    "battery",
    "camera",
    "clipboard-read",
    "clipboard-write",
    "display-capture",
    "document-domain",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "layout-animations",
    "legacy-image-formats",
    "magnetometer",
    "microphone",
    "midi",
    "oversized-images",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "serial",
    "sync-xhr",
    "usb",
    "vr",
    "wake-lock",
    "xr-spatial-tracking",
)
SANDBOX = (
    "allow-downloads",
    "allow-forms",
    "allow-modals",
    "allow-pointer-lock",
    "allow-popups",
    "allow-popups-to-escape-sandbox",
    "allow-same-origin",
    "allow-scripts",
    "allow-storage-access-by-user-activation",
)


def other_origin(origin_scheme: str, host: str, port: int, names: list[str]) -> str:
    """The origin of the frame: this server by another name.

    127.0.0.1 and localhost are two sites to a browser, as huggingface.co and hf.space are; on a LAN the address and the
    ``.local`` name are. Two ports of one host would be two origins of one site, which share their storage.
    """
    pairs = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}
    local = next((name for name in names if name.endswith(".local")), None)
    address = next((name for name in names if name not in pairs and not name.endswith(".local")), None)
    other = pairs.get(host) or (address if host.endswith(".local") else local) or "127.0.0.1"
    return f"{origin_scheme}://{other}:{port}"
