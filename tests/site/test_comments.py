"""Comments go, code stays, line for line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from builder.paths import web_template
from builder.site.comments import without_comments

SCRIPTS = sorted([*web_template().glob("shared/*.js"), *web_template().glob("pages/*/*.js"), web_template() / "sw.js"])


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("// a\nlet a;", "\nlet a;"),
        ("/** @file\n * a\n */\nlet a;", "\n\n\nlet a;"),
        ("  /** @type {X} */ (self).x = 1;", "  (self).x = 1;"),
        ("let a = 1; // one", "let a = 1; // one"),
        ("let a = /** @type {X} */ (b);", "let a = /** @type {X} */ (b);"),
        ("const text = `\n// no comment\n/* nor this */\n`;", "const text = `\n// no comment\n/* nor this */\n`;"),
        ("const tick = `\\`\n// no comment\n`;\n// one", "const tick = `\\`\n// no comment\n`;\n"),
        ("/* a */ /* b */ let a;", "let a;"),
        ("const url = 'https://a';", "const url = 'https://a';"),
        ("/* a\n b */ let a;", "\n let a;"),
    ],
)
def test_comments_go_and_code_stays(code: str, left: str) -> None:
    assert without_comments(code) == left


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(web_template()).as_posix())
def test_script_loses_all_lines_of_comment(script: Path) -> None:
    left = without_comments(script.read_text(encoding="utf-8"))
    assert "@file" not in left, "the count of backticks went wrong"
    assert without_comments(left) == left


def test_scripts_without_comments_are_still_scripts(node: str) -> None:
    """Node's parser reads each as a module."""
    parse = """
      const { SourceTextModule } = require('node:vm');
      const scripts = JSON.parse(require('node:fs').readFileSync(0));
      for (const [identifier, code] of scripts) new SourceTextModule(code, { identifier });
    """
    scripts = [[script.name, without_comments(script.read_text(encoding="utf-8"))] for script in SCRIPTS]
    command = [node, "--experimental-vm-modules", "-e", parse]
    read = subprocess.run(command, input=json.dumps(scripts), capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr
