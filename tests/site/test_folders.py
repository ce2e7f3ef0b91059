"""A folder appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import SiteError
from builder.folders import new_folder


def write(target: Path, text: str) -> None:
    with new_folder(target, error=SiteError) as part:
        (part / "a.txt").write_text(text)


def test_new_folder_replaces_the_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.mkdir()
    (target / "old.txt").write_text("old")
    write(target, "new")
    assert [p.name for p in tmp_path.rglob("*")] == ["x", "a.txt"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_new_folder_left_by_an_exception_keeps_what_was_there(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "x"
    write(target, "old")
    with pytest.raises(failure), new_folder(target, error=SiteError) as part:
        (part / "a.txt").write_text("half")
        raise failure
    assert (target / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_new_folder_after_a_kill_between_the_renames_puts_the_old_one_back(tmp_path: Path) -> None:
    write(tmp_path / ".x.old", "old")
    write(tmp_path / ".x.part", "half")
    with pytest.raises(ValueError), new_folder(tmp_path / "x", error=SiteError):
        raise ValueError
    assert (tmp_path / "x" / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_new_folder_that_fails_removes_the_parents_it_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError), new_folder(tmp_path / "a" / "b" / "c", error=SiteError):
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_new_folder_below_a_file_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SiteError, match="cannot be written: not a directory"):
        write(tmp_path / "file" / "x", "new")
