"""A folder appears whole or not at all."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

import pytest

from builder.errors import SiteError
from builder.folders import check_room, new_file, new_folder, way_out


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


def test_new_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError), new_file(path, error=SiteError, otherwise="elsewhere") as part:
        part.write_text("half")
        raise ValueError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.ENOSPC, "free some space, or take another"), (errno.EACCES, "take another")]
)
def test_hint_asks_for_space_only_where_it_is_missing(tmp_path: Path, number: int, hint: str) -> None:
    with pytest.raises(SiteError) as caught, new_file(tmp_path / "x", error=SiteError, otherwise="take another"):
        raise OSError(number, "said by the system")
    assert caught.value.hint == hint


@pytest.mark.parametrize("path", ["", "/etc/hosts", "../a", "a/../../b", "a\\b", "C:/a", "a\0b"])
def test_path_that_leads_out_of_a_folder_is_told(path: str, tmp_path: Path) -> None:
    assert way_out(tmp_path, path) == "leads out of the folder"


def test_link_in_a_folder_is_told_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("")
    (tmp_path / "link").symlink_to("a/b")
    (tmp_path / "folder").symlink_to("a")
    assert way_out(tmp_path, "a/b") == ""
    assert way_out(tmp_path, "not/there") == ""
    assert way_out(tmp_path, "link") == "is a link"
    assert way_out(tmp_path, "folder/b") == "lies behind the link folder"


def test_room_for_more_than_the_disk_holds_is_refused_with_both_figures(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(SiteError, match=r"needs 1,000,000,000\.0 MB, and its disk has ([\d,.]+) MB free") as caught:
        check_room(tmp_path / "not" / "there" / "yet", 10**15, error=SiteError)
    found = re.search(r"has ([\d,.]+) MB", caught.value.message)
    assert found is not None
    assert float(found[1].replace(",", "")) == pytest.approx(free / 1e6, rel=0.05)
    assert str(tmp_path / "not") in caught.value.message


def test_room_that_is_there_is_enough(tmp_path: Path) -> None:
    check_room(tmp_path / "new", 1, error=SiteError)
    assert list(tmp_path.iterdir()) == []
