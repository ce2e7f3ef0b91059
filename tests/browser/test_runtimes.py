"""Every graph that quantize makes gives the same answers in three runtimes: Python's, WASM and WebGPU.

onnxruntime-web is the one that the pages load, WebGPU a software adapter: Chromium's, and Firefox's for what needs
16-bit arithmetic, which Chromium's lacks. Known faults of 8-bit graphs on WebGPU are
gibberish, not small differences: a graph whose answers part from Python's may not be in a WebGPU tier.
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
import pytest
from playwright.sync_api import Playwright

from builder.embedded import NAMES, model_dir
from builder.graphs import load_graph
from builder.manifest import Manifest, read_manifest
from builder.parity import Reference
from builder.preview import running_server
from builder.sessions import Session
from builder.taps import relative_error
from builder.verify import verify
from tests.browser.conftest import SOFTWARE_WEBGPU
from tests.browser.firefox import open_firefox
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
CASES += [("webgpu-jspi", "scenes-vlm", "decoder_model_merged", "fp32")]
CASES += [("wasm", "scenes-vlm", "decoder_model_merged", "uint8")]
DEVICES = {"wasm": "", "webgpu": ".asyncify", "webgpu-jspi": ".jspi", "webgpu-firefox": ".jspi"}
PROMPT_ROWS = 36


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """One page with one build of onnxruntime-web; `run` answers as `Session.run` does."""

    evaluate: Callable[..., Any]
    address: str
    device: str

    def run(self, path: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        job = {
            "url": f"{self.address}{path}",
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
def site(quantized_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("runtimes")
    template = REPOSITORY / "web_template"
    shutil.copytree(template / "runtime", folder / "runtime")
    shutil.copy(template / "node_modules" / "onnxruntime-web" / "dist" / "ort.webgpu.min.mjs", folder)
    shutil.copy(Path(__file__).with_name("runtimes.js"), folder)
    for name, model in quantized_models.items():
        shutil.copytree(model / "onnx", folder / name)
    (folder / "index.html").write_text('<!doctype html><script type="module" src="runtimes.js"></script>', "utf-8")
    with running_server(folder) as address:
        yield folder, address


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


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
                evaluate("() => avoidSmallSubgroups()")
            opened[device, mended] = Runtime(evaluate=evaluate, address=site[1], device=device.partition("-")[0])
        return opened[device, mended]

    yield start
    firefoxes.close()
    for browser in browsers:
        browser.close()


@cache
def reference(model: Path) -> tuple[Manifest, Reference]:
    manifest = read_manifest(model)
    return manifest, Reference(model, manifest)


def inputs(model: Path, component: str, path: Path) -> dict[str, np.ndarray]:
    """One run's inputs: one picture, or a prompt with an empty cache in the type of the variant."""
    feeds = {**reference(model)[1].one_run(component), **Session(path).empty_cache()}
    if "pixel_values" in feeds:
        feeds["pixel_values"] = feeds["pixel_values"][:1]
    if "inputs_embeds" in feeds:
        feeds["inputs_embeds"] = feeds["inputs_embeds"][:, :PROMPT_ROWS]
        feeds["attention_mask"] = feeds["attention_mask"][:, :PROMPT_ROWS]
    return {name: np.ascontiguousarray(value) for name, value in feeds.items()}


def apart(runtime: Runtime, model: Path, component: str, dtype: str) -> float:
    """The greatest relative difference of the browser's outputs from Python's."""
    path = model / reference(model)[0].components[component][dtype].path
    feeds = inputs(model, component, path)
    expected, found = Session(path).run(feeds), runtime.run(f"{model.name}/{path.name}", feeds)
    assert set(found) == set(expected)
    assert all(found[name].shape == values.shape for name, values in expected.items())
    return max(relative_error(found[name], values) for name, values in expected.items())


@pytest.mark.parametrize(("device", "name", "component", "dtype"), CASES)
def test_graph_answers_in_the_browser_as_in_python(
    device: str, name: str, component: str, dtype: str, open_runtime: OpenRuntime, quantized_models: dict[str, Path]
) -> None:
    runtime = open_runtime(device)
    if dtype in HALVES and runtime.device == "webgpu":
        assert runtime.evaluate("() => hasHalf()"), "this adapter has no 16-bit arithmetic"
    assert apart(runtime, quantized_models[name], component, dtype) <= SAME[dtype]


def test_attention_over_small_subgroups_is_wrong_unless_they_are_kept_from_it(
    open_runtime: OpenRuntime, quantized_models: dict[str, Path]
) -> None:
    """When this fails the fault is mended upstream, and `avoidSmallSubgroups` can go."""
    plain = open_runtime("webgpu-jspi", mended=False)
    assert plain.evaluate("navigator.gpu.requestAdapter().then((found) => found.info.subgroupMinSize)") < 8
    assert apart(plain, quantized_models["scenes-vlm"], "decoder_model_merged", "fp32") > 0.05


def int8_model(folder: Path) -> Path:
    """scenes-clip with towers as the usual tools make them: 8-bit weights and activations."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = Path(shutil.copytree(model_dir("scenes-clip"), folder / "scenes-clip"))
    for component in read_manifest(model).components:
        graph = model / "onnx" / component
        plain = load_graph(graph.with_suffix(".onnx"))
        del plain.graph.value_info[:]  # its shapes are of weights that quantize_dynamic turns round
        quantize_dynamic(
            plain,
            graph.with_name(f"{component}_quantized.onnx"),
            weight_type=QuantType.QUInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
    return model


def test_int8_graph_of_other_tools_is_kept_from_webgpu_and_given_to_wasm(tmp_path: Path) -> None:
    model = int8_model(tmp_path)
    manifest = verify(model, quality="small")
    for component, variants in manifest.components.items():
        assert "8-bit activations" in (variants["q8"].not_on_webgpu or ""), component
        assert variants["q8"].recipe is None
        assert manifest.tiers["webgpu"][component] == manifest.tiers["webgpu-f16"][component] == "fp32"
        assert manifest.tiers["wasm"][component] == "q8"
