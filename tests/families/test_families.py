"""Every family that is in the folder is found and registered, and every checkpoint leads to one of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from optimum.exporters.tasks import TasksManager

from builder.embedded import NAMES, checkpoint_dir
from builder.errors import CheckpointError
from builder.families import all_families, find_family
from builder.families._registry import EXPORTER

FAMILY_OF = {"scenes-vlm": "fastvlm", "scenes-clip": "mobileclip2"}


def test_every_module_of_the_folder_is_a_family() -> None:
    folder = Path(__file__).parents[2] / "builder" / "families"
    modules = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert set(all_families()) == modules


@pytest.mark.parametrize("name", NAMES)
def test_embedded_checkpoint_is_recognised(name: str) -> None:
    assert find_family(checkpoint_dir(name)).name == FAMILY_OF[name]


def test_every_model_type_leads_through_optimum_to_its_family() -> None:
    for family in all_families().values():
        for library, model_types in family.model_types.items():
            for model_type in model_types:
                constructor = TasksManager.get_exporter_config_constructor(
                    EXPORTER, model_type=model_type, task=family.task, library_name=library
                )
                assert constructor.func is family.exporter_config


def test_near_miss_of_a_model_type_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "smolvlm2"}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="smolvlm2") as caught:
        find_family(tmp_path)
    assert "did you mean 'smolvlm'?" in caught.value.hint


def test_every_model_type_belongs_to_one_family() -> None:
    kinds = [(lib, t) for f in all_families().values() for lib, types in f.model_types.items() for t in types]
    assert len(kinds) == len(set(kinds))


def test_config_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{oops", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json is no JSON"):
        find_family(tmp_path)
