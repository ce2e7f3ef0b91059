"""Look for secrets in what is about to become public, and stop at the first file that holds one.

Text is searched for keys and tokens of well-known services; every file, for the Hub token of this machine. What is
found is never shown, only where.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import BinaryIO

from builder.errors import PublishError
from builder.publish.files import LocalFile

FORBIDDEN = (
    ".env",
    ".env.*",
    "*.pem",
    "*.p12",
    "*.pfx",
    "id_rsa*",
    "id_ed25519*",
    ".netrc",
    ".git-credentials",
    ".npmrc",
)
"""Names of files that hold secrets by their nature."""
SECRETS = {
    "a Hugging Face token": rb"\bhf_[A-Za-z0-9]{30,}",
    "a private key": rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----",
    "an AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})",
    "a GitLab token": rb"\bglpat-[A-Za-z0-9_-]{20,}",
    "a Google API key": rb"\bAIza[0-9A-Za-z_-]{35}\b",
    "a Slack token": rb"\bxox[abprs]-[0-9A-Za-z-]{10,}",
    "an API key": rb"\bsk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{32,}\b",
    "an npm token": rb"\bnpm_[A-Za-z0-9]{36}\b",
}
ANY = re.compile(b"|".join(b"(?P<k%d>%s)" % (number, rule) for number, rule in enumerate(SECRETS.values())))
SAMPLE = 8192
CHUNK = 1 << 24


def scan(files: Iterable[LocalFile], *, token: str | None = None) -> None:
    """Make sure that no file holds a secret; ``token`` is one to look for in binary files too.

    Raises:
        PublishError: one does; the message has the file and the line.
    """
    for file in files:
        name = PurePosixPath(file.path).name
        if any(fnmatch(name.lower(), pattern) for pattern in FORBIDDEN):
            raise _stop(file.path, "is a file of secrets by its name")
        with io.BytesIO(file.source) if isinstance(file.source, bytes) else file.source.open("rb") as stream:
            is_text = b"\0" not in stream.read(SAMPLE)
            stream.seek(0)
            if is_text:
                _scan_text(file.path, stream.read(), token)
            elif token and _holds(stream, token.encode()):
                raise _stop(file.path, "holds this machine's Hub token")


def _scan_text(path: str, raw: bytes, token: str | None) -> None:
    if token and (at := raw.find(token.encode())) >= 0:
        raise _stop(f"{path}:{_line(raw, at)}", "holds this machine's Hub token")
    if found := ANY.search(raw):
        what = list(SECRETS)[int(str(found.lastgroup)[1:])]
        raise _stop(f"{path}:{_line(raw, found.start())}", f"holds {what}")


def _holds(stream: BinaryIO, wanted: bytes) -> bool:
    tail = b""
    while chunk := stream.read(CHUNK):
        if wanted in tail + chunk:
            return True
        tail = chunk[-len(wanted) :]
    return False


def _line(raw: bytes, at: int) -> int:
    return raw.count(b"\n", 0, at) + 1


def _stop(where: str, what: str) -> PublishError:
    return PublishError(
        f"{where} {what}: nothing was published",
        hint="take it out and make the key invalid if it was ever shared; then publish again",
    )
