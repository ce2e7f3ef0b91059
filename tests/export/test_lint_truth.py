"""The linter tells the truth about transformers.js: its tables are the source's, and its errors are errors there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from builder.export.lint import Severity, check, list_rules
from builder.export.rules._tables import MAX_IR_VERSION, MAX_OPSET, SESSIONS, tables
from tests.export.lint_breaks import BREAKS
from tests.export.lint_breaks_graphs import DECODER, reshape
from tests.export.lint_models import MAKERS, edit_graph

HERE = Path(__file__).parent
WEB_TEMPLATE = HERE.parents[1] / "web_template"
STORED = HERE.parents[1] / "builder" / "export" / "rules" / "transformersjs.json"
pytestmark = pytest.mark.slow

OTHER_AXES = {"heads": (1, "num_heads"), "head-size": (3, "kv_cache_dim")}
EMBEDDED = HERE.parents[1] / "builder" / "embedded" / "models"

NOT_SEEN_IN_NODE = {
    "TJS005": "Node replaces bytes that are not UTF-8, and a list passes for an object without keys",
    "TJS006": "Node follows links; uploads and static hosts do not",
    "TJS302": "native onnxruntime opens external data by path; a browser has only what it was handed",
    "TJS305": "likewise, where the config promises too few files",
    "TJS411": "the edit changes what the graph declares, not what it computes",
    "TJS501": "a Concat accepts an empty cache of any shape; GroupQueryAttention does not",
    "TJS502": "likewise",
    "TJS506": "likewise, where the shapes differ",
    "TJS707": "a token that is cut into pieces gives a worse answer, not an error",
    "TJS708": "the token is in the tokenizer, and this text does not use it",
    "TJS803": "the file is only as large as 2 GiB, and Node maps it",
    "TJS901": "transformers.js opens no pickles",
    "TJS911": "transformers.js does not read manifest.json",
    "TJS912": "likewise",
}


def run_node(node: str, script: str, *arguments: str) -> str:
    command = [node, str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1] if script == "load_models.mjs" else done.stdout


def test_stored_tables_are_those_of_the_pinned_transformers_js(node: str) -> None:
    fresh = json.loads(run_node(node, "read_transformersjs.mjs", str(WEB_TEMPLATE)))
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    assert stored == fresh, f"node tests/export/read_transformersjs.mjs web_template > {STORED}"


def test_stored_session_table_knows_every_kind_of_the_source() -> None:
    source = WEB_TEMPLATE / "node_modules/@huggingface/transformers/src/models/session_config.js"
    text = source.read_text(encoding="utf-8")
    for kind, names in SESSIONS.items():
        block = text.split(f"[MODEL_TYPES.{kind}]: {{")[1].split("\n    },\n")[0]
        for name in names:
            assert f"'{name}'" in block or "text_only_sessions" in block, (kind, name)
    kinds = {kind for kind in tables().class_kinds.values() if f"[MODEL_TYPES.{kind}]" in text}
    assert kinds - set(SESSIONS) == {"DecoderOnly", "DecoderOnlyWithoutHead", "MultimodalEncoder"}


def test_valid_folders_run_and_errors_fail_in_transformers_js(node: str, tmp_path: Path) -> None:
    kinds: dict[str, str] = {}
    for base, make in MAKERS.items():
        make(tmp_path / base)
        kinds[base] = base
    for number, case in enumerate(BREAKS):
        if case.code not in NOT_SEEN_IN_NODE and case.base in MAKERS:
            root = MAKERS[case.base](tmp_path / f"{case.code}-{number}")
            case.edit(root)
            if not check(str(root)).ok:
                kinds[root.name] = case.base
    request = {"web_template": str(WEB_TEMPLATE), "models": str(tmp_path), "names": kinds}
    results = json.loads(run_node(node, "load_models.mjs", json.dumps(request)))
    assert {base: results.pop(base) for base in MAKERS} == dict.fromkeys(MAKERS)
    assert [name for name, error in results.items() if error is None] == []
    assert len(results) > 50


def test_symbolic_axes_of_a_grouped_attention_cache_are_errors_that_transformers_js_runs_into(
    node: str, tmp_path: Path
) -> None:
    expected = {"as-it-is": set(), "batch": {"TJS501"}, "heads": {"TJS502"}, "head-size": {"TJS502"}}
    for name, (axis, symbol) in {"as-it-is": (0, "batch_size"), "batch": (0, "batch"), **OTHER_AXES}.items():
        root = shutil.copytree(EMBEDDED / "scenes-vlm", tmp_path / name)
        (root / "manifest.json").unlink()  # its checksums are those of the unchanged file
        edit_graph(root / DECODER, lambda m, axis=axis, symbol=symbol: reshape(m, axis, symbol, "past_key_values."))
        assert {f.code for f in check(str(root)).findings if f.severity is Severity.ERROR} == expected[name]
    kinds = dict.fromkeys(expected, "inline")
    request = {"web_template": str(WEB_TEMPLATE), "models": str(tmp_path), "names": kinds}
    results = json.loads(run_node(node, "load_models.mjs", json.dumps(request)))
    assert results.pop("as-it-is") is None
    for name, error in results.items():
        assert error is not None and "past_key" in error, (name, error)


def test_rules_that_node_cannot_confirm_are_errors_and_few() -> None:
    errors = {rule.code for rule in list_rules() if rule.severity is Severity.ERROR}
    assert set(NOT_SEEN_IN_NODE) <= errors
    assert len(NOT_SEEN_IN_NODE) < len(errors) / 3


def test_newest_versions_are_those_that_onnxruntime_web_opens(node: str, tmp_path: Path) -> None:
    def write(opset: int, ir_version: int) -> str:
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
        result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "tiny", [value], [result])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = ir_version
        path = tmp_path / f"{opset}-{ir_version}.onnx"
        onnx.save(model, str(path))
        return str(path)

    opened = json.loads(run_node(node, "open_graphs.mjs", str(WEB_TEMPLATE), write(MAX_OPSET, MAX_IR_VERSION)))
    refused = (write(MAX_OPSET + 1, MAX_IR_VERSION), write(MAX_OPSET, MAX_IR_VERSION + 1))
    assert opened == [None]
    for error in json.loads(run_node(node, "open_graphs.mjs", str(WEB_TEMPLATE), *refused)):
        assert "opset" in error or "IR version" in error
