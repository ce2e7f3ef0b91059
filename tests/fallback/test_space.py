"""The app as a Space runs it: the model of a repository at one commit, ZeroGPU through `spaces`, README rendered."""

from __future__ import annotations

import ast
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from builder.embedded import model_dir
from tests.fallback.conftest import SPACE
from tests.hub.server import Hub

HubEnvironment = Callable[..., dict[str, str]]
REPO = "owner/scenes-clip-web"
FIND = """
import json, os, webmodel
model = webmodel.find_model(os.environ)
print(json.dumps([str(model.folder), model.revision, model.dtypes]))
"""
ALLOWED = {"gradio", "onnxruntime", "tokenizers", "huggingface_hub", "jinja2", "numpy", "PIL", "starlette", "spaces"}


def run_python(code: str, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    # Without PYTHONPATH: this repository's own folder spaces/ would be taken for the package `spaces`.
    kept = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=SPACE,
        env={**kept, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def commit_of(hub: Hub) -> str:
    from huggingface_hub import HfApi

    commit = HfApi(endpoint=hub.address, token=False).model_info(REPO).sha
    assert commit is not None
    return commit


def test_model_of_a_repository_is_fetched_at_its_commit_and_only_what_is_opened(
    hub: Hub, hub_environment: HubEnvironment, quantized_models: dict[str, Path], tmp_path: Path
) -> None:
    model = Path(shutil.copytree(quantized_models["scenes-clip"], tmp_path / "model"))
    (model / "secrets.txt").write_text("not in the manifest", encoding="utf-8")
    hub.add(REPO, model)
    commit = commit_of(hub)
    environment = hub_environment(
        MODEL_REPO=REPO, MODEL_REVISION=commit, MODEL_CACHE=str(tmp_path / "there"), HF_HUB_DISABLE_XET="1"
    )
    folder, revision, dtypes = json.loads(run_python(FIND, environment).stdout)
    assert revision == commit
    manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    graphs = {manifest["components"][component][dtype]["path"] for component, dtype in dtypes.items()}
    there = {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}
    there = {path for path in there if not path.startswith(".cache/")}
    configs = {entry["path"] for entry in manifest["files"] if entry["path"].endswith(".json")}
    assert there == {"manifest.json", *configs, *graphs}
    # A file that was damaged on the disk is fetched again, and nothing else is.
    damaged = Path(folder) / sorted(graphs)[0]
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert run_python(FIND, environment).returncode == 0
    assert damaged.read_bytes() == (model / sorted(graphs)[0]).read_bytes()


def test_file_that_is_not_what_the_manifest_says_is_refused(
    hub: Hub, hub_environment: HubEnvironment, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "model"))
    graph = model / "onnx" / "text_model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0\0"[:1])
    hub.add(REPO, model)
    environment = hub_environment(
        MODEL_REPO=REPO, MODEL_REVISION=commit_of(hub), MODEL_CACHE=str(tmp_path / "there"), HF_HUB_DISABLE_XET="1"
    )
    done = run_python("import app; app.main()", environment)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: onnx/text_model.onnx")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "there is no model"),
        ({"MODEL_REPO": "owner/name"}, "40 hexadecimal digits"),
        ({"MODEL_REPO": "owner/name", "MODEL_REVISION": "main"}, "40 hexadecimal digits"),
        ({"MODEL_REPO": "../name", "MODEL_REVISION": "a" * 40}, "cannot be fetched"),
        ({"MODEL_REPO": "name", "MODEL_REVISION": "a" * 40}, "no owner/name"),
        ({"MODEL_REPO": "owner/name", "MODEL_REVISION": "a" * 40}, "cannot be fetched"),
        ({"MODEL_DIR": "/nowhere"}, "no manifest"),
    ],
)
def test_model_that_cannot_be_had_ends_the_app_in_words(
    given: dict[str, str], words: str, hub_environment: HubEnvironment, space_module: Callable[[str], Any]
) -> None:
    webmodel = space_module("webmodel")
    if words == "cannot be fetched":  # this one asks the Hub, which is on loopback in a process of its own
        done = run_python("import app; app.main()", hub_environment(**given))
        assert done.returncode == 1
        said = done.stderr.strip().splitlines()[-1]
    else:
        with pytest.raises(webmodel.ModelError) as refused:
            webmodel.find_model(given)
        said = str(refused.value)
    assert words in said


def test_manifest_that_lists_files_outside_is_refused(space_module: Callable[[str], Any], tmp_path: Path) -> None:
    webmodel = space_module("webmodel")
    model = Path(shutil.copytree(model_dir("scenes-clip"), tmp_path / "model"))
    manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    for path in ("../tokenizer.json", "/etc/hosts.json", "a/../../b.json", "a\\b.json", ""):
        manifest["files"][0]["path"] = path or "x.json"
        manifest["components"]["text_model"]["fp32"]["path"] = path
        with pytest.raises(webmodel.ModelError, match="outside itself"):
            webmodel.wanted_files(manifest)


ZERO = """
import sys, types
decorated = []
def GPU(duration):
    def wrap(function):
        decorated.append((function.__qualname__, duration))
        return function
    return wrap
sys.modules["spaces"] = types.SimpleNamespace(GPU=GPU)
import zerogpu, interface, webmodel
for folder in sys.argv[1:]:
    interface.build(webmodel.find_model({"MODEL_DIR": folder}))
print(decorated)
"""


def test_on_zero_gpu_no_visitors_quota_is_used_for_a_model_that_runs_on_the_processor(
    hub_environment: HubEnvironment,
) -> None:
    """`spaces` itself runs only on ZeroGPU; in its place stands a decorator that notes what it is given."""
    folders = [str(model_dir(name)) for name in ("scenes-vlm", "scenes-clip")]
    done = run_python(ZERO, hub_environment(SPACES_ZERO_GPU="true"), *folders)
    assert done.stdout.strip(), done.stderr
    assert ast.literal_eval(done.stdout.strip()) == [("_unused", 1)], "one is needed, and nothing else may wait for it"


def test_elsewhere_spaces_is_not_imported(hub_environment: HubEnvironment) -> None:
    done = run_python(
        "import sys, zerogpu; assert 'spaces' not in sys.modules", hub_environment(SPACES_ZERO_GPU="false")
    )
    assert done.returncode == 0, done.stderr


SERVE = """
import sys, gradio, interface, webmodel
launched = []
gradio.Blocks.launch = lambda self, **options: launched.extend(options["app_kwargs"]["middleware"])
interface.serve(gradio.Blocks())
print([guard.cls.__name__ for guard in launched])
"""


@pytest.mark.parametrize("sign", ["SPACE_ID", "GRADIO_SERVER_NAME", ""])
def test_app_answers_to_other_names_only_where_others_are_to_reach_it(
    hub_environment: HubEnvironment, sign: str
) -> None:
    done = run_python(SERVE, hub_environment(**({sign: "0.0.0.0"} if sign else {})))
    expected = ["Guard"] if sign else ["TrustedHostMiddleware", "Guard"]
    assert ast.literal_eval(done.stdout.strip()) == expected, done.stderr


LENGTHS = [(math.nan, 64), (math.inf, 64), (None, 64), ("x", 64), (0, 64), (1e9, 512), (-3, 1), (7.9, 7)]


@pytest.mark.parametrize(("asked", "given"), LENGTHS)
def test_length_that_is_no_number_is_the_usual_one(space_module: Callable[[str], Any], asked: Any, given: int) -> None:
    assert space_module("interface")._length(asked, 64) == given


def test_app_stands_on_its_requirements_alone() -> None:
    own = {path.stem for path in SPACE.glob("*.py")}
    required = {line.split(">=")[0] for line in (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()}
    assert {name.lower().replace("pil", "pillow") for name in ALLOWED - {"starlette", "spaces"}} == required
    for path in SPACE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            unknown = {name.split(".")[0] for name in names} - own - ALLOWED - set(sys.stdlib_module_names)
            assert not unknown, f"{path.name} imports {unknown}"
    assert not list(SPACE.glob("*.pyi")), "Gradio wrote an interface file: derive no component"


@pytest.mark.parametrize("task", ["image-text-to-text", "zero-shot-image-classification"])
def test_readme_of_the_space_is_rendered_with_its_front_matter(task: str) -> None:
    environment = Environment(
        loader=FileSystemLoader(SPACE), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    fields = {"title": 'A "title": #1', "sdk": "gradio"}
    text = environment.get_template("README.md").render(
        front_matter=yaml.safe_dump(fields, sort_keys=False), title="T", summary="S", page="https://x.example/",
        model="m", model_repo="owner/m", model_revision="a" * 40, task=task, endpoint="https://huggingface.co",
    )  # fmt: skip
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == fields
    assert f"https://huggingface.co/owner/m/tree/{'a' * 40}" in body
    assert ("/caption" in body) == (task == "image-text-to-text")
    assert "{%" not in text
