"""No output of any command on any fault holds the token: whatever the Hub answers, and even if it quotes the token.

The assertion itself stands in `Publisher`: every run of every test here looks through all that was written.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from builder.publish.remembered import Publication, remember
from tests.hub.faults import Weather
from tests.publish.conftest import MODEL, SERVER, SPACE, TOKEN, Publisher

WORDS = f"Bearer {TOKEN} is not good enough, {TOKEN}"
ROUNDS = 12


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (1, 2))])
def test_fuzzed_publication_never_shows_the_token(publisher: Publisher, seed: int) -> None:
    publisher.hub.weather = Weather(seed=seed, share=0.12, words=WORDS)
    answers = publisher.apply_often(ROUNDS)
    failed = [answer for answer in answers if "error" in answer]
    assert failed, "nothing failed: this proves nothing"
    assert all(answer["hint"] for answer in failed)
    publisher.hub.weather = None
    assert publisher.apply(fallback="zero-a10g").code == 0


@pytest.mark.parametrize("command", [["status"], ["unpublish"], ["publish", "--no-look", "--dry-run"]])
@pytest.mark.parametrize("status", [401, 500])
def test_command_that_is_refused_never_shows_the_token(publisher: Publisher, command: list[str], status: int) -> None:
    entry = Publication(page="camera-caption", space=SPACE, model=str(publisher.model), model_repo=MODEL)
    made = (f"space {SPACE}", f"model {MODEL}", f"space {SERVER}")
    remember(publisher.cwd, Publication(**{**vars(entry), "made": made}))
    publisher.hub.weather = Weather(seed=status, share=1, words=WORDS, statuses=(status,))
    got = publisher.run(*command, HF_DEBUG="1", WEBGPU_DEMO_RETRY_S="0.05")
    assert got.code == 1
    assert "error: " in got.said


def test_traceback_of_a_bug_never_shows_the_token() -> None:
    code = (
        "import sys, builder.cli\n"
        "def app(): raise ValueError('header Authorization: Bearer ' + sys.argv[1])\n"
        "builder.cli.app = app\n"
        "builder.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, TOKEN], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "ValueError" in done.stderr
    assert TOKEN not in done.stderr


def test_token_of_another_shape_is_hidden_once_it_is_known() -> None:
    from builder.redaction import keep_secret, redact

    odd = "an-odd:token/of+some~proxy"
    assert odd in redact(f"sent {odd}")
    keep_secret(odd)
    assert redact(f"sent {odd}") == "sent [token]"
    keep_secret("short")
    assert redact("short words stay") == "short words stay"
