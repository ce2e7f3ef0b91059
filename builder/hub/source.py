"""What is asked for: a model repository of the Hub at a branch, tag or commit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from huggingface_hub import constants, get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public by its docs

from builder.errors import BuilderError

ADDRESS = re.compile(r"https?://[^/]+/(?P<repo>[^/]+/[^/]+)(/tree/(?P<revision>[^/]+))?/?")
SENDABLE = re.compile(r"[!-~]+")
"""What an HTTP header can carry. huggingface_hub's client quotes a token that it cannot send in its exception."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A repository; ``revision`` None is its default branch. ``kind`` is the class of errors about it."""

    repo: str
    revision: str | None
    kind: type[BuilderError]

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"

    @property
    def page(self) -> str:
        return f"{constants.ENDPOINT}/{self.repo}"


def parse_source(name: str, revision: str | None, kind: type[BuilderError]) -> Source:
    """Read ``owner/name``, ``name`` or either with ``@revision``.

    Raises:
        kind: it is no valid Hub id, two different revisions are given, or the token cannot be sent.
    """
    if address := ADDRESS.fullmatch(name):
        at = f"@{address['revision']}" if address["revision"] else ""
        raise kind(f"{name} is an address, not a Hub id", hint=f"give {address['repo']}{at}")
    repo, _, inline = name.partition("@")
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise kind(
            f"there is no folder {name!r}, and {name!r} is no Hub id",
            hint="give a folder that exists, or a Hub id such as owner/name",
        ) from error
    if inline and revision and inline != revision:
        raise kind(f"{name} asks for {inline!r}, but the revision given is {revision!r}", hint="give one of the two")
    token = get_token()
    if token is not None and not SENDABLE.fullmatch(token):
        raise kind(
            "the Hub token holds characters that cannot be sent",
            hint="set HF_TOKEN to the token alone, without spaces or line breaks, or run `hf auth login`",
        )
    return Source(repo=repo, revision=inline or revision or None, kind=kind)
