"""What reaches a terminal, whatever it is: escapes of others do not, and letters that it lacks stop nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.console import Console, print_error

RunCli = Callable[..., "subprocess.CompletedProcess[str]"]
MakeModel = Callable[..., Path]
STEERING = "a\x1b]0;mine\x07b\x9b31mc\u202ed\re\tf"
SHOWN = r"a\x1b]0;mine\x07b\x9b31mc\u202ed\re"


def test_escapes_in_words_of_others_are_shown_and_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.progress(STEERING)
    console.text(STEERING)
    console.table(["name"], [[STEERING]])
    print_error(STEERING, STEERING)
    got = capsys.readouterr()
    assert got.out.count(SHOWN) == 2
    assert got.err.count(SHOWN) == 3
    assert not set(got.out + got.err) & set("\x1b\x07\x9b\u202e\r")


def test_json_is_ascii_and_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": f"写真 {STEERING} \udce9"}
    Console(as_json=True).data(value)
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert "\x1b" not in printed
    assert json.loads(printed) == value


def test_terminal_that_lacks_letters_gets_escapes_in_their_place(
    run_cli: RunCli, make_model: MakeModel, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "cp1252"}
    done = run_cli("build", "camera-caption", "--model", str(make_model()), "-o", "写真", env=environment)
    assert done.returncode == 0, done.stderr
    assert r"\u5199\u771f" in done.stdout
    missing = run_cli("build", "写真", env=environment)
    assert (missing.returncode, "Traceback" in missing.stderr) == (1, False)
    assert r"error: there is no page '\u5199\u771f'" in missing.stderr


def test_folder_that_is_gone_is_told(run_cli: RunCli, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()

    def leave() -> None:
        os.chdir(gone)
        gone.rmdir()

    done = run_cli("build", "camera-caption", preexec_fn=leave)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the folder that this was started in is gone")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["index", "nowhere"], 1, "nowhere is no folder"),
        (["status"], 1, "nothing was published from here\n"),
        (["publish", "camera-caption", "--space", "a/b/c"], 1, "'a/b/c' is no name for a repository"),
        (["publish", "camera-caption", "--space", "a/b", "--fallback", "zero"], 1, "'zero' is no fallback"),
        (
            ["publish", "camera-caption", "--folder", "x", "--private", "--look", "--rollback"],
            2,
            "--private, --rollback, --look",
        ),
    ],
)
def test_mistake_is_named_before_any_work(
    arguments: list[str], code: int, words: str, run_cli: RunCli, tmp_path: Path
) -> None:
    done = run_cli(*arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert code == 2 or done.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_embedded_model_is_found_by_its_name(run_cli: RunCli) -> None:
    done = run_cli("profile", "scenes-clip", "--component", "text_model", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["component"] == "text_model"
