"""The command line, and the function behind it, in processes of their own against the Hub on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import hear_ctrl_c
from tests.hub.accounts import Account
from tests.hub.server import Hub

TOKEN = "hf_" + "NobodyMaySeeThisToken" * 2
OWNER = "ada"
SPACE, MODEL, SERVER = "ada/captions", "ada/tiny-vlm-ONNX", "ada/captions-server"
RunCli = Callable[..., "subprocess.CompletedProcess[str]"]
MakeModel = Callable[..., Path]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command came to; ``answer`` is its JSON, empty where it failed, ``said`` all that it wrote."""

    code: int
    answer: dict[str, Any]
    said: str

    @property
    def done(self) -> bool:
        return self.code == 0 and bool(self.answer.get("done"))


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """Publishes a tiny web model, logged in as ada, with LFS unless told otherwise.

    `run` and `publish` are the command line, `apply` is the function behind it, which can be asked for its lines.
    Whatever happens, the token is in nothing that any of them writes.
    """

    hub: Hub
    model: Path
    cwd: Path
    run_cli: RunCli
    hub_environment: Callable[..., dict[str, str]]

    def environment(self, token: str | None, **more: str) -> dict[str, str]:
        # Without a Xet storage the client must be told to use LFS: nothing on the server can tell it.
        lfs = {} if self.hub.cas is not None else {"HF_HUB_DISABLE_XET": "1"}
        return self.hub_environment(token, **{"COLUMNS": "200", **lfs, **more})

    def run(self, *arguments: str, token: str | None = TOKEN, as_json: bool = True, **more: str) -> Outcome:
        done = self.run_cli(*arguments, *(["--json"] if as_json else []), env=self.environment(token, **more))
        said = _without_token(done.stdout + done.stderr, token)
        assert "Traceback" not in done.stderr, done.stderr
        answer = json.loads(done.stdout) if done.returncode == 0 and as_json else {}
        return Outcome(code=done.returncode, answer=answer, said=said)

    def publish(self, *arguments: str, **more: Any) -> Outcome:
        """Publish the tiny model's page; a first run needs --space."""
        named = ["camera-caption", "--model", str(self.model), "--no-look", "--wait", "30"]
        return self.run("publish", *named, *arguments, **more)

    def apply(self, *, token: str | None = TOKEN, fallback: str = "none", title: str = "Tiny", **more: str) -> Outcome:
        """Publish by the function behind the command; the answer has its lines besides, or an error."""
        ((answer,), said) = self._apply(token, more, fallback=fallback, title=title)
        return Outcome(code=1 if "error" in answer else 0, answer=answer, said=said)

    def apply_often(self, rounds: int, **more: str) -> list[dict[str, Any]]:
        """Do that several times in one process; returns the answers."""
        return self._apply(TOKEN, more, fallback="zero-a10g", rounds=rounds)[0]

    def start(self) -> subprocess.Popen[str]:
        """Begin what `apply` does; Ctrl-C reaches it even where the tests run in the background."""
        return subprocess.Popen(
            self._command(fallback="none", title="Tiny"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.cwd,
            env=self.environment(TOKEN, WEBGPU_DEMO_RETRY_S="0.1"),
            preexec_fn=hear_ctrl_c,
        )

    def _command(self, **options: str | int) -> list[str]:
        asked = {"model": str(self.model), "model_repo": MODEL, "space": SPACE, **options}
        return [sys.executable, str(Path(__file__).with_name("apply_once.py")), json.dumps(asked)]

    def _apply(self, token: str | None, more: dict[str, str], **options: str | int) -> tuple[list[dict[str, Any]], str]:
        done = subprocess.run(
            self._command(**options),
            capture_output=True,
            text=True,
            cwd=self.cwd,
            env=self.environment(token, **{"WEBGPU_DEMO_RETRY_S": "0.1", **more}),
            timeout=300,
            check=False,
        )
        said = _without_token(done.stdout + done.stderr, token)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), said

    def tree(self, kind: str, repo: str) -> dict[str, str]:
        """Path → SHA-256 of what the Hub holds; empty where there is no such repository."""
        written = self.hub.written.get((kind, repo))
        return {} if written is None else {path: file.sha256 for path, file in written.head.files.items()}

    def trees(self) -> dict[str, dict[str, str]]:
        """All that the Hub holds."""
        return {f"{kind} {repo}": self.tree(kind, repo) for kind, repo in self.hub.written}

    def commits(self, kind: str, repo: str) -> list[str]:
        return [commit.title for commit in self.hub.written[kind, repo].commits]


def _without_token(said: str, token: str | None) -> str:
    assert TOKEN not in said, "the token was shown"
    assert token is None or token not in said, "the token was shown"
    return said


@pytest.fixture
def publisher(
    hub: Hub,
    make_model: MakeModel,
    tmp_path: Path,
    run_cli: RunCli,
    hub_environment: Callable[..., dict[str, str]],
) -> Publisher:
    hub.accounts[TOKEN] = Account(name=OWNER, orgs=("lab",))
    return Publisher(
        hub=hub,
        model=make_model(),
        cwd=tmp_path,
        run_cli=run_cli,
        hub_environment=hub_environment,
    )
