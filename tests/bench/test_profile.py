"""profile: onnxruntime's own times by operator, for every component of a web model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import builder
from builder.bench._profile import LEAST_TIMES, profile, summarise
from builder.embedded import model_dir
from builder.errors import BenchError
from builder.graphs import load_graph


def test_profile_of_a_captioner_covers_prompt_and_token_of_its_decoder() -> None:
    found = profile(model_dir("scenes-vlm"))
    loads = [(p.component, p.load) for p in found]
    assert ("vision_encoder", "one picture") in loads
    assert len([1 for component, _ in loads if component == "decoder_model_merged"]) == 2
    for p in found:
        assert p.dtype == "fp32" and p.elsewhere == ()
        assert p.runs >= LEAST_TIMES and p.milliseconds > 0
        assert all(o.provider == "CPUExecutionProvider" and o.nodes > 0 for o in p.operators)
        assert all(0 <= o.low <= o.milliseconds <= o.high for o in p.operators)


def test_profile_counts_the_attention_nodes_of_a_decoder_once_a_run() -> None:
    folder = model_dir("scenes-vlm")
    graph: onnx.ModelProto = load_graph(folder / "onnx/decoder_model_merged.onnx", weights=False)
    expected = sum(node.op_type == "GroupQueryAttention" for node in graph.graph.node)
    for found in profile(folder, component="decoder_model_merged"):
        assert {o.name: o.nodes for o in found.operators}["GroupQueryAttention"] == expected > 0


def test_profile_takes_medians_of_runs_and_counts_what_was_left_to_the_cpu() -> None:
    def run(begin: int, matmul: int, gather: int) -> list[dict[str, object]]:
        nodes = [("MatMul", "WebGpuExecutionProvider", matmul)] + [("Gather", "CPUExecutionProvider", gather)] * 2
        return [{"cat": "Session", "name": "model_run", "ts": begin, "dur": 9000}] + [
            {
                "cat": "Node",
                "name": f"{at}_kernel_time",
                "ts": begin + at,
                "dur": microseconds,
                "args": {"op_name": name, "provider": provider},
            }
            for at, (name, provider, microseconds) in enumerate(nodes, 1)
        ]

    events = [*run(0, 90_000, 50_000), *run(10_000, 4000, 1000), *run(20_000, 6000, 1000), *run(30_000, 5000, 40_000)]
    found = summarise(events, component="decoder", dtype="q4", load="one token", provider="webgpu")
    assert (found.runs, found.milliseconds) == (3, 8.0)
    (matmul, gather) = found.operators
    assert (matmul.name, matmul.nodes, matmul.milliseconds, matmul.low, matmul.high) == ("MatMul", 1, 5.0, 4.0, 6.0)
    assert (gather.name, gather.nodes, gather.milliseconds, gather.high) == ("Gather", 2, 2.0, 80.0)
    assert found.elsewhere == (gather,)


def test_profile_of_a_dual_encoder_takes_the_dtype_that_is_asked_for(quantized_models: dict[str, Path]) -> None:
    folder = quantized_models["scenes-clip"]
    (found,) = builder.profile(folder, component="text_model", dtype="q4")
    assert (found.dtype, found.load) == ("q4", "one input")
    assert "MatMulNBits" in {o.name for o in found.operators}


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"component": "vision_encodr"}, "no component 'vision_encodr'", "did you mean 'vision_encoder'?"),
        ({"dtype": "q5", "component": "vision_encoder"}, "no dtype 'q5'", "fp32"),
        ({"provider": "webgpuu"}, "no provider 'webgpuu'", "did you mean 'webgpu'?"),
        ({"provider": "directml"}, "no provider for directml", "onnxruntime-directml"),
    ],
)
def test_profile_of_what_is_not_there_says_what_is(options: dict[str, str], message: str, hint: str) -> None:
    with pytest.raises(BenchError, match=message) as caught:
        profile(model_dir("scenes-vlm"), **options)  # type: ignore[arg-type]
    assert hint in caught.value.hint


def test_profile_command_prints_a_table_and_json(run_cli: Callable[..., object]) -> None:
    folder = str(model_dir("scenes-clip"))
    done = run_cli("profile", folder, "--component", "vision_model")
    assert "operator" in done.stdout and "Conv" in done.stdout  # type: ignore[attr-defined]
    answer = run_cli("profile", folder, "--component", "vision_model", "--json", "--quiet")
    (found,) = json.loads(answer.stdout)  # type: ignore[attr-defined]
    assert found["component"] == "vision_model" and found["milliseconds"] > 0
