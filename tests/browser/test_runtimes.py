"""Every graph that quantize makes gives the same answers in three runtimes: Python's, WASM and WebGPU.

onnxruntime-web is the one that the pages load, WebGPU a software adapter: Chromium's, and Firefox's for what needs
16-bit arithmetic, which Chromium's lacks. Known faults of 8-bit graphs on WebGPU are
gibberish, not small differences: a graph whose answers part from Python's may not be in a WebGPU tier.
Small graphs stand in for what the embedded models do not need, and planted faults show that the comparison can fail.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from playwright.sync_api import Playwright

from builder.embedded import NAMES, model_dir
from builder.manifest import DECODER, Manifest, file_sha256, read_manifest
from builder.parity import Reference
from builder.preview import running_server
from builder.sessions import Session
from builder.taps import relative_error
from builder.verify import verify
from tests.browser.conftest import SOFTWARE_WEBGPU
from tests.browser.firefox import open_firefox
from tests.browser.runtime_graphs import (
    INT8,
    OPERATORS,
    block_feeds,
    block_graph,
    int8_model,
    without_numbers,
    without_old_keys,
    without_zero_points,
)
from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HALVES = ("fp16", "q4f16")
SAME = {"fp32": 1e-4, "uint8": 0.01, "q8": 0.03, "q4": 0.03, "fp16": 0.03, "q4f16": 0.03}
"""Greatest relative difference between runtimes. Products of 4 and 8 bits may round their activations to 8 bits
(accuracy level 4) in some runtimes and not in others; gibberish is 1 and more."""
COMPONENTS = [(name, component) for name in NAMES for component in read_manifest(model_dir(name)).components]
CASES = [
    (device, name, component, dtype)
    for device in ("wasm", "webgpu-jspi")
    for name, component in COMPONENTS
    for dtype in (("q8", "q4") if device == "webgpu-jspi" else ("q8", "q4", *HALVES))
]
CASES += [("webgpu-firefox", name, component, dtype) for name, component in COMPONENTS for dtype in HALVES]
CASES += [("webgpu", "scenes-vlm", "embed_tokens", dtype) for dtype in ("q8", "q4")]
CASES += [("webgpu-jspi", "scenes-vlm", DECODER, "fp32")]
CASES += [("wasm", "scenes-vlm", DECODER, "uint8")]
STEPS = [("wasm", dtype) for dtype in SAME]
STEPS += [("webgpu-jspi", dtype) for dtype in ("fp32", "q8", "q4")]
STEPS += [("webgpu-firefox", dtype) for dtype in HALVES]
BLOCKS = [("wasm", "q8"), ("wasm", "q4"), ("wasm", "q4f16")]
BLOCKS += [("webgpu-jspi", "q8"), ("webgpu-jspi", "q4"), ("webgpu-firefox", "q4f16")]
TIER_DEVICES = {"wasm": ["wasm"], "webgpu": ["webgpu-jspi"], "webgpu-f16": ["webgpu-jspi", "webgpu-firefox"]}
DEVICES = {"wasm": "", "webgpu": ".asyncify", "webgpu-jspi": ".jspi", "webgpu-firefox": ".jspi"}
PROMPT_ROWS = 36


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """One page with one build of onnxruntime-web; `run` answers as `Session.run` does."""

    evaluate: Callable[..., Any]
    folder: Path
    address: str
    device: str

    def run(self, path: Path, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        served = self.folder / f"{file_sha256(path)}.onnx"
        shutil.copy(path, served)
        job = {
            "url": f"{self.address}{served.name}",
            "device": self.device,
            "feeds": {
                name: {
                    "type": str(value.dtype),
                    "dims": value.shape,
                    "data": base64.b64encode(value.tobytes()).decode(),
                }
                for name, value in feeds.items()
            },
        }
        answers = self.evaluate("(job) => runGraph(job)", job)
        return {
            name: np.frombuffer(base64.b64decode(value["data"]), value["type"]).reshape(value["dims"])
            for name, value in answers.items()
        }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("runtimes")
    template = REPOSITORY / "web_template"
    for part in ("runtime", "shared"):
        shutil.copytree(template / part, folder / part)
    shutil.copy(template / "node_modules" / "onnxruntime-web" / "dist" / "ort.webgpu.min.mjs", folder)
    shutil.copy(Path(__file__).with_name("runtimes.js"), folder)
    (folder / "index.html").write_text('<!doctype html><script type="module" src="runtimes.js"></script>', "utf-8")
    with running_server(folder) as address:
        yield folder, address


OpenRuntime = Callable[..., Runtime]


@pytest.fixture(scope="module")
def open_runtime(site: tuple[Path, str], tools: Playwright, chromium: str, node: str) -> Iterator[OpenRuntime]:
    """Open one page per build, and keep it; ``mended`` False leaves onnxruntime what subgroups there are."""
    opened: dict[tuple[str, bool], Runtime] = {}
    browsers = []
    firefoxes = ExitStack()

    def open_page(device: str) -> Callable[..., Any]:
        if device == "webgpu-firefox":
            firefox = firefoxes.enter_context(open_firefox(node, site[1]))
            firefox.ask("wait", selector="html[data-ready]", seconds=120)
            return firefox.evaluate
        arguments = ["--headless=new", "--no-sandbox", *(SOFTWARE_WEBGPU if device != "wasm" else [])]
        browsers.append(tools.chromium.launch(executable_path=chromium, headless=False, args=arguments))
        page = browsers[-1].new_page()
        page.goto(site[1])
        page.wait_for_selector("html[data-ready]")
        return page.evaluate

    def start(device: str, *, mended: bool = True) -> Runtime:
        if (device, mended) not in opened:
            evaluate = open_page(device)
            evaluate("(build) => useBuild(build)", DEVICES[device])
            if mended and device != "wasm":
                evaluate("() => watchDevices()")
            opened[device, mended] = Runtime(
                evaluate=evaluate, folder=site[0], address=site[1], device=device.partition("-")[0]
            )
        return opened[device, mended]

    yield start
    firefoxes.close()
    for browser in browsers:
        browser.close()


def open_for(open_runtime: OpenRuntime, device: str, dtype: str) -> Runtime:
    """The device's page, which has the arithmetic of ``dtype``."""
    runtime = open_runtime(device)
    if dtype in HALVES and runtime.device == "webgpu":
        assert runtime.evaluate("() => hasHalf()"), "this adapter has no 16-bit arithmetic"
    return runtime


@cache
def reference(model: Path) -> tuple[Manifest, Reference]:
    manifest = read_manifest(model)
    return manifest, Reference(model, manifest)


def inputs(model: Path, component: str, path: Path, *, step: bool) -> dict[str, np.ndarray]:
    """One run's inputs: a picture, a prompt with an empty cache, or the last ``step`` of one with a filled cache.

    A cache has the type of the variant.
    """
    empty = Session(path).empty_cache()
    if step:
        feeds = {**reference(model)[1].runs(component)[1]}
        feeds |= {name: feeds[name].astype(values.dtype) for name, values in empty.items()}
    else:
        feeds = {**reference(model)[1].one_run(component), **empty}
        if "pixel_values" in feeds:
            feeds["pixel_values"] = feeds["pixel_values"][:1]
        if "inputs_embeds" in feeds:
            feeds["inputs_embeds"] = feeds["inputs_embeds"][:, :PROMPT_ROWS]
            feeds["attention_mask"] = feeds["attention_mask"][:, :PROMPT_ROWS]
    return {name: np.ascontiguousarray(value) for name, value in feeds.items()}


def difference(runtime: Runtime, path: Path, feeds: Mapping[str, np.ndarray], *, served: Path | None = None) -> float:
    """The greatest relative difference of the browser's outputs from Python's; the browser may be ``served`` another.

    Of a cache the newest row is an output of its own: most others are what was fed.
    """
    expected, found = Session(path).run(feeds), runtime.run(served or path, feeds)
    assert set(found) == set(expected)
    assert all(found[name].shape == values.shape for name, values in expected.items())
    if not all(np.isfinite(values).all() for values in found.values()):
        return np.inf
    pairs = [(found[name], values) for name, values in expected.items()]
    pairs += [(found[name][:, :, -1], values[:, :, -1]) for name, values in expected.items() if "present" in name]
    return max(relative_error(*pair) for pair in pairs)


def apart(runtime: Runtime, model: Path, component: str, dtype: str, *, step: bool = False) -> float:
    """As `difference` of a variant of an embedded model."""
    path = model / reference(model)[0].components[component][dtype].path
    return difference(runtime, path, inputs(model, component, path, step=step))


@pytest.mark.parametrize(("device", "name", "component", "dtype"), CASES)
def test_graph_answers_in_the_browser_as_in_python(
    device: str, name: str, component: str, dtype: str, open_runtime: OpenRuntime, quantized_models: dict[str, Path]
) -> None:
    assert apart(open_for(open_runtime, device, dtype), quantized_models[name], component, dtype) <= SAME[dtype]


@pytest.mark.parametrize(("device", "dtype"), STEPS)
def test_decoder_answers_to_a_step_on_a_filled_cache_in_the_browser_as_in_python(
    device: str, dtype: str, open_runtime: OpenRuntime, quantized_models: dict[str, Path]
) -> None:
    model = quantized_models["scenes-vlm"]
    assert apart(open_for(open_runtime, device, dtype), model, DECODER, dtype, step=True) <= SAME[dtype]


def test_whatever_a_page_may_choose_is_run_on_the_devices_of_its_tier(quantized_models: dict[str, Path]) -> None:
    for name, model in quantized_models.items():
        for tier, dtypes in read_manifest(model).tiers.items():
            for component, dtype in dtypes.items():
                assert any((device, name, component, dtype) in CASES for device in TIER_DEVICES[tier])
                assert component != DECODER or any((device, dtype) in STEPS for device in TIER_DEVICES[tier])


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("block", [64, 128])
@pytest.mark.parametrize(("device", "dtype"), BLOCKS)
def test_large_blocks_answer_in_the_browser_as_in_python(
    device: str, dtype: str, block: int, symmetric: bool, open_runtime: OpenRuntime, tmp_path: Path
) -> None:
    """Those of ``--quality small``; kernels for one row are others than for many."""
    path = tmp_path / "blocks.onnx"
    onnx.save(block_graph(dtype, block, symmetric=symmetric), path)
    for rows in (1, 40):
        assert difference(open_for(open_runtime, device, dtype), path, block_feeds(rows)) <= SAME[dtype], rows


@pytest.mark.parametrize("spoil", [without_zero_points, without_numbers])
@pytest.mark.parametrize("operator", OPERATORS.values())
@pytest.mark.parametrize("device", ["wasm", "webgpu-jspi"])
def test_comparison_notices_a_runtime_that_computes_one_operator_wrong(
    device: str, operator: str, spoil: Callable[..., None], open_runtime: OpenRuntime, tmp_path: Path
) -> None:
    right, wrong = tmp_path / "right.onnx", tmp_path / "wrong.onnx"
    model = block_graph("q4", 64, symmetric=False)
    onnx.save(model, right)
    spoil(model, operator)
    onnx.save(model, wrong)
    assert difference(open_runtime(device), right, block_feeds(40), served=wrong) > 3 * SAME["q4"]


@pytest.mark.parametrize("device", ["wasm", "webgpu-jspi"])
def test_comparison_notices_a_runtime_that_leaves_old_keys_out_of_one_layer(
    device: str, open_runtime: OpenRuntime, quantized_models: dict[str, Path], tmp_path: Path
) -> None:
    model = quantized_models["scenes-vlm"]
    right, wrong = model / reference(model)[0].components[DECODER]["q4"].path, tmp_path / "wrong.onnx"
    onnx.save(without_old_keys(right), wrong)
    feeds = inputs(model, DECODER, right, step=True)
    assert difference(open_runtime(device), right, feeds, served=wrong) > 3 * SAME["q4"]


def test_attention_over_small_subgroups_is_wrong_unless_they_are_kept_from_it(
    open_runtime: OpenRuntime, quantized_models: dict[str, Path]
) -> None:
    """When this fails the fault is mended upstream, and what `watchDevices` does of it can go."""
    plain = open_runtime("webgpu-jspi", mended=False)
    assert plain.evaluate("navigator.gpu.requestAdapter().then((found) => found.info.subgroupMinSize)") < 8
    assert apart(plain, quantized_models["scenes-vlm"], DECODER, "fp32") > 0.05


def test_int8_graph_of_other_tools_is_given_to_wasm_and_kept_from_webgpu(
    open_runtime: OpenRuntime, tmp_path: Path
) -> None:
    """The faults are of graphics cards: here the integers of one graph are computed on the CPU, exactly, and those of
    the other as floats. So the rule is by operator, and no measurement lets such a graph pass."""
    model = int8_model(tmp_path)
    manifest = verify(model, quality="small")
    for component, (operator, _) in INT8.items():
        variant = manifest.components[component]["q8"]
        assert variant.not_on_webgpu is not None
        assert "8-bit activations" in variant.not_on_webgpu, operator
        assert variant.recipe is None
        assert manifest.tiers["webgpu"][component] == manifest.tiers["webgpu-f16"][component] == "fp32"
        assert manifest.tiers["wasm"][component] == "q8"
        for device in ("wasm", "webgpu-jspi"):
            assert apart(open_runtime(device), model, component, "q8") <= SAME["q8"], (operator, device)
