"""The design's rules that a machine can check: imports point one way, and no file becomes everything's home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "builder"
VERBS = frozenset({"export", "quantize", "verify", "site", "publish", "preview", "bench", "index"})
TOP = frozenset({"cli", "commands", "demo", "live", "publishing", "retrain", "__init__", "__main__"})
"""What stands above the verbs and may use all of them."""
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.is_file())
LONGEST = 400
KINDS = frozenset({".py", ".js", ".mjs", ".ts", ".css"})
FETCHED = frozenset({"node_modules", "runtime"})


def part_of(path: Path) -> str:
    """First name below builder/: the verb, or the module."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_parts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" if node.module == "builder" else node.module for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("builder."))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_from_the_cli_to_verbs_to_what_they_share(path: Path) -> None:
    part = part_of(path)
    if part in TOP:
        return
    wrong = {name for name in imported_parts(path) if name in (VERBS | TOP) - {part}}
    assert not wrong, f"builder/{part} must not know {', '.join(sorted(wrong))}"


def test_sources_stay_short_enough_to_read() -> None:
    files = list(sources())
    assert {"hatch_build.py", "npm.py", "app.py", "sw.js", "session.js", "cli.py"} <= {path.name for path in files}
    long = {
        path.name: lines for path in files if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert not long


@pytest.mark.parametrize("path", sorted((REPOSITORY / "spaces").rglob("*.py")), ids=lambda path: path.name)
def test_spaces_run_without_this_package(path: Path) -> None:
    assert not list(imported_parts(path)), "a Space has what its requirements.txt names"


def sources() -> Iterator[Path]:
    """Every source of this project: what is fetched, installed or left by tools is none of it."""
    for folder in (PACKAGE, *(REPOSITORY / name for name in ("spaces", "tests", "web_template", ".ci"))):
        for path in folder.rglob("*"):
            if path.suffix in KINDS and not FETCHED & set(path.relative_to(REPOSITORY).parts):
                yield path
    yield from REPOSITORY.glob("*.py")
