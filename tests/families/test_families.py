"""Every family that is in the folder is found, and each embedded checkpoint is recognised by exactly one."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.embedded import NAMES, checkpoint_dir
from builder.errors import CheckpointError
from builder.families import all_families, find_family

FAMILY_OF = {"scenes-vlm": "fastvlm", "scenes-clip": "mobileclip2"}


def test_every_module_of_the_folder_is_a_family() -> None:
    folder = Path(__file__).parents[2] / "builder" / "families"
    modules = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert set(all_families()) == modules


@pytest.mark.parametrize("name", NAMES)
def test_checkpoint_is_recognised_by_exactly_one_family(name: str) -> None:
    folder = checkpoint_dir(name)
    assert [f.name for f in all_families().values() if f.recognises(folder)] == [FAMILY_OF[name]]
    assert find_family(folder).name == FAMILY_OF[name]


def test_config_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{oops", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json is no JSON"):
        find_family(tmp_path)
