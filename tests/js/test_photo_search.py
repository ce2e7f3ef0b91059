"""The search page's modules without a browser: photo_search.js, run by Node."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from builder.paths import web_template


def test_the_arithmetic_of_the_search_page_holds_in_node(node: str) -> None:
    script = Path(__file__).with_name("photo_search.js")
    environment = {**os.environ, "WEB_TEMPLATE": str(web_template())}
    run = subprocess.run([node, "--test", str(script)], env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
