"""The linter: each rule is broken alone and found alone, and no folder makes the check itself fail."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from builder.errors import ModelError
from builder.export.lint import UNJUDGED, CheckReport, Severity, check, list_rules
from builder.export.rules._contract import all_rules
from builder.export.rules._model import WebModel
from builder.sessions import Session
from tests.export.lint_breaks import BREAKS, Break
from tests.export.lint_breaks_graphs import reshape
from tests.export.lint_models import MAKERS, edit_graph, edit_json, make_captioner, make_clip, make_listed, move_outside

EMBEDDED = Path(__file__).parents[2] / "builder" / "embedded" / "models"


def codes(report: CheckReport) -> set[str]:
    return {finding.code for finding in report.findings}


ALL_MAKERS = {**MAKERS, "listed": make_listed}


@pytest.mark.parametrize("base", ALL_MAKERS)
def test_check_of_a_folder_that_obeys_every_rule_finds_nothing(base: str, tmp_path: Path) -> None:
    report = check(str(ALL_MAKERS[base](tmp_path / base)))
    assert report.findings == ()
    assert report.ok
    assert report.summary().endswith("nothing found")


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: f"{case.code}-{case.name}")
def test_check_after_one_edit_finds_the_broken_rule_alone(case: Break, tmp_path: Path) -> None:
    root = ALL_MAKERS[case.base](tmp_path / case.base)
    case.edit(root)
    report = check(str(root))
    assert codes(report) == {case.code}, [(f.code, f.where, f.message) for f in report.findings]
    for finding in report.findings:
        assert finding.where
        assert finding.message
        assert finding.fix


def test_every_rule_has_an_edit_that_breaks_it() -> None:
    assert {rule.code for rule in list_rules()} == {case.code for case in BREAKS}


def test_rules_are_listed_by_code_each_with_title_and_fix() -> None:
    rows = list_rules()
    assert [row.code for row in rows] == sorted(row.code for row in rows)
    assert len(rows) >= 35
    for row in rows:
        assert re.fullmatch(r"TJS\d{3}", row.code)
        assert row.title
        assert row.fix


def test_check_of_a_folder_with_many_faults_reports_them_all_gravest_first(tmp_path: Path) -> None:
    root = make_captioner(tmp_path / "model")
    (root / "README.md").unlink()
    (root / "weights.pt").write_bytes(b"")
    edit_json(root / "config.json", lambda config: config.pop("image_token_index"))
    edit_json(root / "preprocessor_config.json", lambda config: config.pop("processor_class"))
    edit_json(root / "tokenizer_config.json", lambda config: config.update(chat_template="plain"))
    report = check(str(root))
    assert codes(report) == {"TJS103", "TJS601", "TJS705", "TJS901", "TJS921"}
    severities = [finding.severity for finding in report.findings]
    assert severities == [Severity.ERROR] * 3 + [Severity.WARNING, Severity.INFO]
    assert not report.ok
    assert report.summary().endswith("3 errors, 1 warning, 1 info")


def test_check_of_a_model_with_warnings_only_is_ok(tmp_path: Path) -> None:
    root = make_clip(tmp_path / "model")
    (root / "README.md").unlink()
    assert check(str(root)).ok


@pytest.mark.parametrize("content", ["", "nonsense", "[]", "null", '{"a": NaN}', "{" * 5000])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "preprocessor_config.json", "processor_config.json"])
def test_check_with_any_broken_json_file_names_that_file(name: str, content: str, tmp_path: Path) -> None:
    root = make_captioner(tmp_path / "model")
    (root / name).write_text(content, encoding="utf-8")
    report = check(str(root))
    assert UNJUDGED not in codes(report)
    assert ("TJS005", name) in {(finding.code, finding.where) for finding in report.findings}


WRONG_VALUES = (None, True, -1, 2.5, "x", [], [[]], {}, {"": {}}, ["x", None, {}])


def _wrong(value: Any) -> Iterator[Any]:
    """Every variant of a JSON value in which one part, at any depth to the third, has a wrong type."""
    if isinstance(value, dict):
        for key, part in value.items():
            for other in (*WRONG_VALUES, *(_wrong(part) if isinstance(part, dict | list) else ())):
                yield {**value, key: other}
    elif isinstance(value, list):
        for number, part in enumerate(value[:2]):
            for other in (*WRONG_VALUES, *(_wrong(part) if isinstance(part, dict) else ())):
                yield [*value[:number], other, *value[number + 1 :]]


@pytest.mark.parametrize("base", MAKERS)
def test_check_with_values_of_wrong_types_judges_every_rule(base: str, tmp_path: Path) -> None:
    model = WebModel(MAKERS[base](tmp_path / "model"))
    rules = all_rules()
    for file in sorted(model.root.glob("*.json")):
        original = json.loads(file.read_text(encoding="utf-8"))
        for wrong in _wrong({**original, "text_config": original.get("text_config", {"model_type": "llama"})}):
            model = WrongModel(model.root, file.name, wrong)
            for rule in rules:
                list(rule.check(model))


class WrongModel(WebModel):
    """A folder in which one JSON file has other contents; the rest is read from the disk."""

    def __init__(self, root: Path, name: str, value: dict[str, Any]) -> None:
        super().__init__(root)
        self._json[name] = value


@pytest.mark.parametrize("key", ["dtype", "use_external_data_format", "device_config", "kv_cache_dtype"])
def test_check_with_wrong_transformers_js_config_judges_every_rule(key: str, tmp_path: Path) -> None:
    root = make_captioner(tmp_path / "model")
    for value in (*WRONG_VALUES, {"vision_encoder": []}, {"vision_encoder": {"a": 1}}, {"vision_encoder.onnx": -3}):
        edit_json(
            root / "config.json", lambda config, value=value: config.update({"transformers.js_config": {key: value}})
        )
        assert UNJUDGED not in codes(check(str(root))), value


def test_check_of_truncated_graphs_judges_every_rule(tmp_path: Path) -> None:
    root = make_captioner(tmp_path / "model")
    path = root / "onnx" / "decoder_model_merged.onnx"
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:size])
        report = check(str(root))
        assert UNJUDGED not in codes(report)
        assert not report.ok, f"{size} of {len(whole)} bytes pass for a decoder"


def test_check_of_an_empty_folder_reports_what_is_missing(tmp_path: Path) -> None:
    assert codes(check(str(tmp_path))) == {"TJS001", "TJS921"}


def test_check_of_a_rule_that_fails_reports_it_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_clip(tmp_path / "model")
    (root / "README.md").unlink()
    monkeypatch.setattr(importlib.import_module("builder.export.rules.security"), "PICKLES", 3)
    report = check(str(root))
    assert codes(report) == {UNJUDGED, "TJS921"}
    assert report.findings[0].where == "TJS901"


def test_check_of_unsorted_nodes_finds_nothing_because_onnxruntime_sorts_them(tmp_path: Path) -> None:
    root = make_clip(tmp_path / "model")
    path = root / "onnx" / "text_model.onnx"

    def turn(model: onnx.ModelProto) -> None:
        nodes = list(reversed(model.graph.node))
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    edit_graph(path, turn)
    assert check(str(root)).findings == ()
    Session(path).run({"input_ids": np.zeros((1, 3), np.int64)})


def test_check_tells_what_is_the_same_in_every_dtype_once(tmp_path: Path) -> None:
    root = make_clip(tmp_path / "model")
    path = root / "onnx" / "text_model.onnx"
    edit_graph(path, lambda model: reshape(model, 1, 16, "input_ids"))
    shutil.copyfile(path, path.with_name("text_model_fp16.onnx"))
    assert [finding.code for finding in check(str(root)).findings] == ["TJS414"]


def test_check_of_quantized_files_larger_than_fp16_warns_only_where_fp32_is_no_larger(tmp_path: Path) -> None:
    found = {}
    for case in (case for case in BREAKS if case.code == "TJS805"):
        root = make_captioner(tmp_path / case.name)
        case.edit(root)
        found[case.name] = [finding.severity for finding in check(str(root)).findings]
    assert list(found.values()) == [[Severity.WARNING], [Severity.INFO]]


def test_check_skips_what_git_and_the_hub_client_leave(tmp_path: Path) -> None:
    root = make_clip(tmp_path / "model")
    for folder in (".git", ".cache"):
        (root / folder).mkdir()
        (root / folder / "hook.py").write_text("print()", encoding="utf-8")
    assert check(str(root)).findings == ()


def test_check_of_neither_folder_nor_repository_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither a folder nor the name of a repository"):
        check(str(tmp_path / "missing"))
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ModelError, match="neither"):
        check(str(tmp_path / "file"))


def test_external_data_that_a_device_promises_are_there(tmp_path: Path) -> None:
    root = make_clip(tmp_path / "model")
    move_outside(root / "onnx" / "text_model.onnx", "text_model.onnx_data")
    promise = {"device_config": {"webgpu": {"use_external_data_format": {"text_model.onnx": 1}}}}
    edit_json(root / "config.json", lambda config: config["transformers.js_config"].update(promise))
    assert [finding.code for finding in check(str(root)).findings] == ["TJS108"]


def test_card_is_read_as_yaml(tmp_path: Path) -> None:
    root = make_clip(tmp_path / "model")
    card = "---\nlicense:\n- apache-2.0\nlibrary_name: transformers.js # the library\n---\n"
    (root / "README.md").write_text(card, encoding="utf-8")
    assert check(str(root)).findings == ()
    (root / "README.md").write_text("---\nlicense: [mit\n---\n", encoding="utf-8")
    assert [finding.code for finding in check(str(root)).findings] == ["TJS921"]


def test_check_leaves_the_folder_as_it_was(tmp_path: Path, read_tree: object) -> None:
    root = make_captioner(tmp_path / "model")
    before = read_tree(root)  # type: ignore[operator]
    check(str(root))
    assert read_tree(root) == before  # type: ignore[operator]


@pytest.mark.parametrize("name", ["scenes-vlm", "scenes-clip"])
def test_embedded_models_have_no_errors(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(EMBEDDED / name, tmp_path / name)
    report = check(str(folder))
    assert report.ok, [(f.code, f.where, f.message) for f in report.findings]
