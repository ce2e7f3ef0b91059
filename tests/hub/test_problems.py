"""Problems that no server on loopback can cause: a full disk, a cache that cannot be written, hf_xet's own failures."""

from __future__ import annotations

import errno

import hf_xet
import pytest
from huggingface_hub.errors import FileMetadataError, LocalEntryNotFoundError, XetDownloadError

from builder.errors import CheckpointError, ModelError
from builder.hub.problems import explain, redact
from builder.hub.source import Source

SOURCE = Source(repo="somebody/model", revision="tuned", kind=CheckpointError)
TOKEN = "hf_" + "A1b2C3d4" * 4


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full", "HF_HOME"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk is full", "HF_HOME"),
        (PermissionError(errno.EACCES, "Permission denied", "/cache/x"), "/cache/x cannot be written", "HF_HOME"),
        (OSError("Consistency check failed: file should be of size 3"), "arrived incomplete", "again"),
        (ConnectionError("reset"), "was cut off", "again"),
        (XetDownloadError(f"refused for {TOKEN}"), r"failed: refused for \[token\]", "again"),
        (hf_xet.XetObjectNotFoundError("no such object"), "failed: no such object", "again"),
        (hf_xet.XetAuthenticationError(f"{TOKEN} expired"), r"failed: \[token\] expired", "again"),
        (FileMetadataError("no ETag"), "does not answer as the Hub does", "HF_ENDPOINT"),
        (LocalEntryNotFoundError("nothing"), "no complete copy", "local folder"),
    ],
)
def test_problem_is_explained_with_what_helps(error: Exception, message: str, hint: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        raise explain(error, SOURCE)
    assert hint in caught.value.hint
    assert TOKEN not in caught.value.message


def test_problem_of_a_web_model_is_a_model_error() -> None:
    source = Source(repo="somebody/web", revision=None, kind=ModelError)
    assert isinstance(explain(ConnectionError("reset"), source), ModelError)


def test_problem_behind_a_missing_cache_entry_is_what_is_explained() -> None:
    error = LocalEntryNotFoundError("not in the cache")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "the disk is full" in explain(error, SOURCE).message


@pytest.mark.parametrize(
    "text", [f"sent {TOKEN} to", f"authorization: Bearer {TOKEN}", "Bearer eyJhbGciOi.eyJzdWIi.x-_y"]
)
def test_token_in_foreign_text_is_taken_out(text: str) -> None:
    assert "[token]" in redact(text)
    assert not any(part in redact(text) for part in (TOKEN, "eyJ"))


def test_name_of_a_function_is_no_token() -> None:
    assert redact("hf_raise_for_status in hf_hub_download") == "hf_raise_for_status in hf_hub_download"
