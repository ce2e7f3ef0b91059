"""Look for secrets in what is about to become public, and stop at the first file that holds one.

Every file is searched for keys and tokens of well-known services and for the Hub token of this machine, text in UTF-16
too. What is found is never shown, only where.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
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
SECRETS: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "a Hugging Face token": ((b"hf_", b"api_org_"), rb"\b(?:hf_|api_org_)[A-Za-z0-9]{30,}"),
    "a private key": ((b"PRIVATE KEY",), rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "an AWS access key": ((b"AKIA", b"ASIA"), rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "an AWS secret": (
        (b"ccess_key", b"CCESS_KEY", b"ccessKey"),
        rb"(?i)secret_?access_?key[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
    ),
    "an Azure key": ((b"AccountKey=",), rb"AccountKey=[A-Za-z0-9+/]{40,}"),
    "a GitHub token": (
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})",
    ),
    "a GitLab token": ((b"glpat-",), rb"\bglpat-[A-Za-z0-9_-]{20,}"),
    "a Google API key": ((b"AIza",), rb"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a Slack token": ((b"xox",), rb"\bxox[abprs]-[0-9A-Za-z-]{10,}"),
    "a Stripe key": ((b"k_live_",), rb"\b[rs]k_live_[A-Za-z0-9]{16,}"),
    "an API key": ((b"sk-",), rb"\bsk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{32,}\b"),
    "an npm token": ((b"npm_",), rb"\bnpm_[A-Za-z0-9]{36}\b"),
    "a JSON Web Token": ((b".eyJ",), rb"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"),
    "a password in an address": (
        (b"://",),
        rb"\bhttps?://[^\s/:@\"'`<>{}$\\]+:(?!pass(?:word|wd)?@|secret@|token@|[x*.]+@)[^\s/:@\"'`<>{}$\\]{4,}@[\w-]+",
    ),
}
"""What is found by its look: strings one of which must be there, which is found out fast, and the rule itself."""
RULES = {kind: (anchors, re.compile(rule)) for kind, (anchors, rule) in SECRETS.items()}
BOMS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
SAMPLE = 8192
CHUNK, OVERLAP, REACH = 1 << 24, 1 << 12, 1 << 9


def scan(files: Iterable[LocalFile], *, token: str | None = None) -> None:
    """Make sure that no file holds a secret; ``token`` is one to look for besides what is known by its look.

    Raises:
        PublishError: one does; the message has the file and the line.
    """
    for file in files:
        name = PurePosixPath(file.path).name
        if any(fnmatch(name.lower(), pattern) for pattern in FORBIDDEN):
            raise _stop(file.path, "is a file of secrets by its name")
        with io.BytesIO(file.source) if isinstance(file.source, bytes) else file.source.open("rb") as stream:
            sample = stream.read(SAMPLE)
            stream.seek(0)
            if (encoding := _wide(sample)) is not None:
                _look(file.path, stream.read().decode(encoding, "replace").encode(), token, is_text=True)
            elif b"\0" not in sample:
                _look(file.path, stream.read(), token, is_text=True)
            else:
                _scan_binary(file.path, stream, token)


def _wide(sample: bytes) -> str | None:
    """The encoding of a text whose characters have two bytes each; None of any other file."""
    if sample[:2] in BOMS:
        return BOMS[sample[:2]]
    half = len(sample) // 2
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):  # one byte of each is zero, and none of the others
        if half >= 8 and sample[first::2].count(0) > 0.9 * half and 0 not in sample[1 - first :: 2]:
            return encoding
    return None


def _scan_binary(path: str, stream: BinaryIO, token: str | None) -> None:
    tail = b""
    while chunk := stream.read(CHUNK):
        _look(path, tail + chunk, token, is_text=False)
        tail = chunk[-OVERLAP:]


def _look(path: str, raw: bytes, token: str | None, *, is_text: bool) -> None:
    if token and (at := raw.find(token.encode())) >= 0:
        raise _stop(_where(path, raw, at, is_text), "holds this machine's Hub token")
    for kind, (anchors, rule) in RULES.items():
        for at in _places(raw, anchors):
            if found := rule.search(raw, max(0, at - REACH), at + REACH):
                raise _stop(_where(path, raw, found.start(), is_text), f"holds {kind}")


def _places(raw: bytes, anchors: Iterable[bytes]) -> Iterator[int]:
    """Where one of ``anchors`` stands. Bytes are found a hundred times faster than a rule is tried at each of them."""
    for anchor in anchors:
        at = raw.find(anchor)
        while at >= 0:
            yield at
            at = raw.find(anchor, at + 1)


def _where(path: str, raw: bytes, at: int, is_text: bool) -> str:
    return f"{path}:{_line(raw, at)}" if is_text else path


def _line(raw: bytes, at: int) -> int:
    return raw.count(b"\n", 0, at) + 1


def _stop(where: str, what: str) -> PublishError:
    return PublishError(
        f"{where} {what}: nothing was published",
        hint="take it out and make the key invalid if it was ever shared; then publish again",
    )
