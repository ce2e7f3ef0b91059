"""Keep tokens out of everything that is shown: the last net below messages that should not hold any in the first place.

`redact` knows how the Hub's tokens look; `keep_secret` tells it one that it must hide however it looks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TOKEN = re.compile(r"hf_[A-Za-z0-9]{16,}|Bearer\s+[\w.-]{16,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}")
"""The Hub's tokens, what stands behind ``Bearer``, and JSON Web Tokens, which trusted publishers get."""
SHORTEST = 8
LOGINS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC")
"""How the names of variables begin that hold a token, or say where one is."""
_secrets: set[str] = set()


def without_tokens(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program that has no business with the Hub: nothing by which it could log in."""
    return {name: value for name, value in environment.items() if not name.startswith(LOGINS)}


def keep_secret(value: str) -> None:
    """Hide ``value`` from now on wherever this process shows text; too short ones would hide words."""
    if len(value.strip()) >= SHORTEST:
        _secrets.add(value.strip())


def redact(text: str) -> str:
    """Take out of a text what looks like a token, or is one that was named."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "[token]")
    return TOKEN.sub("[token]", text)
