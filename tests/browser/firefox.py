"""Firefox on a software Vulkan driver: the one browser that has WebGPU with 16-bit arithmetic without a GPU."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

FIREFOXES = ("firefox-esr", "firefox")
DRIVERS = ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d")


class Firefox:
    """One tab; see firefox.mjs for what it can be asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, do: str, **job: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **job}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "Firefox ended"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def evaluate(self, source: str, argument: object = None) -> Any:
        """Call a JavaScript function, given as its source."""
        return self.ask("evaluate", source=source, argument=argument)


@contextmanager
def open_firefox(node: str, address: str) -> Iterator[Firefox]:
    """Open an address; the test is skipped where there is no Firefox or no software driver."""
    executable = next((found for name in FIREFOXES if (found := shutil.which(name))), None)
    driver = next((path for folder in DRIVERS for path in sorted(Path(folder).glob("lvp_icd*.json"))), None)
    if executable is None or driver is None:
        pytest.skip("there is no Firefox with a software Vulkan driver: run .ci/other-browsers")
    script = Path(__file__).with_name("firefox.mjs")
    process = subprocess.Popen(
        [node, str(script), str(REPOSITORY / "web_template"), executable, str(driver)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        firefox = Firefox(process)
        firefox.ask("open", url=address)
        yield firefox
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
