"""Every exception of this package.

    BuilderError
    ├── CheckpointError   what is to be exported is missing, unsupported or unreadable
    ├── ExportError       a graph cannot be made, or does not agree with PyTorch
    ├── ModelError        a web model folder is missing, incomplete or corrupt
    ├── QuantizeError     a dtype is unknown, or a graph cannot be brought to it
    ├── VerifyError       a variant cannot run, or is not what the manifest says
    ├── IndexFileError    an index of photos is none, is damaged, belongs to another model, or cannot be made
    ├── SiteError         a page is unknown, a model does not fit it, or the site cannot be written
    ├── PublishError      a place cannot be written to, or what lies there is not what was sent
    ├── FallbackError     the server behind a page cannot be started, or its container's folder cannot be written
    ├── BenchError        a bench or a peer is unknown, or what it measures does not run
    └── PreviewError      the port is taken, or the folder cannot be served

Each carries a hint: one command or one edit that helps.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BuilderError(Exception):
    """Root of all errors that are the user's to mend; shown as message and hint, without a traceback."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class CheckpointError(BuilderError):
    """What is to be exported is missing, unsupported or unreadable."""


class ExportError(BuilderError):
    """A graph cannot be made, or does not agree with PyTorch."""


class ModelError(BuilderError):
    """A web model folder is missing, incomplete or corrupt."""


class QuantizeError(BuilderError):
    """A dtype is unknown, or a graph cannot be brought to it."""


class VerifyError(BuilderError):
    """A variant cannot run, or is not what the manifest says."""


class IndexFileError(BuilderError):
    """An index of photos is none, is damaged, belongs to another model, or cannot be made."""


class SiteError(BuilderError):
    """A page is unknown, a model does not fit it, or the site cannot be written."""


class PublishError(BuilderError):
    """A place cannot be written to, or what lies there is not what was sent."""


class FallbackError(BuilderError):
    """The server behind a page cannot be started, or its container's folder cannot be written."""


class BenchError(BuilderError):
    """A bench or a peer is unknown, or what it measures does not run."""


class PreviewError(BuilderError):
    """The port is taken, or the folder cannot be served."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Hint for a wrong name: the nearest known one, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
