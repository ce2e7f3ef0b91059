"""The real command line in a process of its own: answers, exit codes, one message per mistake, nothing half-written."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from builder.commands import all_commands
from builder.embedded import checkpoint_dir, model_dir
from builder.versions import BUILDER

RunCli = Callable[..., "subprocess.CompletedProcess[str]"]
StartCli = Callable[..., "subprocess.Popen[str]"]
MakeModel = Callable[..., Path]
READERS = (["quantize", "--dtype", "fp16"], ["verify"], ["build", "camera-caption", "--model"])
"""Commands that take a web model folder, but for its name."""
VERBS = tuple(name for name, _ in all_commands())


def assert_one_message(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    if code == 1:
        assert done.stderr.count("error: ") == 1
    for part in parts:
        assert part in done.stderr


def test_help_names_every_verb(run_cli: RunCli) -> None:
    done = run_cli("--help")
    assert done.returncode == 0
    assert all(f" {verb} " in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_explains_each_option(run_cli: RunCli, verb: str) -> None:
    done = run_cli(verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--quiet" in done.stdout


def test_version_is_that_of_the_package(run_cli: RunCli) -> None:
    assert run_cli("--version").stdout == f"webgpu-demo {BUILDER}\n"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["biuld"], "build"),
        (["build"], "PAGE"),
        (["build", "camera-caption", "--titel", "x"], "--title"),
        (["quantize", "x", "--dtpe", "q4"], "--dtype"),
        (["preview", "x", "--port", "70000"], "65535"),
        (["preview", "x", "--port", "eight"], "--port"),
    ],
)
def test_wrong_usage_exits_2_and_names_what_was_meant(run_cli: RunCli, arguments: list[str], hint: str) -> None:
    done = run_cli(*arguments)
    assert_one_message(done, 2, hint)


def test_build_says_where_the_site_is(run_cli: RunCli, make_model: MakeModel, tmp_path: Path) -> None:
    done = run_cli("build", "camera-caption", "--model", str(make_model()), "-o", "out")
    assert done.returncode == 0, done.stderr
    assert f"camera-caption with tiny-vlm in {tmp_path / 'out'}" in done.stdout
    assert done.stderr == "building camera-caption with tiny-vlm\n"


def test_build_as_json_gives_one_document_and_quiet_no_progress(
    run_cli: RunCli, make_model: MakeModel, tmp_path: Path
) -> None:
    done = run_cli("build", "camera-caption", "--model", str(make_model()), "--json", "--quiet")
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert answer["path"] == str(tmp_path / "site" / "camera-caption")
    assert answer["size_bytes"] == sum(entry["size_bytes"] for entry in answer["files"])


def test_quantize_answers_with_a_table_and_json(run_cli: RunCli, make_model: MakeModel) -> None:
    model = str(make_model())
    tabled = run_cli("quantize", model, "--dtype", "fp16")
    assert tabled.returncode == 0, tabled.stderr
    assert "vision_encoder" in tabled.stdout
    answer = json.loads(run_cli("quantize", model, "--dtype", "fp16", "--json").stdout)
    assert set(answer["sizes"]["vision_encoder"]) >= {"fp32", "fp16"}


def test_verify_answers_with_a_table_and_json(run_cli: RunCli, tmp_path: Path) -> None:
    model = str(shutil.copytree(model_dir("scenes-clip"), tmp_path / "scenes-clip"))
    tabled = run_cli("verify", model)
    assert tabled.returncode == 0, tabled.stderr
    assert "cosine" in tabled.stdout
    answer = json.loads(run_cli("verify", model, "--json").stdout)
    assert answer["components"]["vision_model"]["fp32"]["error"]["max_abs"] == 0


@pytest.mark.slow
def test_export_with_a_dtype_quantizes_and_verifies_at_once(run_cli: RunCli, tmp_path: Path) -> None:
    out = tmp_path / "web"
    done = run_cli("export", str(checkpoint_dir("scenes-clip")), "-o", str(out), "--dtype", "q8", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["family"] == "mobileclip2"
    assert answer["seconds"] > 0
    assert answer["peak_bytes"] > 10**8
    for variants in answer["sizes"].values():
        assert variants["q8"] < variants["fp32"] / 2
    assert set(answer["tiers"]["webgpu"].values()) == {"q8"}
    assert run_cli("check", str(out)).returncode == 0
    wrong = run_cli("export", str(checkpoint_dir("scenes-clip")), "-o", str(tmp_path / "x"), "--dtype", "q4f")
    assert_one_message(wrong, 1, "there is no dtype 'q4f'", "did you mean")
    assert not (tmp_path / "x").exists()


def test_check_exits_1_with_code_and_fix_where_something_is_wrong(run_cli: RunCli, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_dir("scenes-vlm"), tmp_path / "model"))
    assert run_cli("check", str(folder)).returncode == 0
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = ["LlavaForConditionalGeneration"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    told = run_cli("check", str(folder))
    assert told.returncode == 1
    assert "error   TJS102" in told.stdout
    assert "fix: " in told.stdout
    findings = json.loads(run_cli("check", str(folder), "--json").stdout)["findings"]
    assert "TJS102" in {finding["code"] for finding in findings}
    assert_one_message(run_cli("check", str(tmp_path / "nothing")), 1, "nothing")


@pytest.mark.parametrize("command", [["quantize", "--dtype", "q4"], ["verify"]])
def test_model_on_a_full_disk_exits_1_and_stays_whole(run_cli: RunCli, tmp_path: Path, command: list[str]) -> None:
    folder = shutil.copytree(model_dir("scenes-clip"), tmp_path / "scenes-clip")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    verb, *options = command

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = run_cli(verb, str(folder), *options, "--quiet", preexec_fn=limit_file_size)
    assert_one_message(done, 1, "cannot be written: file too large")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_ctrl_c_in_the_middle_of_a_quantization_leaves_the_model_whole(start_cli: StartCli, tmp_path: Path) -> None:
    folder = shutil.copytree(model_dir("scenes-vlm"), tmp_path / "scenes-vlm")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    process = start_cli("quantize", str(folder), "--dtype", "q4", "--dtype", "q8", "--dtype", "q4f16")
    deadline = time.monotonic() + 60
    while not list(folder.glob(".staged.part/onnx/*.onnx")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted" in stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_demo_refuses_a_folder_of_something_else(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine", encoding="utf-8")
    done = run_cli("demo", "--no-open", "--quiet", "--work", str(tmp_path / "thesis"))
    assert_one_message(done, 1, "holds other things than a demo")
    assert (tmp_path / "thesis" / "chapter.txt").read_text(encoding="utf-8") == "mine"


def test_page_with_a_typo_exits_1_and_names_the_page(run_cli: RunCli, tmp_path: Path) -> None:
    assert_one_message(run_cli("build", "camera-captoin"), 1, "'camera-captoin'", "did you mean 'camera-caption'?")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", READERS)
def test_folder_that_is_no_web_model_exits_1(run_cli: RunCli, tmp_path: Path, command: list[str]) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    done = run_cli(*command, str(folder))
    assert_one_message(done, 1, "photos is no web model")
    assert [p.name for p in tmp_path.rglob("*")] == ["photos"]


@pytest.mark.parametrize("command", READERS)
def test_corrupt_onnx_file_exits_1_and_names_it(
    run_cli: RunCli, make_model: MakeModel, tmp_path: Path, command: list[str]
) -> None:
    model = make_model()
    graph = model / "onnx" / ("vision_encoder_q4.onnx" if command[0] == "build" else "vision_encoder.onnx")
    graph.write_bytes(b"\xff" * graph.stat().st_size)
    before = {p.name for p in tmp_path.rglob("*")}
    assert_one_message(run_cli(*command, str(model)), 1, graph.name)
    assert {p.name for p in tmp_path.rglob("*")} == before


def test_taken_port_exits_1_and_names_a_free_one(run_cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("page")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for command in (["preview", "."], ["demo", "--work", "work"]):
            done = run_cli(*command, "--no-open", "--port", str(port))
            assert_one_message(done, 1, f"port {port} cannot be used", "--port")
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]


def test_read_only_output_folder_exits_1(run_cli: RunCli, make_model: MakeModel, read_only_folder: Path) -> None:
    target = str(read_only_folder / "site")
    done = run_cli("build", "camera-caption", "--model", str(make_model()), "-o", target, "--quiet")
    assert_one_message(done, 1, f"{target} cannot be written")


def test_full_disk_exits_1_and_leaves_nothing(run_cli: RunCli, make_model: MakeModel, tmp_path: Path) -> None:
    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    arguments = ["build", "camera-caption", "--model", str(make_model()), "-o", "out", "--quiet"]
    done = run_cli(*arguments, preexec_fn=limit_file_size)
    assert_one_message(done, 1, "out cannot be written: file too large")
    assert {p.name for p in tmp_path.iterdir()} == {"tiny-vlm"}


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [(signal.SIGINT, 1, "interrupted"), (signal.SIGTERM, -signal.SIGTERM, "ended from outside")],
)
def test_signal_in_the_middle_of_a_build_ends_it_and_leaves_nothing(
    ending: signal.Signals, code: int, said: str, start_cli: StartCli, make_model: MakeModel, tmp_path: Path
) -> None:
    process = start_cli("build", "camera-caption", "--model", str(make_model()), "-o", "out", "--quiet")
    deadline = time.monotonic() + 60
    while not (tmp_path / ".out.part" / "runtime").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(ending)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (code, "")
    assert stderr.strip() == f"error: {said}; nothing was left half-written"
    assert {p.name for p in tmp_path.iterdir()} == {"tiny-vlm"}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_preview_serves_until_it_is_stopped_and_frees_the_port(
    start_cli: StartCli, tmp_path: Path, ending: signal.Signals
) -> None:
    (tmp_path / "index.html").write_text("page")
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        port = any_port.getsockname()[1]
    process = start_cli("preview", ".", "--no-open", "--port", str(port))
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert httpx.URL(address).port == port
    with httpx.Client(trust_env=False) as client:  # its open connection must not hold the server up
        assert client.get(address).text == "page"
        process.send_signal(ending)
        process.wait(timeout=15)
    assert process.returncode == (0 if ending is signal.SIGINT else -signal.SIGTERM)
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


@pytest.mark.slow
def test_demo_serves_both_pages_within_a_minute(start_cli: StartCli, tmp_path: Path) -> None:
    started = time.monotonic()
    process = start_cli("demo", "--no-open", "--json", "--quiet", "--work", "work")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    took_s = time.monotonic() - started
    address = json.loads("".join(lines))["address"]
    index = httpx.get(address, trust_env=False).text
    for page in ("camera-caption", "photo-search"):
        assert f'href="{page}/"' in index
        assert httpx.get(f"{address}{page}/", trust_env=False).status_code == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 0
    assert took_s < 60
    assert {p.name for p in tmp_path.iterdir()} == {"work"}


def test_help_and_import_load_nothing_heavy() -> None:
    code = (
        "import sys, builder, builder.cli\n"
        "try: builder.cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'gradio', 'huggingface_hub', 'transformers', 'numpy', 'uvicorn'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == "[]\n"


def test_public_verbs_stay_functions_when_their_packages_are_imported() -> None:
    code = (
        "import builder.preview, builder.site.page, builder.demo, builder\n"
        "from builder.preview.server import free_port\n"
        "assert all(callable(getattr(builder, name)) for name in builder.__all__ if not name.startswith('_'))\n"
        "assert builder.preview.__module__ == 'builder.preview.server'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_public_api_refuses_an_unknown_name() -> None:
    import builder

    with pytest.raises(AttributeError, match="publissh"):
        _ = builder.publissh  # type: ignore[attr-defined]
